"""Grow (or shrink) a running cluster from one inventory to another, so that those who use it notice nothing.

The order: compare the two topologies → preflight → forecast → backup of what will change → new hosts, one by one, each
healthy before the next → the hosts that were there → those whose restart ends somebody's call last, drained first,
and only if something changes for them → hosts no longer in the inventory drained and stopped → verify from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr import events
from orchestr.api import RunSession
from orchestr.engine.phases import PlayPhase, phases
from orchestr.engine.run import Run, RunOptions, Step
from orchestr.errors import EXIT_DONE, EXIT_FAILED, InputError
from orchestr.results import HostResult, RunResult

if TYPE_CHECKING:
    from orchestr.engine.session import Connector
    from orchestr.inventory import Inventory, VaultKey
    from orchestr.verification import VerifyResult

CLOCK_TOLERANCE_S = 30.0
DISK_NEEDED_BYTES = 1 << 30
STILL_THERE = "untouched, still part of the cluster"


@dataclass(frozen=True)
class Topology:
    """Which hosts an upgrade adds, keeps and lets go, in inventory order."""

    new: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass
class UpgradeResult:
    """What an upgrade came to: the run over both topologies' hosts, and the checks from outside that followed."""

    run: RunResult
    topology: Topology
    verification: VerifyResult | None = None
    states: dict[str, str] = field(default_factory=dict)
    has_parted: bool = False  # with the hosts that go: their turn came

    @property
    def exit_code(self) -> int:
        if self.run.exit_code == EXIT_DONE and self.verification is not None:
            return self.verification.exit_code
        return self.run.exit_code

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints: a run's object, with ``topology``, ``states`` and ``verify``."""
        topology = {"new": self.topology.new, "kept": self.topology.kept, "removed": self.topology.removed}
        checks = self.verification.to_json() if self.verification is not None else None
        return {
            **self.run.to_json(),
            "exit": self.exit_code,
            "topology": topology,
            "states": self.states,
            "verify": checks,
        }


def compare(before: Inventory, after: Inventory) -> Topology:
    """Return who is new, kept and removed. Raises InputError when the two have no host in common, or are the same."""
    if before.path.resolve() == after.path.resolve():
        raise InputError(
            "the cluster stands like this already: --to is the same inventory",
            file=after.path,
            next_step=f"orchestr run {after.path} makes the hosts match it",
        )
    kept = tuple(name for name in after.hosts if name in before.hosts)
    if not kept:
        raise InputError(
            f"no host of {after.path} is in {before.path}: that is no upgrade of it",
            file=after.path,
            next_step=f"orchestr run {after.path} sets up a new cluster",
        )
    new = tuple(name for name in after.hosts if name not in before.hosts)
    removed = tuple(name for name in before.hosts if name not in after.hosts)
    return Topology(new, kept, removed)


def upgrade(
    before: Inventory,
    after: Inventory,
    *,
    playbook: str | Path | None = None,
    on_event: events.Consumer | None = None,
    connector: Connector | None = None,
    forks: int = 32,
    verify: bool = True,
    journal: bool = True,
    verb: str = "upgrade",
) -> UpgradeResult:
    """Bring a running cluster from ``before`` to ``after``; stop at the first failure, saying how each machine stands.

    Raises InputError for anything wrong in either inventory, before the first connection.
    """
    topology = compare(before, after)
    options = RunOptions(
        verb=verb,
        forks=forks,
        any_errors_fatal=True,
        new_hosts=frozenset(topology.new),
        previous=before.path,
        chosen_playbook=Path(playbook) if playbook is not None else None,
    )
    with RunSession(on_event, connector, journal=journal) as session:
        main = session.prepare(after, playbook, options)
        parting = _parting_run(session, before, playbook, topology, main) if topology.removed else None
        if parting is not None and _hands_over(main, parting):
            _introduce(main, parting)
        _announce(main, topology)
        result = UpgradeResult(main.execute(lambda run: _schedule(run, topology)), topology)
        if parting is not None and result.run.exit_code == EXIT_DONE:
            result.has_parted = True
            _merge(result.run, parting.execute(lambda run: _parting_steps(run, topology)))
        elif main.departing is not None:  # what they came to so far
            result.run.hosts.update(main.departing.result.hosts)
        if verify and result.run.exit_code == EXIT_DONE:
            from orchestr.verification.run import verify_in

            result.verification = verify_in(session, after, playbook, forks=forks, run_id=main.id)
        result.states = dict(_states(main, topology, result))
    return result


