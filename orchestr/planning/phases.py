"""Phases: the steps of a role within a play; all hosts finish one before the next begins.

A role that needs more than ``deploy`` lists them in its module; for an application they are derived:

    PHASES = (Phase("survey"), Phase("join", group="managers", is_serial=True, is_fatal=True), Phase("join", "workers"))
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A function of a role that all hosts of a play run before the next phase begins.

    ``group``: only hosts of this inventory group take part. ``is_early``: before all plays of the run. ``is_serial``:
    one host after the other. ``is_fatal``: a failure on one host ends the run. ``reaches_swarm``: all nodes of the
    swarm take part as well, for data that is on them. ``reaches_departing``: in an upgrade, departing hosts take part
    as well, before the hosts that stay, planned by the old inventory.
    """

    function: str
    group: str = ""
    is_early: bool = False
    is_serial: bool = False
    is_fatal: bool = False
    reaches_swarm: bool = False
    reaches_departing: bool = False
