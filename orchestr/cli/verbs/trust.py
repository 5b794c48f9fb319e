"""``orchestr trust``: see the keys that hosts offer, and record them in known_hosts."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
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
@click.option("--yes", is_flag=True, help="Record new keys without asking. Only in a network you trust.")
@click.option(
    "--fingerprint",
    "fingerprints",
    multiple=True,
    metavar="SHA256:…",
    help="Record only keys with this fingerprint, without asking. May be repeated.",
)
@click.option(
    "--replace",
    "replaced",
    multiple=True,
    metavar="HOST",
    help="Replace the recorded keys of this host, whose keys changed. May be repeated.",
)
def command(call: Invocation, yes: bool, fingerprints: tuple[str, ...], replaced: tuple[str, ...]) -> int:
    """Show the hosts' keys, ask, and record them.

    The keys that hosts offer are shown beside those in known_hosts. A key is recorded only with your consent, and a
    changed key only for a host named with --replace.
    """
    inventory = call.load()
    from orchestr.transport.trust import look, record  # imported when the inventory is valid

    hosts = look(inventory, call.limit, forks=call.forks)
    _refuse_unknown(replaced, [keys.host for keys in hosts])
    if not call.as_json:
        for keys in hosts:
            _show(keys)
    todo = [keys for keys in hosts if keys.to_record(fingerprints, replace=keys.host in replaced)]
    recorded = []
    if todo and (yes or fingerprints or _agrees(call, todo, replaced)):
        recorded = [(keys.host, record(keys, fingerprints, replace=keys.host in replaced)) for keys in todo]
    code = _exit_code(hosts, fingerprints, [host for host, _ in recorded])
    if call.as_json:
        result = {keys.host: {**keys.to_json(), "recorded_now": keys.host in dict(recorded)} for keys in hosts}
        call.print_json({"version": 1, "verb": "trust", "exit": code, "hosts": result})
    else:
        _close(call, hosts, recorded, replaced)
    return code


def _refuse_unknown(replaced: Sequence[str], hosts: Sequence[str]) -> None:
    """Raise InputError for a name given to --replace that is not among the hosts asked."""
    from orchestr.inventory.closest import closest  # the inventory is imported by now, not by --help

    for name in replaced:
        if name not in hosts:
            raise InputError(
                f"--replace {name}: not one of the hosts asked for their keys",
                suggestion=closest(name, hosts),
                next_step="give the name of a host in the inventory and within --limit that is reached over SSH",
            )


def _show(keys: HostKeys) -> None:
    print(f"{keys.host} ({keys.known_as})")
    for key in keys.offered:
        print(f"  offered   {key.fingerprint} ({key.type}): {keys.state_of(key)}")
    for old in keys.contradicted:
        print(f"  recorded  {old.fingerprint} ({old.type}) at {old.location}")
    if keys.error is not None:
        for line in str(keys.error).splitlines():
            print(f"  {line}")


def _agrees(call: Invocation, todo: list[HostKeys], replaced: Collection[str]) -> bool:
    """Ask the user; with --json there is no question and nothing is recorded."""
    if call.as_json:
        return False
    print("Compare with the machine's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub (on its console).")
    new = ", ".join(keys.host for keys in todo if keys.host not in replaced)
    old = ", ".join(keys.host for keys in todo if keys.host in replaced)
    questions = [f"Record the new keys of {new}?"] * bool(new) + [f"Replace the recorded keys of {old}?"] * bool(old)
    try:
        return all(click.confirm(question, default=False) for question in questions)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        step = "give --yes, or --fingerprint for each key you know"
        raise InputError("trust asks before it records, and standard input is not a terminal", next_step=step) from None


def _exit_code(hosts: list[HostKeys], fingerprints: tuple[str, ...], recorded: list[str]) -> int:
    """Return 0 when every host's keys are on record now, 4 when some did not answer, else 1."""
    if any(keys.error is not None for keys in hosts):
        return EXIT_UNREACHABLE
    known = {key.fingerprint for keys in hosts for key in keys.offered}
    if any(keys.host not in recorded and not keys.is_trusted for keys in hosts) or not known.issuperset(fingerprints):
        return EXIT_FAILED
    return EXIT_DONE


def _close(call: Invocation, hosts: list[HostKeys], recorded: list[tuple[str, str]], replaced: Collection[str]) -> None:
    for host, path in recorded:
        print(f"recorded the keys of {host} in {path}")
    changed = [keys.host for keys in hosts if keys.changed and keys.host not in replaced]
    if changed:
        print(f"The keys of {', '.join(changed)} CHANGED: the machine was reinstalled, or another one answers.")
        again = replace(call, limit=changed[0]).again()
        print(f"→ {again.command('trust', f'--replace {changed[0]}')}   (once you know why)")
    elif all(keys.is_trusted for keys in hosts):
        print("All keys are on record.")
    elif recorded:
        print(f"→ {call.again().command('ping')}")
