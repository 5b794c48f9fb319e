"""Compare what stands in for the standard library with the real modules, under any python from 3.8 on.

Run as ``python stand_ins.py PACKAGE``; prints "alike" at the end. Uses nothing but the standard library.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import threading
import types
from typing import ClassVar

package = types.ModuleType("orchestr")  # without its __init__, which is the controller's
package.__path__ = [sys.argv[1]]  # type: ignore[attr-defined]
sys.modules["orchestr"] = package

from orchestr.agent import child, digest, light_json, light_threading, wire  # noqa: E402
from orchestr.agent.record import fields, record, replace  # noqa: E402
from orchestr.agent.resource import Change, Task  # noqa: E402

VALUES = [None, True, -1, 1.5, 1e300, float("inf"), "", 'é\u2028\\"\n\0', "\ud800", [], {}, [1, [2, {"a": None}]]]
OPTIONS = [{}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"sort_keys": True}, {"indent": 1}]
BROKEN = ["", "{", "[1,]", '{"a" 1}', "nul", "1 2", '"\n"', "01", "'a'", "[1 2]", '{"a":}', "\ufeff1", "NaN", "-"]


def outcome(call, *values, **named):  # type: ignore[no-untyped-def]
    try:
        return repr(call(*values, **named))
    except (TypeError, ValueError, AttributeError) as error:
        kinds = (TypeError, ValueError, AttributeError)
        return next(kind for kind in kinds if isinstance(error, kind))


def compare_json() -> None:
    for value in [*VALUES, {"b": VALUES[:6], "a": "x"}, {1, 2}]:
        for options in OPTIONS:
            expected = outcome(json.dumps, value, **options)
            assert outcome(light_json.dumps, value, **options) == expected, (value, options)
    for text in [*BROKEN, *(json.dumps(value) for value in VALUES), ' [1, "a"]\t\n']:
        assert outcome(light_json.loads, text) == outcome(json.loads, text), text
    assert light_json.loads(b'{"a": "\xc3\xa9"}') == {"a": "é"}


def compare_digests() -> None:
    for size in (0, 1, 64, 1000, digest.LARGE_BYTES, digest.LARGE_BYTES + 1):
        assert digest.sha256_of(b"x" * size) == hashlib.sha256(b"x" * size).hexdigest()


def make_with(decorator):  # type: ignore[no-untyped-def]
    @decorator
    class Body:
        a: int
        b: str = "x"
        c: ClassVar[int] = 3

    return Body


def compare_records() -> None:
    ours, real = make_with(record), make_with(dataclasses.dataclass(frozen=True))
    for values, named in [((1,), {}), ((1, "y"), {}), ((), {"a": 2}), ((), {}), ((1,), {"a": 1}), ((1,), {"z": 1})]:
        assert outcome(ours, *values, **named) == outcome(real, *values, **named), (values, named)
    assert [field.name for field in fields(ours)] == [field.name for field in dataclasses.fields(ours)] == ["a", "b"]
    assert ours(1) == ours(1) != ours(2) and hash(ours(1)) == hash(real(1))
    assert replace(ours(1), b="z") == dataclasses.replace(ours(1), b="z") == ours(1, "z")
    if sys.version_info >= (3, 13):
        assert copy.replace(ours(1), b="z") == ours(1, "z")
    assert outcome(setattr, ours(1), "a", 2) is outcome(setattr, real(1), "a", 2) is AttributeError
    task = Task(resource=None, name="n", id="i")
    assert wire.decode(wire.encode({"type": "tasks", "tasks": [task]})[wire.HEADER.size :])["tasks"] == (task,)
    assert Change(None, {"a": 1}, ("exists",)).is_creation


def compare_threads() -> None:
    for module in (light_threading, threading):
        use_threads(module)


def use_threads(module) -> None:  # type: ignore[no-untyped-def]
    event, seen = module.Event(), []
    assert not event.wait(0) and not event.is_set()
    module.Thread(target=lambda: (seen.append(module.get_ident()), event.set()), daemon=True).start()
    assert event.wait(30) and event.is_set() and event.wait() and seen != [module.get_ident()]
    event.clear()
    assert not event.wait(0.001)
    with module.Lock() as is_locked:
        assert is_locked


def compare_children() -> None:
    for script in ("exit 0", "exit 3", "kill -9 $$", "read x; echo $x $$ >/dev/null; exit ${x:-4}"):
        real = subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, check=False).returncode
        ours = child.Child(["sh", "-c", script], os.environ, takes_input=False)
        assert ours.wait(30) and ours.exit == real, script
        ours.close()
    for argv, kind in ((["/nothing/there"], FileNotFoundError), (["/etc/passwd"], PermissionError)):
        try:
            child.Child(argv, os.environ, takes_input=False)
        except kind:
            continue
        raise AssertionError(argv)


for compare in (compare_json, compare_digests, compare_records, compare_threads, compare_children):
    compare()
print("alike")
