"""Imports from ``orchestr`` in a project's own resources, written for a host: there, that package is empty.

A project writes ``from orchestr import File, Resource``, which would import the whole controller; a host gets the
modules that define these names.
"""

from __future__ import annotations

import ast

from orchestr import HOMES

#: Modules that a host has instead: the controller's registers its secrets for redaction, the agent redacts by itself.
_ON_HOSTS = {"orchestr.secret": "orchestr.agent.secret"}


def with_defining_modules(text: str) -> str:
    r"""Return a module's source in which names come from the modules that define them; no line moves.

    >>> with_defining_modules("import os\nfrom orchestr import Resource, Secret as Hidden\n")
    'import os\nfrom orchestr.agent.resource import (Resource); from orchestr.agent.secret import (Secret as Hidden)\n'
    """
    if "from orchestr import" not in text:
        return text
    lines = text.encode("utf-8").splitlines(keepends=True)  # columns are bytes
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    # From the last to the first: columns on the same line stay right.
    for node in sorted(imports, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        if node.module == "orchestr" and not node.level:
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            after = lines[last][node.end_col_offset :]
            statements = _statements(node.names, "\n" * (last - first)).encode("utf-8")
            lines[first : last + 1] = (lines[first][: node.col_offset] + statements + after).splitlines(keepends=True)
    return b"".join(lines).decode("utf-8")


def _statements(names: list[ast.alias], line_breaks: str) -> str:
    by_module: dict[str, list[str]] = {}
    for name in names:
        home = HOMES.get(name.name, "orchestr")
        by_module.setdefault(_ON_HOSTS.get(home, home), []).append(ast.unparse(name))
    statements = [f"from {module} import ({', '.join(members)})" for module, members in by_module.items()]
    return "; ".join(statements)[:-1] + line_breaks + ")"
