"""firewalld as the packet filter: bringing its files, its daemon and the kernel to one goal.

Daemon ("runtime") and disk ("permanent") are changed by the same rules one after the other, not by writing the one and
reloading: a reload drops all rules that others gave the daemon alone (bans, Docker's Swarm ingress before moby #49728).
Only where the kernel has lost firewalld's rules is it reloaded. Docker's own rules go whenever firewalld starts, and
Docker that was started before it does not notice: it is restarted then, once.
"""

from __future__ import annotations

from contextlib import contextmanager

from orchestr.agent import guard
from orchestr.agent.record import replace
from orchestr.agent.resource import ResourceError, State
from orchestr.agent.system import Reader, System
from orchestr.resources.firewall import docker_user, firewalld_direct, firewalld_rules, firewalld_state, netfilter
from orchestr.resources.firewall.backend import Backend, Wish
from orchestr.resources.firewall.firewalld_rules import RICH, SINGLE, Item, Placed, entries_of
from orchestr.resources.firewall.firewalld_state import Goal, Now
from orchestr.resources.firewall.netfilter import RESTORE
from orchestr.resources.firewall.rules import Entry, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, FrozenSet, Iterator, List, Optional, Sequence, Tuple

#: Among single rules those that deny come first, as with firewalld's own; limits have an odd priority.
_SINGLES = {"deny": SINGLE, "limit": SINGLE + 1, "allow": SINGLE + 2}
_ENABLED = "ENABLED=yes"
DOCKER_BACK_S, DOCKER_SETTLE_S = 20.0, 1.0  # in which Docker's rules are back after a reload, and then stay as they are
_DOCKER_AGAIN = "iptables -n -L DOCKER >/dev/null 2>&1 || systemctl try-restart docker.service"


class Firewalld(Backend):
    """The backend for hosts that run firewalld (1.0 and later)."""

    name = "firewalld"

    def observe(self, reader: Reader, wish: Wish) -> State:
        now = self._now(reader)
        return firewalld_state.observed(reader, now, firewalld_state.goal_of(reader, now, wish), wish)

    def apply(self, system: System, wish: Wish) -> None:
        now = _undo_and_read(system)
        goal = firewalld_state.goal_of(system, now, wish)
        if not wish.enabled:
            _write(system, now, goal)
            system.run(["systemctl", "disable", "--quiet", "--now", "firewalld.service"])
            _restart_docker(system, now)
            return
        if _ENABLED in (system.read_text("/etc/ufw/ufw.conf") or ""):
            raise ResourceError(
                "ufw is on, and two firewalls contradict each other", "turn it off before firewalld: ufw disable"
            )
        can_cut_off = not now.is_active or bool(now.gap) or _can_cut_off(now, goal)
        with _guard_change(system, now, goal, wish.guard_s, can_cut_off):
            if now.is_active:
                _load(system, _reload(system, now) if now.gap else now, goal)
            else:
                _write(system, now, goal)
                system.run(["systemctl", "enable", "--quiet", "firewalld.service"])
                system.run(["systemctl", "start", "firewalld.service"])
                system.run(["firewall-cmd", "--state"])  # answered once its rules are loaded
        if now.is_active:
            _write(system, now, goal)
            if not now.is_at_boot:
                system.run(["systemctl", "enable", "--quiet", "firewalld.service"])
        else:
            _restart_docker(system, now)
        _hook_docker(system, goal)

    def observe_rule(self, reader: Reader, wanted: Tuple[Wanted, ...], is_present: bool) -> Optional[State]:
        now = self._now(reader)
        if is_present:
            now.require_sight()
        texts = tuple(item.text for item in wanted if _holds(now, item, is_present))
        return {"rules": texts} if texts else None

    def apply_rule(self, system: System, wanted: Tuple[Wanted, ...], is_present: bool, guard_s: float) -> None:
        now = _undo_and_read(system)
        goal = _goal_of_rule(system, now, wanted, is_present)
        with _guard_change(system, now, goal, guard_s, now.is_active and _can_cut_off(now, goal)):
            if now.is_active:
                _load(system, now, goal)
        _write(system, now, goal)

    def _now(self, reader: Reader) -> Now:
        now: Now = reader.once(("firewall", self.name), lambda: firewalld_state.read(reader))
        return now


