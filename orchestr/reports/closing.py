"""The end of a report: a row per host, one sentence with the result, and the next command."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from orchestr.errors import EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_LOCKED
from orchestr.events import RunFinished, RunStarted
from orchestr.reports.lines import count
from orchestr.results import VERDICTS, HostResult, RunResult


@dataclass(frozen=True)
class Again:
    """The part of the command that the next one repeats: inventory, and the options that narrow the run."""

    inventory: str = "INVENTORY"
    options: str = ""
    target: str = ""

    @property
    def is_partial(self) -> bool:
        """True if tags left out a part of the tasks."""
        words = self.options.split()
        return any(word.partition("=")[0] in ("-t", "--tags", "--skip-tags") for word in words)

    def command(self, verb: str, extra: str = "") -> str:
        """Return a command line to type next; after an upgrade other verbs are about the inventory it leads to.

        ``inventory`` of a rollback is the run it goes back from.
        """
        if verb == "upgrade" and self.target:
            extra = f"--to {self.target} {extra}".strip()
        inventory = self.target if self.target and verb not in ("upgrade", "rollback") else self.inventory
        return " ".join(part for part in ("orchestr", verb, inventory, self.options, extra) if part)


def finished(started: RunStarted | None, event: RunFinished) -> RunResult:
    """Return the result in a run's last event; ``started`` adds its verb and inventory."""
    hosts = {name: _host(told) for name, told in event.hosts.items()}
    verb = started.verb if started is not None else ""
    return RunResult(event.run, verb, hosts, event.exit_code, event.elapsed_s, locked=event.exit_code == EXIT_LOCKED)


def _host(told: dict[str, Any]) -> HostResult:
    return HostResult(**{field.name: told[field.name] for field in fields(HostResult) if field.name in told})


def state_of(host: HostResult, verb: str, check: bool) -> str:
    """Return a host's result in one word."""
    if host.unreachable:
        return "unreachable"
    if host.has_failed:
        return "failed"
    if host.changed:
        return "differs" if check else "changed"
    if host.unknown or host.is_uncertain:
        return "unknown"
    return "ok" if verb in _ENDINGS else "unchanged"


def counts(host: HostResult) -> dict[str, int]:
    """Return how many tasks had each verdict."""
    return {verdict: getattr(host, verdict) for verdict in VERDICTS}


def closing(result: RunResult, check: bool, again: Again) -> tuple[str, str]:
    """Return the closing sentence, and the command to type next ("" when there is nothing to do)."""
    failed = [name for name, host in result.hosts.items() if host.has_failed]
    if result.exit_code == EXIT_INTERRUPTED:
        done = f"Interrupted after {_changes(result, check)}." if result.changed else _interrupted_early(result, check)
        return f"{done} What was begun is finished by the next run.", again.command(result.verb)
    if result.locked:
        return "Nothing was done: another run holds a host (see above).", again.command(result.verb)
    if result.exit_code == EXIT_INPUT:
        return f"Ended by an error in the input; {_changes(result, check)}.", ""
    if failed:
        return _failure(result, failed, check, again)
    if result.exit_code == EXIT_FAILED:
        rest = "it is not known what would be changed" if check else _changes(result, check)
        return f"Broken off by a fault; {rest}.", ""
    if result.verb in _ENDINGS:
        return _ENDINGS[result.verb](result, again)
    return _planned(result, again) if check else _done(result, again)


def _interrupted_early(result: RunResult, check: bool) -> str:
    return f"Interrupted; {_changes(result, check)}."


def _failure(result: RunResult, failed: list[str], check: bool, again: Again) -> tuple[str, str]:
    names = _listed(failed)
    if result.verb == "verify":
        checks = sum(host.failed for host in result.hosts.values())
        passed = sum(host.ok for host in result.hosts.values())
        return f"{count(checks, 'check')} failed and {passed} passed; look at {names}.", again.command("run")
    what = "could not be reached" if all(result.hosts[name].unreachable for name in failed) else "failed"
    sentence = f"{len(failed)} of {count(len(result.hosts), 'host')} {what} ({names})"
    sentence += "." if result.verb in _ENDINGS else f"; {_changes(result, check)}."
    return sentence, f"put right what is said above, then: {again.command(result.verb)}"


def _planned(result: RunResult, again: Again) -> tuple[str, str]:
    unknown = sum(host.unknown for host in result.hosts.values())
    if not result.changed and not unknown:
        return _all_as_it_should_be(result, again), ""
    sentence = f"{_changes(result, True)[0].upper()}{_changes(result, True)[1:]}"
    if unknown:
        sentence += f"; {count(unknown, 'more task')} can be told only after these"
    return sentence + ".", again.command("run")


def _done(result: RunResult, again: Again) -> tuple[str, str]:
    if not result.changed:
        return _all_as_it_should_be(result, again), ""
    unchanged = sum(not host.changed for host in result.hosts.values())
    rest = f" {count(unchanged, 'host')} unchanged." if unchanged else ""
    return f"Done: {_changes(result, False)}.{rest}", again.command("verify")


def _all_as_it_should_be(result: RunResult, again: Again) -> str:
    """Return the sentence for a run without a change; it claims no more than what the run looked at."""
    hosts = len(result.hosts)
    if again.is_partial:
        where = "the host is" if hosts == 1 else f"all {hosts} hosts are"
        return f"Nothing to change: in what the tags select, {where} as the inventory says."
    return f"Nothing to change: {'the host is' if hosts == 1 else f'all {hosts} hosts are'} as the inventory says."


def _changes(result: RunResult, check: bool) -> str:
    """Return the changes in words; of a task that had begun, and did not end well, nobody knows what it changed."""
    hosts = sum(host.changed > 0 for host in result.hosts.values())
    what, where = count(result.changed, "change"), count(hosts, "host")
    if check:
        unknown = [name for name, host in result.hosts.items() if host.has_failed]
        known = f"{what} would be made on {where}" if result.changed else "nothing would be changed"
        if not unknown:
            return known
        rest = f"it is not known what would be changed on {_listed(unknown)}"
        return f"{known}, and {rest}" if result.changed else rest
    uncertain = [name for name, host in result.hosts.items() if host.is_uncertain]
    if not uncertain:
        return f"{what} made on {where}" if result.changed else "nothing was changed"
    more = f"{_listed(uncertain)} may have changed"
    return f"{what} made on {where}, and {more} further" if result.changed else more


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _verified(result: RunResult, again: Again) -> tuple[str, str]:
    passed = sum(host.ok for host in result.hosts.values())
    if not passed:
        return "No role of these hosts has a check (roles/NAME/verify.py).", ""
    return f"All {count(passed, 'check')} on {count(len(result.hosts), 'host')} passed.", ""


def _pinged(result: RunResult, again: Again) -> tuple[str, str]:
    hosts = len(result.hosts)
    return ("The host answers." if hosts == 1 else f"All {hosts} hosts answer."), ""


def _executed(result: RunResult, again: Again) -> tuple[str, str]:
    return f"The command ended with 0 on {count(len(result.hosts), 'host')}.", ""


_ENDINGS = {"verify": _verified, "ping": _pinged, "facts": _pinged, "exec": _executed}
