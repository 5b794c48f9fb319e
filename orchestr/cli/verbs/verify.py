"""``orchestr verify``: the roles' own checks, from the hosts and from outside."""

from __future__ import annotations

import functools

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("verify")
@takes("inventory", "hosts", "playbook", "variables", "events", "output")
def command(call: Invocation) -> int:
    """Run the roles' checks, on the hosts and from here.

    They are in roles/NAME/verify.py. Nothing is changed.
    """
    inventory = call.load()
    from orchestr.verification import verify

    work = functools.partial(verify, inventory, playbook=call.playbook, limit=call.limit, forks=call.forks)
    return call.perform(work)
