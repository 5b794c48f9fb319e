"""A user of the host who swaps files, links and directories while root works gains nothing.

Every kind of resource that takes a path is applied below a directory of an ordinary user, who acts between any two
calls of the door to the kernel: the steps are counted once, then one run follows for each. `tests/fuzz/test_races.py`
lets the user act at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.property.adversary import (
    KINDS,
    Host,
    as_mallory,
    assert_nothing_gained,
    base,
    needs_root,
    places,
    run,
    trials,
)

pytestmark = needs_root

__all__ = ["base"]
STEPS = 16  # at most, of each resource: evenly over the run


@dataclass
class Swap:
    """At a step, a path of the user's becomes a link to root's; at the next one it may be back."""

    step: int
    path: str
    target: str
    goes_back: bool

    def act(self, now: int) -> None:
        with as_mallory(), suppress(OSError):
            if now == self.step:
                with suppress(FileNotFoundError):
                    os.rename(self.path, self.path + ".aside")
                os.symlink(self.target, self.path)
            elif now == self.step + 1 and self.goes_back:
                os.unlink(self.path)
                os.rename(self.path + ".aside", self.path)


def swaps(host: Host, steps: int) -> Iterator[Swap]:
    """Yield what the user may do, at every step."""
    chosen = range(steps) if steps <= STEPS else [steps * number // STEPS for number in range(STEPS)]
    for number, step in enumerate(chosen):
        for place in places(host):
            yield Swap(step, host.jail + place, host.roots + place, goes_back=number % 2 == 1)


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[f"{kind}-{name}" for kind, name in KINDS])
def test_a_swap_at_any_step_leads_nobody_to_what_is_roots(
    kind: str, name: str, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's files keep content, mode and owner, and nothing of them is readable for the user."""
    chosen = trials(kind, name, base, monkeypatch)
    if not chosen:
        pytest.skip("it takes no path")
    for host, resource, steps in chosen:
        host.make()
        before = host.rights()
        for swap in swaps(host, steps):
            host.make()
            _, outcome = run(host, resource, swap.act, monkeypatch)
            assert_nothing_gained(host, before, (resource, swap, outcome))
