"""``orchestr trust``: see which keys the hosts offer, and record them in known_hosts."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes
from orchestr.errors import EXIT_DONE, EXIT_FAILED, EXIT_UNREACHABLE, InputError

if TYPE_CHECKING:
    from orchestr.transport.trust import HostKeys


@click.command("trust")
@takes("inventory", "hosts", "variables", "output")
@click.option("--yes", is_flag=True, help="Record without asking. Only where you know who answers.")
@click.option(
    "--fingerprint", "fingerprints", multiple=True, metavar="SHA256:…", help="Record only these keys; no question."
)
@click.option(
    "--replace",
    "replace_changed",
    is_flag=True,
    help="Also record keys that differ from the recorded ones, in their place.",
)
def command(call: Invocation, yes: bool, fingerprints: tuple[str, ...], replace_changed: bool) -> int:
    """Show the hosts' keys, ask, and record them.

    What hosts offer is shown beside what known_hosts has; nothing is recorded that was not agreed to.
    """
    inventory = call.load()
    from orchestr.transport.trust import look, record

    found = look(inventory, call.limit, forks=call.forks)
    if not call.as_json:
        for keys in found:
            _show(keys)
    wanted = [keys.only(fingerprints) for keys in found] if fingerprints else found
    todo = [keys for keys in wanted if keys.fresh or (replace_changed and keys.changed)]
    recorded = []
    if todo and (yes or fingerprints or _agrees(call, todo)):
        recorded = [(keys.host, record(keys, replace=replace_changed)) for keys in todo]
    code = _exit_code(found, fingerprints, [host for host, _ in recorded])
    if call.as_json:
        hosts = {keys.host: {**keys.to_json(), "recorded_now": keys.host in dict(recorded)} for keys in found}
        call.print_json({"version": 1, "verb": "trust", "exit": code, "hosts": hosts})
    else:
        _close(call, found, recorded, is_replacing=replace_changed)
    return code


def _show(keys: HostKeys) -> None:
    print(f"{keys.host} ({keys.known_as})")
    for key in keys.offered:
        print(f"  offered   {key.fingerprint} ({key.type}): {keys.state_of(key)}")
    for old in keys.contradicted:
        print(f"  recorded  {old.fingerprint} ({old.type}) at {old.place}")
    if keys.error is not None:
        for line in str(keys.error).splitlines():
            print(f"  {line}")


def _agrees(call: Invocation, todo: list[HostKeys]) -> bool:
    """Ask the person; with --json nobody is asked and nothing recorded."""
    if call.as_json:
        return False
    names = ", ".join(keys.host for keys in todo)
    print("Compare with the machine's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub (on its console).")
    try:
        return click.confirm(f"Record the new keys of {names}?", default=False)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        step = "give --yes, or --fingerprint for each key you know"
        raise InputError("trust asks before it records, and there is nobody to ask", next_step=step) from None


def _exit_code(found: list[HostKeys], fingerprints: tuple[str, ...], recorded: list[str]) -> int:
    """Return 0 when every host's keys are on record now, 4 when some did not answer, else 1."""
    if any(keys.error is not None for keys in found):
        return EXIT_UNREACHABLE
    known = {key.fingerprint for keys in found for key in keys.offered}
    if any(keys.host not in recorded and not keys.is_trusted for keys in found) or not known.issuperset(fingerprints):
        return EXIT_FAILED
    return EXIT_DONE


def _close(call: Invocation, found: list[HostKeys], recorded: list[tuple[str, str]], is_replacing: bool) -> None:
    for host, path in recorded:
        print(f"recorded the keys of {host} in {path}")
    changed = [keys.host for keys in found if keys.changed]
    if changed and not is_replacing:
        print(f"The keys of {', '.join(changed)} CHANGED: somebody reinstalled the machine, or answers in its place.")
        again = replace(call, limit=changed[0]).again()
        print(f"→ {again.command('trust', '--replace')}   (once you know why)")
    elif all(keys.is_trusted for keys in found):
        print("All keys are on record.")
    elif recorded:
        print(f"→ {call.again().command('ping')}")
