"""``orchestr ping``: check that hosts can be reached."""

from __future__ import annotations

import functools
from dataclasses import replace

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("ping")
@takes("inventory", "hosts", "variables", "events", "output")
@click.argument("pattern", default="all")
def command(call: Invocation, pattern: str) -> int:
    """Check that hosts can be reached.

    Connects to all hosts (or the hosts of PATTERN), becomes root and starts the agent. Changes nothing.
    """
    if not call.as_json:
        call = replace(call, verbose=max(1, call.verbose))
    inventory = call.load()
    from orchestr.adhoc import ping

    return call.perform(functools.partial(ping, inventory, pattern, limit=call.limit, forks=call.forks))
