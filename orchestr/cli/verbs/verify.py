"""``orchestr verify``: run the checks of roles."""

from __future__ import annotations

import functools

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("verify")
@takes("inventory", "hosts", "playbook", "variables", "events", "output")
def command(call: Invocation) -> int:
    """Run the checks of roles, on the hosts and from this machine.

    Checks are in roles/NAME/verify.py. They change nothing.
    """
    inventory = call.load()
    from orchestr.verification import verify

    work = functools.partial(verify, inventory, playbook=call.playbook, limit=call.limit, forks=call.forks)
    return call.perform(work)
