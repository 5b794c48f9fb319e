"""``orchestr plan``: show the changes that run would make."""

from __future__ import annotations

import functools

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("plan")
@takes("inventory", "hosts", "tags", "playbook", "variables", "events", "output")
def command(call: Invocation) -> int:
    """Show what run would change, with diffs.

    Changes nothing. Exits with 3 if there are changes to make.
    """
    inventory = call.load()
    from orchestr.api import plan

    return call.perform(functools.partial(plan, inventory, **call.choice), diffs=True)
