"""``orchestr rollback``: undo an upgrade."""

from __future__ import annotations

import functools
from dataclasses import replace

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes
from orchestr.paths import nearby


@click.command("rollback")
@click.argument("run", metavar="RUN")
@takes("diff", "forks", "playbook", "variables", "events", "output")
@click.option("--no-verify", is_flag=True, help="Skip the checks of verify at the end.")
def command(call: Invocation, run: str, no_verify: bool) -> int:
    """Undo an upgrade.

    RUN is the name of the upgrade, the beginning of the name, or 'last' for the newest upgrade. See history.
    Repeat its -e and -K options; its --playbook is recorded.
    """
    from orchestr.cli.variables import extra_variables
    from orchestr.cli.vault import vault_key
    from orchestr.upgrades.record import upgrade_record
    from orchestr.upgrades.run import rollback

    record = upgrade_record(run)
    work = functools.partial(
        rollback,
        record.run,
        playbook=call.playbook,
        extra_vars=extra_variables(call),
        forks=call.forks,
        verify=not no_verify,
        vault_password=vault_key(call),
    )
    playbook = call.playbook or (nearby(str(record.playbook)) if record.playbook else None)
    return replace(call, inventory_path=run, target=nearby(str(record.before)), playbook=playbook).perform(work)