def _undo_and_read(system: System) -> Now:
    """Undo the unconfirmed change of an earlier run, which may turn firewalld off; return the state after it."""
    guard.undo_unconfirmed(system)
    system.forget(("firewall",))
    return firewalld_state.read(system)


def _holds(now: Now, item: Wanted, is_present: bool) -> bool:
    """Return True if a line is in force; for a line to remove, if any entry of ours remains of it."""
    matches = {entry.match for entry in _entries(item)}
    if not is_present:
        left = [entry for other in now.permanent | now.runtime for entry in entries_of(other)]
        return any(entry.is_single and entry.match in matches for entry in left)
    there = {(entry.match, entry.action) for other in firewalld_state.held(now) for entry in entries_of(other)}
    return all((match, item.entries[0].action) in there for match in matches)


def _entries(item: Wanted) -> List[Entry]:
    """Return the entries of a line as they are told from a zone's: one for each protocol."""
    return [entry for body in firewalld_rules.bodies(item.entries) for entry in entries_of((RICH, "rule " + body))]


def _goal_of_rule(system: System, now: Now, wanted: Tuple[Wanted, ...], is_present: bool) -> Goal:
    """Return the state on disk with or without these lines of a FirewallRule, as the goal for disk and daemon."""
    ours = {entry.match for item in wanted for entry in _entries(item)}
    items = {item for item in now.permanent if not any(e.is_single and e.match in ours for e in entries_of(item))}
    if is_present:
        for line in wanted:
            priority = _SINGLES[line.entries[0].action]
            items |= {Placed(priority, body).item for body in firewalld_rules.bodies(line.entries)}
    is_filtered = any("DOCKER-USER" in line for line in firewalld_direct.lines_of(now.direct)[4])
    return firewalld_state.with_lines(system, now, frozenset(items), is_filtered)


def _can_cut_off(now: Now, goal: Goal) -> bool:
    """Return True if reaching the goal does more than allow additional packets."""
    gone = (now.permanent - goal.permanent) | (now.runtime - goal.runtime)
    new = (goal.permanent - now.permanent) | (goal.runtime - now.runtime)
    if any(entry.action != "deny" for item in gone for entry in entries_of(item)):
        return True
    return any(entry.action != "allow" for item in new for entry in entries_of(item))


@contextmanager
def _guard_change(system: System, now: Now, goal: Goal, window_s: float, can_cut_off: bool) -> Iterator[None]:
    """Arm the dead man's switch around a change that can cut off a controller that came in over the network."""
    if not can_cut_off or not system.ssh_connection():
        yield
        return
    with guard.arm(system, undo_of(now, goal), window_s, "the new firewall"):
        yield


def undo_of(now: Now, goal: Goal) -> guard.Undo:
    """Return the commands back to ``now``: firewalld off, with its old files; or on, with each change reversed.

    Where it is on, the disk is only written once the controller has confirmed: a reboot undoes as well.
    """
    commands: List[Tuple[Sequence[str], bytes]] = []
    if now.is_active:
        commands += [(argv, b"") for argv in _steps(now, "runtime", goal.runtime, now.runtime)]
        old = firewalld_direct.lines_of(now.direct)
        for family, live in now.live.items():
            if live is not None:
                text = firewalld_direct.restored(_with_chains(live, goal.lines[family]), old[family])
                commands += [(RESTORE[family], text.encode("utf-8"))] if text else []
        return guard.Undo((), tuple(commands))
    commands.append((["systemctl", "stop", "firewalld.service"], b""))
    commands += [(["systemctl", "disable", "firewalld.service"], b"")] if not now.is_at_boot else []
    commands += [(argv, b"") for argv in _steps(now, "permanent", goal.permanent, now.permanent)]
    commands += [(["/bin/sh", "-c", _DOCKER_AGAIN], b"")] if now.has_docker else []
    return guard.Undo((firewalld_direct.PATH,), tuple(commands))


def _with_chains(live: netfilter.Live, lines: Sequence[str]) -> netfilter.Live:
    """Return the kernel as it will be once these lines are loaded, as far as chains go."""
    published, limited = firewalld_direct.split(lines)
    chains = dict(live.chains)
    chains.update({"orchestr-published": []} if published else {})
    if limited:
        hook = "INPUT_direct" if "INPUT_direct" in chains else "INPUT"
        chains[firewalld_direct.LIMITED] = []
        chains[hook] = ["-j " + firewalld_direct.LIMITED, *chains.get(hook, [])]
    return netfilter.Live(live.policies, chains, {})


