"""One task brought about: observe, diff, apply, observe again; and what comes of it when a step fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import (
    Action,
    Change,
    NotObservable,
    Resource,
    ResourceError,
    State,
    Task,
    attribute_diff,
    differing,
)
from orchestr.agent.system import Reader, System
from orchestr.secret import Secret
from orchestr.transport.memory import MemoryHost, MemorySystem


class World:
    """What the test resources see and do."""

    def __init__(self, value: Any = "old") -> None:
        self.value = value
        self.applied = 0
        self.errors: list[Exception] = []


WORLD = World()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    WORLD.__init__()  # type: ignore[misc]


@dataclass(frozen=True)
class Thing(Resource):
    wanted: Any = "new"
    takes_effect: bool = True
    kind = "thing"

    @property
    def label(self) -> str:
        return "it"

    def desired(self) -> State | None:
        return None if self.wanted is None else {"value": self.wanted}

    def observe(self, reader: Reader) -> State | None:
        if WORLD.errors and isinstance(WORLD.errors[0], NotObservable):
            raise WORLD.errors.pop(0)
        return None if WORLD.value is None else {"value": WORLD.value}

    def apply(self, system: System, change: Change) -> None:
        WORLD.applied += 1
        if WORLD.errors:
            raise WORLD.errors.pop(0)
        if self.takes_effect:
            WORLD.value = self.wanted


@dataclass(frozen=True)
class Gate(Resource):
    opens: bool = True
    kind = "gate"
    is_gate = True

    @property
    def label(self) -> str:
        return "gate"

    def desired(self) -> State:
        return {"open": True}

    def observe(self, reader: Reader) -> State:
        return {"open": WORLD.value == "open"}

    def apply(self, system: System, change: Change) -> None:
        if not self.opens:
            raise ResourceError("the gate stayed shut")
        WORLD.value = "open"


@dataclass(frozen=True)
class Deed(Action):
    kind = "deed"

    @property
    def label(self) -> str:
        return "deed"

    def is_done(self, reader: Reader) -> bool:
        return WORLD.applied > 0

    def perform(self, system: System) -> None:
        WORLD.applied += 1


def go(resource: Resource, *, check: bool = False, pending: bool = False, **policy: Any) -> dict[str, Any]:
    return converge(Task(resource, **policy), MemorySystem(MemoryHost()), check, pending)


def test_what_holds_is_ok() -> None:
    """Nothing differs, nothing is applied."""
    assert go(Thing("old")) == {"verdict": "ok"}
    assert WORLD.applied == 0


def test_a_difference_is_applied_and_shown() -> None:
    """A difference is brought about once and told as a diff."""
    assert go(Thing("new")) == {"verdict": "changed", "diff": "- value: old\n+ value: new"}
    assert (WORLD.value, WORLD.applied) == ("new", 1)


def test_check_mode_stops_before_apply() -> None:
    """In check mode the same diff is told and nothing is done."""
    assert go(Thing("new"), check=True) == {"verdict": "changed", "diff": "- value: old\n+ value: new"}
    assert (WORLD.value, WORLD.applied) == ("old", 0)


def test_apply_without_effect_is_a_failure() -> None:
    """After applying, the thing is observed again: what still differs fails the task, whatever apply claimed."""
    result = go(Thing("new", takes_effect=False))
    assert result["verdict"] == "failed"
    assert "still differs" in result["error"]["message"]


def test_creation_and_removal() -> None:
    """None stands for absence, on both sides."""
    WORLD.value = None
    assert go(Thing("new"))["diff"] == "- absent\n+ value: new"
    assert go(Thing(None))["diff"] == "- present\n+ absent"
    assert WORLD.value is None
    assert go(Thing(None))["verdict"] == "ok"


def test_retries_follow_a_failure() -> None:
    """``retries`` more attempts are made; the one that succeeds decides."""
    WORLD.errors = [OSError("busy"), OSError("busy")]
    assert go(Thing("new"), retries=2)["verdict"] == "changed"
    assert WORLD.applied == 3


def test_no_retry_without_being_asked() -> None:
    """Without ``retries`` the first failure is final and carries its message."""
    WORLD.errors = [ResourceError("broken", "mend it", "stderr of it")]
    result = go(Thing("new"))
    assert result["error"] == {"message": "broken", "stderr": "stderr of it", "next_step": "mend it"}
    assert WORLD.applied == 1


def test_not_observable_is_unknown_only_in_a_plan_with_pending_changes() -> None:
    """What cannot be looked at yet is unknown when a change before it is pending, a failure otherwise."""
    for check, pending, verdict in ((True, True, "unknown"), (True, False, "failed"), (False, False, "failed")):
        WORLD.errors = [NotObservable("docker is not installed")]
        assert go(Thing("new"), check=check, pending=pending)["verdict"] == verdict


def test_gate_waits_and_is_never_a_change() -> None:
    """A gate that opens is ok, not changed; one that stays shut fails; a plan does not wait."""
    assert go(Gate(), check=True)["verdict"] == "skipped"
    assert go(Gate(opens=False))["error"]["message"] == "the gate stayed shut"
    assert go(Gate()) == {"verdict": "ok"}


def test_until_must_hold_after_the_change() -> None:
    """A task is only done when its ``until`` gate holds."""
    assert go(Thing("new"), until=Gate(opens=False))["verdict"] == "failed"


def test_action_is_done_once() -> None:
    """An action is performed unless it need not be."""
    assert go(Deed(), check=True)["verdict"] == "changed"
    assert WORLD.applied == 0
    assert go(Deed())["verdict"] == "changed"
    assert go(Deed())["verdict"] == "ok"
    assert WORLD.applied == 1


def test_differing_names_only_what_is_desired() -> None:
    """Attributes nobody asked for never differ."""
    assert differing({"a": 1, "b": 2}, {"a": 1}) == ()
    assert differing({"a": 1}, {"a": 2, "c": 3}) == ("a", "c")
    assert differing(None, {"a": 1}) == ("exists", "a")


def test_attribute_diff_hides_secrets() -> None:
    """A Secret is shown as such on both sides."""
    shown = attribute_diff(Change({"p": Secret("old-pw")}, {"p": Secret("new-pw")}, ("p",)))
    assert "old-pw" not in shown
    assert "new-pw" not in shown
