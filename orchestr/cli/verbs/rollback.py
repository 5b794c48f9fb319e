"""``orchestr rollback``: back to what the cluster was before an upgrade."""

from __future__ import annotations

import functools
from dataclasses import replace

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("rollback")
@click.argument("run", metavar="RUN")
@takes("diff", "forks", "vault", "events", "output")
@click.option("--no-verify", is_flag=True, help="Do not run the checks of verify at the end.")
def command(call: Invocation, run: str, no_verify: bool) -> int:
    """Go back to what was before an upgrade.

    RUN is the upgrade's name, the beginning of it, or 'last'. See history.
    """
    from orchestr.cli.vault import vault_key
    from orchestr.upgrade import rollback

    key = vault_key(call)
    work = functools.partial(rollback, run, forks=call.forks, verify=not no_verify, vault_password=key)
    return replace(call, inventory_path=run).perform(work)
