"""Bringing ufw and the kernel to a goal; sent to a host only when something differs there.

Why the rules files are written here and not by one ``ufw`` command each: a command takes 0.1-0.2 s and ends in a
reload of both files, so ten rules are two seconds and twenty states of the firewall in between. ufw keeps rules in
these files as documented comments (``ufw_files``) that it reads back and rewrites itself, and loads them with
``iptables-restore -n``, which replaces its chains in one transaction. The same is done here: one write per family,
one transaction per family, no moment in which the host is more or less open than before or after. Only enabling,
default policies and repairing chains go through ``ufw --force enable``, as these are more than ufw's rules.
"""

from __future__ import annotations

from contextlib import contextmanager

from orchestr.agent import guard
from orchestr.agent.resource import ResourceError
from orchestr.agent.system import System
from orchestr.resources.firewall import docker_user, netfilter, ufw_files, ufw_state
from orchestr.resources.firewall.backend import Wish
from orchestr.resources.firewall.netfilter import RESTORE
from orchestr.resources.firewall.plan import merged, with_ssh
from orchestr.resources.firewall.rules import Entry, Wanted
from orchestr.resources.firewall.ufw_state import AFTER, CHAINS, CONF, DEFAULTS, PREFIX, PRIMARY, RULES, Goal, Now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Sequence, Tuple

INIT = "/lib/ufw/ufw-init"


def bring_about(system: System, wish: Wish) -> None:
    """Apply a wish, as `Ufw.apply`."""
    guard.undo_unconfirmed(system)
    now = ufw_state.read(system)
    goal = ufw_state.goal_of(system, now, wish)
    if not wish.enabled:
        _write(system, now, goal)
        system.run(["ufw", "--force", "disable"])
        _load_docker_user(system, now)
        return
    is_whole = not now.is_active or _settings_differ(now, goal) or not ufw_state.policies_hold(now, wish)
    with _guard_change(system, now, wish.guard_s, is_whole or _can_cut_off(now, goal)):
        _write(system, now, goal)
        if not ufw_state.is_at_boot(system):
            system.run(["systemctl", "enable", "--quiet", "ufw.service"])
        if is_whole:
            _load_whole(system, now)
        else:
            _load_rules(system, now)
        _hook_docker(system, goal)


def bring_rule_about(system: System, wanted: Tuple[Wanted, ...], is_present: bool, guard_s: float) -> None:
    """Add or remove single rules, as `Ufw.apply_rule`."""
    guard.undo_unconfirmed(system)
    now = ufw_state.read(system)
    goal = _goal_of_rule(system, now, wanted, is_present)
    with _guard_change(system, now, guard_s, now.is_active and _can_cut_off(now, goal)):
        _write(system, now, goal)
        if now.is_active:
            _load_rules(system, now)


def _goal_of_rule(system: System, now: Now, wanted: Tuple[Wanted, ...], is_present: bool) -> Goal:
    """Return the files as they are but for these lines of a FirewallRule."""
    ours = {entry.match for item in wanted for entry in item.entries}
    entries, block = {}, {}
    for family in (4, 6):
        existing = now.rules[family].entries
        wishes = ufw_state.entries_of(wanted, family) if is_present else []
        base = merged(existing, wishes, lambda entry: entry.is_single and entry.match in ours)
        entries[family] = with_ssh(family, base, existing, None, False)
        old = docker_user.split(now.after[family])[1]
        block[family] = ufw_state.block_lines(system, family, entries[family], (), old) if old else []
    return Goal({}, {}, entries, block)


def _settings_differ(now: Now, goal: Goal) -> bool:
    return any(now.settings.get(name) != value for name, value in {**goal.conf, **goal.defaults}.items())


def _can_cut_off(now: Now, goal: Goal) -> bool:
    """Return True if reaching the goal does more than allow additional packets."""
    if not ufw_state.is_ordered(now, goal) or ufw_state.kernel(now) != "as on disk":
        return True
    for family in (4, 6):
        old, new = now.rules[family].entries, goal.entries[family]
        if any(entry.action != "deny" for entry in old if not any(entry is other for other in new)):
            return True
        if any(entry.action != "allow" for entry in new if not entry.lines):
            return True
    return False


@contextmanager
def _guard_change(system: System, now: Now, window_s: float, can_cut_off: bool) -> Iterator[None]:
    """Arm the dead man's switch around a change that can cut off a controller that came in over the network."""
    if not can_cut_off or not system.ssh_connection():
        yield
        return
    with guard.arm(system, undo_of(now), window_s, "the new firewall"):
        yield


