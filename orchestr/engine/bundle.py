"""The program sent to a host's python3: the agent's modules, made the same every time, imported there from memory.

Compiling them takes a host longer than a converged play, so a host whose python is the controller's version gets them
compiled (as python itself keeps them in ``__pycache__``), any other as sources. The agent itself comes compiled, and
another python asks for its sources. Resource modules travel with the modules they import at their top; modules that
their functions import (to apply changes that are rare) are sent when such a function runs.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import marshal
import re
import secrets
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orchestr.agent import wire
from orchestr.engine.public_imports import with_defining_modules
from orchestr.once import once

PACKAGE = Path(__file__).resolve().parent.parent
#: The text on the command line: read exactly N bytes, then run them. It holds no name or value of ours.
LOADER = (
    "import os,sys\n"
    "if sys.version_info<(3,8):sys.exit('orchestr: python %d.%d is too old' % sys.version_info[:2])\n"
    "b=b''\n"
    "while len(b)<{size}:\n"
    " c=os.read(0,{size}-len(b))\n"
    " if not c:sys.exit(97)\n"
    " b+=c\n"
    "import zlib\n"
    "d=zlib.decompressobj()\n"
    "exec(d.decompress(b))"
)
#: The format of the bytecode sent: equal on two pythons that run each other's (importlib.util.MAGIC_NUMBER).
BYTECODE = importlib.util.MAGIC_NUMBER.hex()
LEVEL = 3  # of compression: higher ones cost a small run more than the bytes they save
AGENT_MODULES = (
    "orchestr",
    "orchestr.agent",
    "orchestr.agent.record",
    "orchestr.agent.light_json",
    "orchestr.agent.light_threading",
    "orchestr.agent.digest",
    "orchestr.agent.secret",
    "orchestr.agent.child",
    "orchestr.agent.process",
    "orchestr.agent.unix_http",
    "orchestr.agent.door",
    "orchestr.agent.host_files",
    "orchestr.agent.system",
    "orchestr.agent.resource",
    "orchestr.agent.converge",
    "orchestr.agent.wire",
    "orchestr.agent.facts",
    "orchestr.agent.line",
    "orchestr.agent.lock",
    "orchestr.agent.watch",
    "orchestr.agent.serve",
    "orchestr.resources",
)
#: Modules of the agent that are sent when a task first changes something, or an agent that did so was killed.
WRITING_MODULES = ("orchestr.agent.filesystem", "orchestr.agent.leftovers")
# Begins with a literal text, which python's regular expressions look for fast.
_IMPORTED = re.compile(r"(orchestr\.(?:agent|resources)(?:\.\w+)*)(?: import (\([^)]*\)|[\w, ]+))?")


def source(module: str) -> str:
    """Return the source that travels as ``module``; packages above resources are empty there.

    A project's own resources live in a module beside their role (``roles/NAME/resources.py``). Raises
    FileNotFoundError.
    """
    if module == "orchestr" or (not module.startswith("orchestr.") and module.count(".") < 2):
        return ""
    if not module.startswith("orchestr."):
        return with_defining_modules(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))
    return _own_source(module)


@functools.cache
def _own_source(module: str) -> str:
    return _path(module).read_text(encoding="utf-8")


def _path(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _is_package(module: str) -> bool:
    return PACKAGE.joinpath(*module.split(".")[1:]).is_dir()


@functools.cache
def _is_module(module: str) -> bool:
    return _path(module).is_file()


def imports_of(module: str, by_functions: bool = True) -> tuple[str, ...]:
    """Return the agent and resource modules that a module's source imports, its functions' imports included or not."""
    return _imports_in(source(module), by_functions)


@functools.cache
def _imports_in(text: str, by_functions: bool) -> tuple[str, ...]:
    imported: set[str] = set()
    for match in _IMPORTED.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        is_import = line.rpartition("; ")[2].strip() in ("from", "import")
        if not is_import or (line[:1].isspace() and not by_functions):
            continue
        module, members = match[1], match[2] or ""
        if not _is_package(module):
            imported.add(module)
            continue
        names = [member.split(" as ")[0].strip() for member in members.strip("()").split(",")]
        # A package may define a name itself, or have a module of that name.
        imported.update(f"{module}.{name}" if _is_module(f"{module}.{name}") else module for name in names if name)
    return tuple(sorted(imported))


def modules_for(classes: Iterable[type]) -> list[str]:
    """Return the modules, apart from the agent's, that importing the modules of these classes needs."""
    return list(_modules_for(tuple(sorted({cls.__module__ for cls in classes}))))


