"""Reads the sources of the package: modules, imports, docstrings, names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "orchestr"


@dataclass(frozen=True)
class Import:
    """One module that another one imports; ``is_late``: when one of its functions runs."""

    importer: str
    module: str
    is_late: bool
    line: int


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package: dotted name → file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports() -> tuple[Import, ...]:
    """Return all imports of the package's modules by each other, those for type checkers left out."""
    return tuple(entry for name, path in modules().items() for entry in _imports_below(name, tree(path), False))


def _imports_below(importer: str, node: ast.AST, is_late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.orelse:
                yield from _imports_below(importer, statement, is_late)
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            for module in _named_modules(importer, child):
                yield Import(importer, module, is_late, child.lineno)
        is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _imports_below(importer, child, is_late or is_function)


def _named_modules(importer: str, node: ast.Import | ast.ImportFrom) -> set[str]:
    """Return the package's modules that a statement names; a package counts only for names of its own."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in modules()}
    assert node.level == 0, f"{importer}:{node.lineno}: relative import"
    named = {f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules() else node.module
             for alias in node.names}  # fmt: skip
    return {name for name in named if name is not None and name in modules()} - {importer}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan's strongly connected components), sorted."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = lowest[node] = len(index)
        stack.append(node)
        for target in sorted(edges.get(node, ())):
            if target not in index:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], index[target])
        if lowest[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            groups.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return sorted(group for group in groups if len(group) > 1)