def rollback(
    run: str,
    *,
    playbook: str | Path | None = None,
    extra_vars: Mapping[str, Any] | None = None,
    on_event: events.Consumer | None = None,
    connector: Connector | None = None,
    forks: int = 32,
    verify: bool = True,
    vault_password: Callable[[], str] | VaultKey | None = None,
) -> UpgradeResult:
    """Bring a cluster back to what it was before the upgrade ``run``: the same steps, the other way round.

    ``run`` may be ``last``, the newest upgrade. ``playbook`` defaults to the one the upgrade was given; ``extra_vars``
    must name the variables it was given. ``vault_password`` is what `load_inventory` takes. Raises InputError when no
    such run is recorded, or it was no upgrade.
    """
    from orchestr.inventory import load_inventory
    from orchestr.upgrades.record import upgrade_record

    record = upgrade_record(run)
    record.check_variables(extra_vars or ())
    before, after = (
        load_inventory(path, extra_vars=extra_vars, vault_password=vault_password)
        for path in (record.after, record.before)
    )
    return upgrade(
        before,
        after,
        playbook=playbook or record.playbook,
        on_event=on_event,
        connector=connector,
        forks=forks,
        verify=verify,
        verb="rollback",
    )


def _hands_over(main: Run, parting: Run) -> bool:
    """Return True if departing hosts take part in the run, in the same plays: they may have data to hand over."""
    is_same = main.playbook.path == parting.playbook.path
    return is_same and any(item.phase.reaches_departing and item.hosts(parting) for item in phases(parting))


def _introduce(main: Run, parting: Run) -> None:
    """Let the hosts that stay and those that go know of each other, and take part in one run."""
    main.departing = parting
    main.context.departing, parting.context.staying = parting.context, main.context


def _handing_over(run: Run, item: PlayPhase, forecast: bool = False) -> Iterator[Step]:
    """Yield the part of departing hosts in a phase, before the other hosts have their turn."""
    parting = run.departing
    hosts = item.hosts(parting) if parting is not None and item.phase.reaches_departing else []
    if parting is not None and hosts:
        title = f"{parting.playbook.plays[item.number].name}: departing hosts"
        yield replace(item.step(parting, [hosts], title, forecast=forecast), of=parting.player)


def _schedule(run: Run, topology: Topology) -> list[Step]:
    """Return the steps, once all hosts are connected and their facts known; none when the facts forbid it."""
    problems = list(_problems(run))
    for host, message, step in problems:
        run.emit(events.HostFailed(host, message, step))
    if problems:
        run.emit(events.RunStopped("the preflight found problems; nothing was changed"))
        return []
    plays = [number for number in range(len(run.playbook.plays)) if run.play_hosts[number]]
    items = [item for item in phases(run) if item.hosts(run)]
    deploys = [item for item in items if item.is_deploy and _drains(run, item)]
    return [
        *_lifecycle_steps(run, plays, "preflight", "preflight", run.hosts),
        *(step for item in items for step in _forecast(run, item, topology)),
        *_lifecycle_steps(run, plays, "backup", "backup before", topology.kept, if_changing=True),
        *(step for item in items for step in _deploy(run, item, topology)),
        *(step for item in deploys for step in _kept_last(run, item, topology)),
    ]


def _drains(run: Run, item: PlayPhase) -> bool:
    """Return True if a role of a play drains before a restart: one with a ``drain`` of its own, or that says so."""
    keys = [(item.number, host) for host in run.play_hosts[item.number]]
    roles = {each.role.name: each.role for key in keys for each in run.context.assignments[key]}
    described = [host.application(name) for name in roles for host in run.context.with_role(name)[:1]]
    own = any(hasattr(role.module, "drain") for role in roles.values())
    return own or any(application is not None and application.drains for application in described)


def _has(run: Run, number: int, lifecycle: str) -> bool:
    uses = (run.context.assignments[(number, host)] for host in run.play_hosts[number])
    return any(assignment.role.function(lifecycle) is not None for each in uses for assignment in each)


def _in_play(run: Run, number: int, hosts: Iterable[str]) -> list[str]:
    wanted = set(hosts)
    return [host for host in run.play_hosts[number] if host in wanted]


def _lifecycle_steps(
    run: Run, plays: list[int], lifecycle: str, title: str, hosts: Iterable[str], if_changing: bool = False
) -> Iterator[Step]:
    for number in plays:
        if _has(run, number, lifecycle):
            name = f"{title}: {run.playbook.plays[number].name}"
            condition = _is_changing(run, number) if if_changing else None
            yield Step(number, [_in_play(run, number, hosts)], lifecycle, name, hosts_if=condition)


def _is_changing(run: Run, number: int) -> Callable[[str], bool]:
    """Return a question that is asked just before a host's turn, when the forecast is known."""
    return lambda host: run.has_forecast(host, number)


def _forecast(run: Run, item: PlayPhase, topology: Topology) -> Iterator[Step]:
    yield from _handing_over(run, item, forecast=True)
    hosts = [host for host in item.hosts(run) if host in topology.kept]
    title = f"what would change: {run.playbook.plays[item.number].name}"
    yield item.step(run, [hosts] if hosts else [], title, forecast=True)


