"""Refuse words of --tags and --skip-tags that nothing here is called by, before anybody is connected to.

A role names its own tags in Python, which cannot be known without planning it; a tag of its own stands in its source.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.inventory.closest import closest

if TYPE_CHECKING:
    from orchestr.planning.plan import PlanContext

ALWAYS = "always"


def check_tags(context: PlanContext, wanted: Iterable[str], unwanted: Iterable[str]) -> None:
    """Raise InputError for the first word that is no role, no tag of a play or role, and in no role's source."""
    words = [("--tags", word) for word in wanted] + [("--skip-tags", word) for word in unwanted]
    if not words:
        return
    known = sorted({ALWAYS, *_given(context)})
    roles = {each.role.path for uses in context.assignments.values() for each in uses}
    for option, word in words:
        if word not in known and not any(_is_quoted(word, _source(role)) for role in roles):
            raise InputError(
                f"{option} {word}: nothing in {context.playbook.path} has this tag",
                suggestion=closest(word, known),
                next_step=f"known: {', '.join(known)}",
            )


def _given(context: PlanContext) -> Iterator[str]:
    for play in context.playbook.plays:
        yield from play.tags
        for use in play.roles:
            yield from (use.name, *use.tags)


def _is_quoted(word: str, source: str) -> bool:
    return f'"{word}"' in source or f"'{word}'" in source


@functools.lru_cache(maxsize=64)
def _source(role: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(role.rglob("*.py")))