def undo_of(now: Now) -> guard.Undo:
    """Return the undo of ufw to ``now``: its files, then its chains, policies and DOCKER-USER as they were."""
    commands: List[Tuple[Sequence[str], bytes]] = [((INIT, "force-stop"), b"")]
    was_live = now.is_enabled and any(now.is_hooked(family) for family in (4, 6))
    for family, live in now.live.items():
        if live is None:
            continue
        text = "" if docker_user.split(now.after[family])[1] else docker_user.EMPTIED
        if not was_live:
            heads = [":%s %s [0:0]\n" % (chain, policy) for chain, policy in sorted(live.policies.items())]
            text += "*filter\n%sCOMMIT\n" % "".join(heads)
        if text:
            commands.append((RESTORE[family], text.encode("utf-8")))
    if was_live:
        commands.append(((INIT, "start"), b""))
    return guard.Undo((CONF, DEFAULTS, *RULES.values(), *AFTER.values()), tuple(commands))


def _write(system: System, now: Now, goal: Goal) -> None:
    """Write the files that differ, each as a whole; ENABLED is left to ufw itself, which says it last."""
    _replace(system, DEFAULTS, ufw_files.with_settings(system.read_text(DEFAULTS) or "", goal.defaults))
    for family in (4, 6):
        if not _is_as_written(now.rules[family].entries, goal.entries[family]):
            _replace(system, RULES[family], now.rules[family].text(goal.entries[family]))
        rest, old = docker_user.split(now.after[family])
        new = docker_user.block(goal.block[family]) if goal.block[family] else ""
        if old != new:
            _replace(system, AFTER[family], rest.rstrip("\n") + "\n" + ("\n" + new if new else ""))


def _is_as_written(old: Sequence[Entry], new: Sequence[Entry]) -> bool:
    return len(old) == len(new) and all(first is second for first, second in zip(old, new))


def _replace(system: System, path: str, text: str) -> None:
    path = system.real_path(path)
    content = system.read_file(path)
    if content is None:
        raise ResourceError("%s is missing" % path, "reinstall the package ufw")
    data, status = content
    if data.decode("utf-8", "replace") != text:
        system.rewrite(path, text.encode("utf-8"), status)


def _load_whole(system: System, now: Now) -> None:
    """Start ufw anew from its files. ``ufw reload`` does not hook its chains in again once someone flushed INPUT."""
    if any(name.startswith("ufw") for live in now.live.values() if live is not None for name in live.chains):
        system.run([INIT, "force-stop"])
    for family in (4, 6):
        text = _unhook_script(now, family)
        if text:
            _restore(system, family, text.encode("utf-8"))
    system.run(["ufw", "--force", "enable"])
    _load_docker_user(system, now)


def _unhook_script(now: Now, family: int) -> str:
    """Return iptables-restore input that removes incomplete primary chains of ufw, so that ufw creates them again."""
    live = now.live[family]
    if live is None or now.is_hooked(family):
        return ""
    lines = []
    names = ["%s-%s-%s" % (PREFIX[family], part, chain.lower()) for chain in CHAINS.values() for part in PRIMARY]
    there = [name for name in names if name in live.chains]
    for chain in CHAINS.values():
        jumps = [rule for rule in live.chains.get(chain, ()) if rule.startswith("-j ") and rule[3:] in there]
        lines += ["-D %s %s" % (chain, rule) for rule in jumps]
    lines += ["-F " + name for name in there] + ["-X " + name for name in there]
    return "*filter\n%s\nCOMMIT\n" % "\n".join(lines) if there else ""


def _load_rules(system: System, now: Now) -> None:
    """Replace ufw's own chains and the DOCKER-USER block in one transaction per family."""
    for family in now.families:
        text = system.read_text(RULES[family]) or ""
        _restore(system, family, text.encode("utf-8"))
    _load_docker_user(system, now)


def _load_docker_user(system: System, now: Now) -> None:
    for family in (4, 6):
        live = now.live[family]
        block = docker_user.split(system.read_text(AFTER[family]) or "")[1]
        if live is None:
            continue
        if block:
            _restore(system, family, block.encode("utf-8"))
        elif "orchestr-published" in live.chains:
            _restore(system, family, docker_user.EMPTIED.encode("utf-8"))


def _hook_docker(system: System, goal: Goal) -> None:
    """Where Docker's rules are in force but DOCKER-USER is not asked (someone flushed FORWARD), ask it again."""
    for family, lines in goal.block.items():
        live = netfilter.read(system, family) if lines else None
        if live is not None and "DOCKER" in live.chains and not live.jumps("FORWARD", "DOCKER-USER"):
            _restore(system, family, b"*filter\n-I FORWARD -j DOCKER-USER\nCOMMIT\n")


def _restore(system: System, family: int, text: bytes) -> None:
    system.run(RESTORE[family], input=text)
