"""A host leaves its swarm once, after the last of its applications was saved there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestr import Host
from orchestr.applications.model import Application, Data
from orchestr.applications.moved_forms import leaves_swarm
from orchestr.resources.moves.forms import COMPOSE, STACK

KEEPS_DATA = Application((), data=(Data("files", "web", volume="files"),))


class LeavingHost:
    """A host whose new inventory has no swarm: its applications in order, and the form that surveys found each in."""

    def __init__(self, role: str, forms: Mapping[str, str], groups: tuple[str, ...] = ()) -> None:
        self.role, self.groups, self._forms = SimpleNamespace(name=role), groups, forms

    def applications(self) -> Iterator[tuple[str, Application]]:
        for name in self._forms:
            yield name, KEEPS_DATA
        yield "stateless", Application(())

    def outcome(self, label: str) -> dict[str, Any]:
        return {"form": self._forms.get(label.partition(":")[2], "")}


@pytest.mark.parametrize(
    ("forms", "last"),
    [
        ({"shop": STACK, "chat": STACK}, "chat"),
        ({"shop": STACK, "chat": COMPOSE}, "shop"),
        ({"chat": STACK, "wiki": COMPOSE, "shop": STACK}, "shop"),
    ],
)
def test_it_leaves_after_the_last_stack_with_data(forms: dict[str, str], last: str) -> None:
    """The stacks before the last one are still there to be saved; a project on the host does not matter."""
    leaving = [
        name for name, form in forms.items() if form == STACK and leaves_swarm(cast(Host, LeavingHost(name, forms)))
    ]
    assert leaving == [last]


def test_a_node_stays() -> None:
    """A host that remains in the swarm does not leave it, whatever its applications become."""
    assert not leaves_swarm(cast(Host, LeavingHost("shop", {"shop": STACK}, ("swarm_workers",))))
