"""Plain language, as far as a program can check it: docs/glossary.md has the words and the reasons."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT, imports, tree

SOURCES = [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "roles").rglob("*.py"))]
#: Pronouns that stand where a noun belongs, per 1,000 words of docstrings. Lower them, never raise them.
MOST_PER_THOUSAND = {"what": 1.0, "who": 0.2}
#: Names that say nothing of their value, and the number of functions that still have such a local. Only downwards.
EMPTY_NAMES = {"found": 0, "each": 0, "place": 0}
#: Imports inside functions, which save start time. Only downwards.
MOST_LATE_IMPORTS = 107
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings() -> Iterator[str]:
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
                yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("pronoun", MOST_PER_THOUSAND)
def test_docstrings_have_nouns(pronoun: str) -> None:
    """Docstrings name the thing ("the value", "the hosts that need it") instead of chains of what and who."""
    words = Counter(word for text in docstrings() for word in re.findall(r"[a-z']+", text.lower()))
    density = 1000 * words[pronoun] / sum(words.values())
    assert density <= MOST_PER_THOUSAND[pronoun], f"{words[pronoun]} times {pronoun!r}: {density:.1f} per 1,000 words"


def _functions_with(name: str, path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, FUNCTIONS) and any(
            isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and inner.id == name
            for inner in ast.walk(node)
        ):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("name", EMPTY_NAMES)
def test_locals_are_named_after_their_content(name: str) -> None:
    """A local is called after its value (``match``, ``names``, ``containers``), a loop's after one of its items."""
    functions = [function for path in SOURCES for function in _functions_with(name, path)]
    assert len(functions) <= EMPTY_NAMES[name], "\n".join(functions)


def test_few_functions_import() -> None:
    """Imports stand at the top of a module, but for those that save start time."""
    late = [f"{entry.importer}:{entry.line} {entry.module}" for entry in imports() if entry.is_late]
    assert len(late) <= MOST_LATE_IMPORTS, "\n".join(late)


def test_the_glossary_has_one_word_per_concept() -> None:
    """Every term of the glossary stands there once, in English and in Chinese."""
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|", page, re.MULTILINE)
    assert len(rows) >= 30
    assert len({english for english, _ in rows}) == len({chinese for _, chinese in rows}) == len(rows)