def _reload(system: System, now: Now) -> Now:
    """Rebuild the kernel's rules from the files on disk, and return the state after it."""
    if now.gap == firewalld_state.NO_TABLE:
        system.run(["nft", "add", "table", "inet", "firewalld"])
    system.run(["firewall-cmd", "--reload"])
    return replace(now, runtime=now.permanent, live=_await_kernel(system, now))


def _await_kernel(system: System, before: Now) -> Dict[int, Optional[netfilter.Live]]:
    """Return the kernel's rules once Docker, notified of the reload, has restored its own and changes them no more.

    After DOCKER_BACK_S the rules are returned as they are: the observation after the change reports missing ones.
    """
    families = [family for family, live in before.live.items() if live is not None and "DOCKER" in live.chains]
    since = None
    live: Dict[int, Optional[netfilter.Live]] = {}
    for _ in system.attempts(DOCKER_BACK_S, 0.2):
        live = {family: netfilter.read(system, family) for family in (4, 6)}
        tables = [live[family] for family in families]
        is_back = all(table is not None and table.jumps("FORWARD", "DOCKER-USER") for table in tables)
        since = (since or system.monotonic()) if is_back else None
        is_settled = since is not None and system.monotonic() - since >= DOCKER_SETTLE_S
        if not families or is_settled:
            break
    return live


def _write(system: System, now: Now, goal: Goal) -> None:
    """Bring the files on disk to the goal: the zone by firewalld's own command, direct.xml as a file."""
    for argv in _steps(now, "permanent", now.permanent, goal.permanent):
        system.run(argv)
    if firewalld_direct.lines_of(now.direct) != goal.lines:
        text = firewalld_direct.text(now.direct, goal.lines)
        system.write_bytes(firewalld_direct.PATH, text.encode("utf-8"), mode=0o644)


def _load(system: System, now: Now, goal: Goal) -> None:
    """Bring the daemon and the kernel to the goal; rules that allow come before rules that deny."""
    for argv in _steps(now, "runtime", now.runtime, goal.runtime):
        system.run(argv)
    for family, live in now.live.items():
        if live is None:
            continue
        published, limited = firewalld_direct.split(goal.lines[family])
        is_left = not published and "orchestr-published" in live.chains
        is_same = firewalld_direct.is_live(live, limited) and (not published or docker_user.is_live(live, published))
        if is_left or not is_same:
            text = firewalld_direct.restored(live, goal.lines[family])
            system.run(RESTORE[family], input=text.encode("utf-8"))


def _steps(now: Now, where: str, old: FrozenSet[Item], new: FrozenSet[Item]) -> List[List[str]]:
    """Return the commands from old items to new: additions in the order of evaluation, then removals."""
    program = ["firewall-cmd"] if where == "runtime" else ["firewall-cmd", "--permanent"]
    if not now.is_active:
        program = ["firewall-offline-cmd"]
    program.append("--zone=" + now.zone)
    added = firewalld_rules.options("add", firewalld_rules.as_asked(new - old))
    removed = firewalld_rules.options("remove", firewalld_rules.as_asked(old - new))
    if not now.is_active:
        # The offline command has a --remove-service of another meaning, left from the tool before firewalld.
        removed = [[o.replace("--remove-service=", "--remove-service-from-zone=") for o in given] for given in removed]
    return [program + options for options in added + removed]


def _restart_docker(system: System, now: Now) -> None:
    """Have Docker recreate its rules, which firewalld flushes at start and stop."""
    if now.has_docker:
        system.say("docker restarts: firewalld, turned on or off, flushed its rules")
        system.run(["systemctl", "try-restart", "docker.service"])


def _hook_docker(system: System, goal: Goal) -> None:
    """Insert the jump to DOCKER-USER again where Docker's rules are in force without it (FORWARD was flushed)."""
    for family, lines in goal.lines.items():
        live = netfilter.read(system, family) if lines else None
        if live is not None and "DOCKER" in live.chains and not live.jumps("FORWARD", "DOCKER-USER"):
            system.run(RESTORE[family], input=b"*filter\n-I FORWARD -j DOCKER-USER\nCOMMIT\n")
