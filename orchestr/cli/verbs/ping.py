"""``orchestr ping``: do the hosts answer."""

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
    """See whether the hosts answer.

    Connects to every host (or those of PATTERN), becomes root and starts the agent. Nothing is changed.
    """
    if not call.as_json:
        call = replace(call, verbose=max(1, call.verbose))
    inventory = call.load()
    from orchestr.adhoc import ping

    return call.perform(functools.partial(ping, inventory, pattern, limit=call.limit, forks=call.forks))
