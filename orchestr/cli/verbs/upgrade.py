"""``orchestr upgrade``: move a running cluster to another inventory without an outage."""

from __future__ import annotations

import functools

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("upgrade")
@takes("inventory", "diff", "forks", "playbook", "variables", "events", "output")
@click.option("--to", "target", required=True, metavar="INVENTORY", help="Inventory of the cluster after the upgrade.")
@click.option("--no-verify", is_flag=True, help="Skip the checks of verify at the end.")
def command(call: Invocation, no_verify: bool) -> int:
    """Move a running cluster to another inventory.

    Steps: preflight, backup, new hosts one by one, drain and change only the hosts that differ, verify.
    A failure stops the upgrade and reports the state of each host.
    """
    before, after = call.load(), call.load(call.target)
    from orchestr.upgrades.run import upgrade

    work = functools.partial(upgrade, before, after, playbook=call.playbook, forks=call.forks, verify=not no_verify)
    return call.perform(work)
