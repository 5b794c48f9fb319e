"""``orchestr upgrade``: from one inventory to another, without those who use the cluster noticing."""

from __future__ import annotations

import functools

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("upgrade")
@takes("inventory", "diff", "forks", "playbook", "variables", "events", "output")
@click.option("--to", "target", required=True, metavar="INVENTORY", help="The inventory the cluster grows to.")
@click.option("--no-verify", is_flag=True, help="Do not run the checks of verify at the end.")
def command(call: Invocation, no_verify: bool) -> int:
    """Grow a running cluster to another inventory.

    Preflight, backup, new nodes first and healthy, then drain and redo only what changes, then verify.
    Any failure stops it and says what state each machine is in.
    """
    before, after = call.load(), call.load(call.target)
    from orchestr.upgrades.run import upgrade

    work = functools.partial(upgrade, before, after, playbook=call.playbook, forks=call.forks, verify=not no_verify)
    return call.perform(work)
