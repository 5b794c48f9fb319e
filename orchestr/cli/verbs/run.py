"""``orchestr run``: make every host match the inventory."""

from __future__ import annotations

import functools

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("run")
@takes("inventory", "check", "diff", "hosts", "tags", "playbook", "variables", "events", "output")
def command(call: Invocation) -> int:
    """Make every host match the inventory.

    Running it again changes nothing.
    """
    inventory = call.load()
    from orchestr.api import run

    return call.perform(functools.partial(run, inventory, check=call.check, **call.choice))