@once
def _modules_for(modules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_closure(modules, by_functions=False))


def modules_asked_for(module: str, sent: Iterable[str]) -> list[str]:
    """Return the modules needed to import ``module``, if a function of the agent or the ``sent`` ones imports it.

    Else nothing.
    """
    if module not in WRITING_MODULES and module not in _closure(sent, by_functions=True):
        return []
    known, wanted = set(sent), [module]
    if _is_package(module):  # a package is asked for on the way to the modules in it: these come along
        names = {name for other in sent for name in imports_of(other)}
        wanted += [name for name in names if name.startswith(f"{module}.")]
    return [name for name in _closure(wanted, by_functions=False) if name not in known]


def _closure(modules: Iterable[str], by_functions: bool) -> list[str]:
    todo = sorted(modules)
    done: set[str] = set()
    while todo:
        module = todo.pop()
        if module in done or module in AGENT_MODULES:
            continue
        done.add(module)
        todo.extend(imports_of(module, by_functions))
        todo.extend(parent for parent in [module.rpartition(".")[0]] if parent)
    return sorted(done)


@once
def packed(modules: tuple[str, ...], bytecode: str) -> bytes:
    """Return modules as the agent takes them in, compiled when ``bytecode`` (of the host's python) is ours.

    Made once per run, however many hosts get it. A project's own modules are sent as sources.
    """
    if bytecode == BYTECODE:
        contents = {name: _compile(name) if name.partition(".")[0] == "orchestr" else source(name) for name in modules}
    else:
        contents = {name: source(name) for name in modules}
    deep = (name for name in modules if name.count(".") > 1 and _is_package(name))
    contents.update((f"{name}.", "") for name in deep)  # the dot marks a package, whether or not its modules come along
    return zlib.compress(marshal.dumps(contents, 2), LEVEL)  # version 2 is read by every python


def _compile(module: str) -> bytes | str:
    """Return a module's code as python keeps it beside the source, or made now where it does not."""
    text = source(module)
    if not text:
        return text
    path = _path(module)
    try:
        kept = Path(importlib.util.cache_from_source(str(path))).read_bytes()
    except OSError:
        kept = b""
    status = path.stat()
    # PEP 552: magic, flags (0: the next two say which source it was made from), seconds, bytes.
    stamp = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    if kept[:16] == importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, *stamp):
        return kept[16:]
    loader = importlib.machinery.SourceFileLoader(module, str(path))
    return marshal.dumps(loader.get_code(module))


@once
def _bootstrap() -> bytes:
    text = f"{source('orchestr.agent.bootstrap')}\n_start(d.unused_data, {BYTECODE!r})\n"
    return zlib.compress(text.encode("utf-8"), LEVEL)


@once
def modules_frame(modules: tuple[str, ...], imports: tuple[str, ...], bytecode: str, asked: str = "") -> bytes:
    """Return the frames with these modules, and the order to import ``imports``, the modules of the tasks.

    ``asked`` names the module that the agent has asked for, if it has.
    """
    message = {"type": "modules", "imports": imports, "asked": asked}
    return wire.frame(b"P", packed(modules, bytecode)) + wire.encode(message)


def new_nonce() -> str:
    """Return the random word that precedes the first frame, so that banners and .bashrc noise can be skipped."""
    return "orchestr-" + secrets.token_hex(16)


def program(start: dict[str, Any]) -> bytes:
    """Return the program that starts an agent with ``start`` (nonce, run, holder, lock); the rest is made once."""
    return _bootstrap() + with_length(marshal.dumps(start, 2)) + packed(AGENT_MODULES, BYTECODE)


def with_length(data: bytes) -> bytes:
    """Return bytes after four that say how many they are."""
    return struct.pack(">I", len(data)) + data


def agent_sources() -> bytes:
    """Return the agent's modules as sources, after their length: the answer to a program under another python."""
    return with_length(packed(AGENT_MODULES, ""))


def loader(size: int) -> str:
    """Return the text for ``python3 -c``: it reads ``size`` bytes from stdin and runs them."""
    return LOADER.replace("{size}", str(size))