def _deploy(run: Run, item: PlayPhase, topology: Topology) -> Iterator[Step]:
    """New hosts one by one; then those that were there, unless their restart hurts: these come last of all."""
    yield from _handing_over(run, item)
    if not item.is_deploy:
        yield item.step(run, item.batches(run))
        return
    name, hosts = run.playbook.plays[item.number].name, item.hosts(run)
    new, kept = ([[host] for host in hosts if host in some] for some in (topology.new, topology.kept))
    yield item.step(run, new, f"{name}: new hosts")
    if not _drains(run, item):
        yield item.step(run, kept)


def _kept_last(run: Run, item: PlayPhase, topology: Topology) -> Iterator[Step]:
    """Drain and redo, host by host, what the forecast saw changing; look at the others, which changes nothing."""
    name = run.playbook.plays[item.number].name
    for host in item.hosts(run):
        if host in topology.kept:
            condition = _is_changing(run, item.number)
            drain = Step(item.number, [[host]], "drain", f"{name}: drain {host}", hosts_if=condition, role=item.role)
            yield drain
            yield item.step(run, [[host]], f"{name}: {host}")


def _problems(run: Run) -> Iterator[tuple[str, str, str]]:
    """Yield (host, what is wrong, next step) for what the facts show to be unfit."""
    for host, facts in run.context.facts.items():
        offset = float(facts.get("clock_offset_s", 0.0))
        if abs(offset) > CLOCK_TOLERANCE_S and facts.get("time"):
            yield host, f"its clock is {offset:+.0f} s off", "set its clock: systemctl restart systemd-timesyncd"
        if int(facts["disk_free_bytes"]) < DISK_NEEDED_BYTES:
            free = int(facts["disk_free_bytes"]) >> 20
            yield host, f"only {free} MiB are free on /, 1024 are needed", "free some space: docker image prune -a"
    kinds = {str(facts["architecture"]) for facts in run.context.facts.values()}
    if len(kinds) > 1:
        yield run.hosts[0], f"the hosts' architectures differ: {', '.join(sorted(kinds))}", "use one architecture"


def _parting_run(
    session: RunSession, before: Inventory, playbook: str | Path | None, topology: Topology, main: Run
) -> Run:
    """Return the run of the hosts that are no longer in the inventory, by the inventory they were in."""
    verb, forks, limit = main.options.verb, main.options.forks, ":".join(topology.removed)
    options = RunOptions(verb=verb, forks=forks, limit=limit, run_id=main.id)
    return session.prepare(before, playbook, options)


def _parting_steps(run: Run, topology: Topology) -> list[Step]:
    """Return the steps that drain and stop departing hosts, and last make them leave a swarm they are members of."""
    plays = [number for number in reversed(range(len(run.playbook.plays))) if run.play_hosts[number]]
    return [
        step
        for lifecycle in ("drain", "stop", "leave")
        for step in _lifecycle_steps(run, plays, lifecycle, lifecycle, topology.removed)
    ]


def _announce(run: Run, topology: Topology) -> None:
    for what, hosts in (("new", topology.new), ("kept", topology.kept), ("no longer there", topology.removed)):
        if hosts:
            run.emit(events.Note(f"{what}: {', '.join(hosts)}"))


def _merge(into: RunResult, other: RunResult) -> None:
    into.hosts.update(other.hosts)
    into.exit_code = into.exit_code or other.exit_code
    into.elapsed_s += other.elapsed_s


def _changes(count: int) -> str:
    return "1 change" if count == 1 else f"{count} changes"


def _parted(found: HostResult) -> str:
    """Say how a host stands that is no longer in the inventory; no task means no role of it had one to stop."""
    if found.changed:
        return "drained and stopped"
    return "already stopped" if found.ok else "nothing to stop on it, no longer part of the cluster"


def _still_there(found: HostResult) -> str:
    """Say how a host stands that was to go, where the upgrade failed before its turn."""
    return f"handed over what it had ({_changes(found.changed)}), not stopped" if found.changed else STILL_THERE


def _states(run: Run, topology: Topology, result: UpgradeResult) -> Iterator[tuple[str, str]]:
    """Yield how each machine stands, in words; after a failure this is what the user reads first."""
    for host, found in result.run.hosts.items():
        if found.has_failed:
            state = f"failed after {_changes(found.changed)}" if found.changed else "failed, nothing changed on it"
        elif host in topology.removed:
            state = _parted(found) if result.has_parted else _still_there(found)
        elif found.changed:
            state = f"{'added' if host in topology.new else 'changed'} ({_changes(found.changed)})"
        else:
            state = "unchanged"
        yield host, state
        run.emit(events.Note(state, host))
    for host in topology.removed:
        if host not in result.run.hosts:
            yield host, STILL_THERE
            run.emit(events.Note(STILL_THERE, host))
    if result.run.exit_code == EXIT_FAILED:
        run.emit(events.Note("to go back: orchestr rollback " + run.id + "; to go on: the same command again"))
