"""Find words of --tags and --skip-tags that select nothing, after the planning of every task.

A role sets tags of its own tasks in Python; they are known only after it has been planned for every host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.inventory.closest import closest

if TYPE_CHECKING:
    from orchestr.planning.plan import PlanContext

ALWAYS = "always"


def check_tags(context: PlanContext, wanted: Iterable[str], unwanted: Iterable[str], task_count: int) -> None:
    """Raise InputError for the first word that no task of the run's hosts has as a tag.

    A word of --skip-tags may also be a tag or role of the playbook whose hosts are not in this run. ``task_count`` is
    the number of selected tasks: a selection without any is an error too.
    """
    wanted, unwanted = list(wanted), list(unwanted)
    on_tasks = {ALWAYS, *context.task_tags}
    in_playbook = set(_playbook_tags(context))
    for option, word in [("--tags", word) for word in wanted] + [("--skip-tags", word) for word in unwanted]:
        if word in on_tasks or (option == "--skip-tags" and word in in_playbook):
            continue
        known = sorted(on_tasks)
        reason = "no task of these hosts has this tag" if word in in_playbook else "no task has this tag"
        raise InputError(
            f"{option} {word}: {reason}", suggestion=closest(word, known), next_step=f"known: {', '.join(known)}"
        )
    if not task_count and (wanted or unwanted):
        words = [*(f"--tags {word}" for word in wanted), *(f"--skip-tags {word}" for word in unwanted)]
        raise InputError(
            f"{' '.join(words)}: no task is selected", next_step=f"tags of the tasks: {', '.join(sorted(on_tasks))}"
        )


def _playbook_tags(context: PlanContext) -> Iterator[str]:
    for play in context.playbook.plays:
        yield from play.tags
        for use in play.roles:
            yield from (use.name, *use.tags)
