"""--json holds for every verb in every situation: one object, the documented keys and types, the exit code in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import INVENTORY, Orchestr

SITE, GROWN = "inventories/site.yml", "inventories/grown.yml"
TOP = {"version": int, "run": str, "verb": str, "exit": int, "hosts": dict, "elapsed_s": float}
HOST = {
    **dict.fromkeys(("ok", "changed", "failed", "skipped", "unknown"), int),
    "unreachable": bool,
    "may_have_changed": bool,
    "changes": list,
    "errors": list,
}
CHANGE = dict.fromkeys(("task", "resource", "name", "diff"), str)
ERROR = dict.fromkeys(("message", "stderr", "next_step"), str)
MORE: dict[str, dict[str, Any]] = {
    "verify": {"checks": list},
    "ping": {"facts": dict},
    "facts": {"facts": dict},
    "exec": {"exit": (int, type(None)), "stdout": str, "stderr": str},
}
UPGRADE = {"topology": dict, "states": dict, "verify": (dict, type(None))}
VERBS: dict[str, list[str]] = {
    "run": ["run", SITE],
    "run --check": ["run", SITE, "--check"],
    "plan": ["plan", SITE],
    "verify": ["verify", SITE],
    "ping": ["ping", SITE],
    "facts": ["facts", SITE],
    "exec": ["exec", SITE, "all", "--", "true"],
    "upgrade": ["upgrade", SITE, "--to", GROWN],
}


def _fine(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    for host in hosts.values():
        host.commands[("true",)] = ""


def _unreachable(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    _fine(hosts, monkeypatch)
    del hosts["10.0.0.2"]


def _nobody(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.clear()


def _locked(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    _fine(hosts, monkeypatch)
    hosts["10.0.0.3"].holder = {"who": "ada@desk", "run": "r1", "since": "now"}


def _failing(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    for host in hosts.values():
        host.commands[("true",)] = (3, "", "no\n")
        host.nodes["/opt/app"] = host.nodes["/etc/passwd"]


def _broken_role(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    _fine(hosts, monkeypatch)
    monkeypatch.setattr("orchestr.planning.plan.Task", _raising)


def _raising(*args: object, **options: object) -> None:
    raise ZeroDivisionError("a role's mistake")


def _interrupted(hosts: dict[str, MemoryHost], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestr.engine.fleet.Fleet.each", interrupt)


Situation = Callable[[dict[str, MemoryHost], pytest.MonkeyPatch], None]
#: verb → exit code; a verb that is not named is not tried there
EXPECTED: list[tuple[Situation, dict[str, int]]] = [
    (_fine, {"run": 0, "run --check": 3, "plan": 3, "verify": 1, "ping": 0, "facts": 0, "exec": 0, "upgrade": 1}),
    (_unreachable, {**dict.fromkeys(VERBS, 4), "verify": 1}),
    (_nobody, dict.fromkeys(VERBS, 4)),
    (_locked, {"run": 5, "run --check": 3, "plan": 3, "ping": 0, "facts": 0, "exec": 0, "upgrade": 5}),
    # A file where a directory belongs: a plan sees that the run would fail.
    (_failing, {"run": 1, "run --check": 1, "plan": 1, "verify": 1, "ping": 0, "exec": 1, "upgrade": 1}),
    (_broken_role, {"run": 1, "run --check": 1, "plan": 1, "upgrade": 1}),
    (_interrupted, dict.fromkeys(VERBS, 130)),
]
CASES = [(situation, verb, code) for situation, verbs in EXPECTED for verb, code in verbs.items()]


NAMES = [f"{situation.__name__[1:]}-{verb}" for situation, verb, _ in CASES]


@pytest.mark.parametrize(("situation", "verb", "code"), CASES, ids=NAMES)
def test_a_run(
    orchestr: Orchestr,
    project: Path,
    hosts: dict[str, MemoryHost],
    monkeypatch: pytest.MonkeyPatch,
    situation: Situation,
    verb: str,
    code: int,
) -> None:
    """The object has exactly the documented keys, of their types, and the process ends with the code it names."""
    (project / GROWN).write_text(INVENTORY + "        db2: {ansible_host: 10.0.0.2}\n")
    situation(hosts, monkeypatch)
    words = VERBS[verb]
    split = words.index("--") if "--" in words else len(words)
    outcome = orchestr(*words[:split], "--json", *words[split:])
    assert outcome.out.count("\n") == 1
    found = json.loads(outcome.out)
    assert (outcome.code, found["exit"], found["verb"]) == (code, code, words[0])
    _check(found, {**TOP, **(UPGRADE if verb == "upgrade" else {})})
    assert list(found["hosts"])[:3] == ["web1", "web2", "db1"]
    for host in found["hosts"].values():
        _check_host(host, MORE.get(verb, {}))
    if verb == "upgrade" and found["verify"] is not None:
        for host in found["verify"]["hosts"].values():
            _check_host(host, MORE["verify"])


def _check_host(host: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    _check(host, {**HOST, **more})
    assert host["changed"] == len(host["changes"])
    for change in host["changes"]:
        _check(change, CHANGE)
    for error in host["errors"]:
        _check({key: value for key, value in error.items() if key != "task"}, ERROR)
        assert isinstance(error.get("task", ""), str)
        assert error["message"]
    if host["failed"] or host["unreachable"]:
        assert host["errors"]


def _check(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert set(found) == set(expected)
    for key, kind in expected.items():
        assert isinstance(found[key], kind), (key, found[key])
        assert kind is not int or not isinstance(found[key], bool), key


@pytest.mark.parametrize("words", [["history"], ["doc"], ["doc", "app"], ["inventory", SITE], ["show", "last"]])
def test_what_connects_to_nobody(orchestr: Orchestr, words: list[str]) -> None:
    """The other verbs print one object too, and exit with 0."""
    orchestr("run", SITE)
    outcome = orchestr(*words, "--json")
    assert (outcome.code, outcome.out.count("\n")) == (0, 1), outcome.err
    assert isinstance(json.loads(outcome.out), dict)


def test_a_plan_that_finds_nothing_exits_0(orchestr: Orchestr) -> None:
    """After a run plan and run --check have nothing to change, and say so by their exit code."""
    assert orchestr("run", SITE).code == 0
    for words in (["plan", SITE], ["run", SITE, "--check"]):
        found = json.loads(orchestr(*words, "--json").out)
        assert (found["exit"], [host["ok"] for host in found["hosts"].values()]) == (0, [2, 2, 2])
