"""What is sent to a host's python3: the agent's sources, made the same every time, imported there from memory."""

from __future__ import annotations

import functools
import json
import re
import secrets
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
#: What stands on the command line: read exactly N bytes, then run them. No name or value of ours is in it.
LOADER = (
    "import os,sys\n"
    "if sys.version_info<(3,8):sys.exit('orchestr: python %d.%d is too old' % sys.version_info[:2])\n"
    "b=b''\n"
    "while len(b)<{size}:\n"
    " c=os.read(0,{size}-len(b))\n"
    " if not c:sys.exit(97)\n"
    " b+=c\n"
    "import zlib\n"
    "exec(zlib.decompress(b))"
)
AGENT_MODULES = (
    "orchestr",
    "orchestr.agent",
    "orchestr.agent.secret",
    "orchestr.agent.process",
    "orchestr.agent.filesystem",
    "orchestr.agent.system",
    "orchestr.agent.resource",
    "orchestr.agent.wire",
    "orchestr.agent.facts",
    "orchestr.agent.lock",
    "orchestr.agent.converge",
    "orchestr.agent.serve",
    "orchestr.resources",
)
_IMPORT = re.compile(r"^[ \t]*(?:from|import) (orchestr\.(?:agent|resources))(?:\.(\w+))?(?: import ([\w, ]+))?", re.M)


def source(module: str) -> str:
    """Return the source that travels as ``module``; packages above resources are empty there.

    A project's own resources live in a module beside their role (``roles/NAME/resources.py``). Raises
    FileNotFoundError.
    """
    if module == "orchestr" or (not module.startswith("orchestr.") and module.count(".") < 2):
        return ""
    if not module.startswith("orchestr."):
        return Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")
    return _own_source(module)


@functools.cache
def _own_source(module: str) -> str:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")


def imports_of(module: str) -> tuple[str, ...]:
    """Return the agent and resource modules that a module's source imports."""
    return _imports_in(source(module))


@functools.cache
def _imports_in(text: str) -> tuple[str, ...]:
    found: set[str] = set()
    for package, name, members in _IMPORT.findall(text):
        names = [name] if name else [member.split(" as ")[0].strip() for member in members.split(",")]
        found.update(f"{package}.{item}" for item in names if item)
    return tuple(sorted(found))


def modules_for(classes: Iterable[type]) -> list[str]:
    """Return the resource modules (and what they import) that define these classes and are not in the agent itself."""
    todo = sorted({cls.__module__ for cls in classes})
    done: list[str] = []
    while todo:
        module = todo.pop()
        if module in done or module in AGENT_MODULES:
            continue
        done.append(module)
        todo.extend(imports_of(module))
        todo.extend(parent for parent in [module.rpartition(".")[0]] if parent)
    return sorted(done)


@functools.cache
def _agent_program() -> str:
    sources = {module: source(module) for module in AGENT_MODULES}
    return f"{source('orchestr.agent.bootstrap')}\n_sources = {sources!r}\n"


def new_nonce() -> str:
    """Return the random word that precedes the first frame, so that banners and .bashrc noise can be skipped."""
    return "orchestr-" + secrets.token_hex(16)


def program(start: dict[str, Any]) -> bytes:
    """Return the compressed program that starts an agent with ``start`` (nonce, run, holder, lock)."""
    body = f"_start(_sources, __import__('json').loads({json.dumps(start)!r}))\n"
    return zlib.compress((_agent_program() + body).encode("utf-8"), 6)


def loader(size: int) -> str:
    """Return the text for ``python3 -c``: it reads ``size`` bytes from stdin and runs them."""
    return LOADER.replace("{size}", str(size))
