"""The schedule of an upgrade: its steps on new, kept and departing hosts, and the problems that prevent it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestr import events
from orchestr.engine.phases import PlayPhase, phases
from orchestr.engine.rolls import emptiest_first, says_how_busy
from orchestr.engine.run import Step

if TYPE_CHECKING:
    from orchestr.engine.run import Run
    from orchestr.upgrades.topology import Topology

CLOCK_TOLERANCE_S = 30.0
DISK_NEEDED_BYTES = 1 << 30


def _hand_over(run: Run, item: PlayPhase, forecast: bool = False) -> Iterator[Step]:
    """Yield the step of departing hosts in a phase; it runs before the step of the other hosts."""
    parting = run.departing
    hosts = item.hosts(parting) if parting is not None and item.phase.reaches_departing else []
    if parting is not None and hosts:
        title = f"{parting.playbook.plays[item.number].name}: departing hosts"
        yield replace(item.step(parting, [hosts], title, forecast=forecast), of=parting.player)


def schedule(run: Run, topology: Topology) -> Iterator[Step]:
    """Yield the steps. All hosts are connected and their facts known; none when the facts show problems."""
    problems = list(_problems(run))
    for host, message, step in problems:
        run.emit(events.HostFailed(host, message, step))
    if problems:
        run.emit(events.RunStopped("the preflight found problems; nothing was changed"))
        return
    plays = [number for number in range(len(run.playbook.plays)) if run.play_hosts[number]]
    items = [item for item in phases(run) if item.hosts(run)]
    deploys = [item for item in items if item.is_deploy and _drains(run, item)]
    yield from _lifecycle_steps(run, plays, "preflight", "preflight", run.hosts)
    for item in items:
        yield from _forecast(run, item, topology)
    yield from _lifecycle_steps(run, plays, "backup", "backup before", topology.kept, if_changing=True)
    for item in items:
        yield from _deploy(run, item, topology)
    for item in deploys:
        yield from _kept_last(run, item, topology)


def _drains(run: Run, item: PlayPhase) -> bool:
    """Return True if a role of a play drains before a restart: by its own ``drain``, or by its description."""
    keys = [(item.number, host) for host in run.play_hosts[item.number]]
    roles = {use.role.name: use.role for key in keys for use in run.context.assignments[key]}
    described = [host.application(name) for name in roles for host in run.context.with_role(name)[:1]]
    has_own = any(hasattr(role.module, "drain") for role in roles.values())
    return has_own or any(application is not None and application.drains for application in described)


def _has(run: Run, number: int, lifecycle: str) -> bool:
    assignments = (use for host in run.play_hosts[number] for use in run.context.assignments[(number, host)])
    return any(assignment.role.function(lifecycle) is not None for assignment in assignments)


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
    """Return a condition that is evaluated just before a host's step, when the forecast is known."""
    return lambda host: run.has_forecast(host, number)


def _forecast(run: Run, item: PlayPhase, topology: Topology) -> Iterator[Step]:
    yield from _hand_over(run, item, forecast=True)
    hosts = [host for host in item.hosts(run) if host in topology.kept]
    title = f"would change: {run.playbook.plays[item.number].name}"
    yield item.step(run, [hosts] if hosts else [], title, forecast=True)


def _deploy(run: Run, item: PlayPhase, topology: Topology) -> Iterator[Step]:
    """Yield the steps of new hosts, one by one; then of kept hosts, unless they drain: these come last."""
    yield from _hand_over(run, item)
    if not item.is_deploy:
        yield item.step(run, item.batches(run))
        return
    name, hosts = run.playbook.plays[item.number].name, item.hosts(run)
    new, kept = ([[host] for host in hosts if host in group] for group in (topology.new, topology.kept))
    yield item.step(run, new, f"{name}: new hosts")
    if not _drains(run, item):
        yield item.step(run, kept)


def _kept_last(run: Run, item: PlayPhase, topology: Topology) -> Iterator[Step]:
    """Yield drain and deploy, host by host, the emptiest first; the drain only for hosts that change."""
    name = run.playbook.plays[item.number].name
    is_changing = _is_changing(run, item.number)
    kept = [host for host in item.hosts(run) if host in topology.kept]
    changing = [host for host in kept if is_changing(host)]
    if says_how_busy(run, item):
        changing = yield from emptiest_first(run, item, changing)
    for host in (*(host for host in kept if host not in changing), *changing):
        drain = Step(item.number, [[host]], "drain", f"{name}: drain {host}", hosts_if=is_changing, role=item.role)
        yield drain
        yield item.step(run, [[host]], f"{name}: {host}")


def _problems(run: Run) -> Iterator[tuple[str, str, str]]:
    """Yield (host, problem, next step) for each problem in the facts."""
    for host, facts in run.context.facts.items():
        offset = float(facts.get("clock_offset_s", 0.0))
        if abs(offset) > CLOCK_TOLERANCE_S and facts.get("time"):
            yield host, f"its clock is {offset:+.0f} s off", "set its clock: systemctl restart systemd-timesyncd"
        if int(facts["disk_free_bytes"]) < DISK_NEEDED_BYTES:
            free = int(facts["disk_free_bytes"]) >> 20
            yield host, f"only {free} MiB are free on /, 1024 are needed", "free disk space: docker image prune -a"
    architectures = {str(facts["architecture"]) for facts in run.context.facts.values()}
    if len(architectures) > 1:
        names = ", ".join(sorted(architectures))
        yield run.hosts[0], f"the hosts' architectures differ: {names}", "use hosts of one architecture"


def departing_steps(run: Run, topology: Topology) -> list[Step]:
    """Return the steps that drain and stop departing hosts, and then remove them from their swarm."""
    plays = [number for number in reversed(range(len(run.playbook.plays))) if run.play_hosts[number]]
    return [
        step
        for lifecycle in ("drain", "stop", "leave")
        for step in _lifecycle_steps(run, plays, lifecycle, lifecycle, topology.removed)
    ]
