"""systemd, apt, the shadow tools and sysctl for a MemoryHost: what they answer is copied from a Debian 12 node."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from orchestr.transport.memory import MemoryHost, MemorySystem, Node

Answer = str | tuple[int, str, str]
#: One unit of `systemctl show` of systemd 252, the properties in its own order.
SHOWN = """Type={type}
RemainAfterExit={remains}
Result={result}
Id={name}
Names={name}
LoadState={load}
ActiveState={active}
SubState={sub}
SourcePath={source}
UnitFileState={file_state}
InactiveExitTimestamp={started}
CanReload={can_reload}
NeedDaemonReload={needs_reload}
ConditionResult={condition}
LoadError={load_error}
InvocationID={invocation}
NRestarts={restarts}
ExecMainStartTimestamp={started}
"""


@dataclass
class SimulatedUnit:
    """One unit; ``definition`` is the digest of its files as systemd has loaded them."""

    name: str
    type: str = "notify"
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    file_state: str = "disabled"
    source: str = ""
    started: str = ""
    invocation: str = ""
    can_reload: bool = False
    definition: str = ""
    dies: bool = False
    flaps: bool = False  # ends and is started again between any two looks at it
    restarts: int = 0
    remains: str = "no"
    condition: str = "yes"
    load: str = "loaded"
    starts: int = 0
    reloads: int = 0


@dataclass
class SimulatedSystemd:
    """systemctl and journalctl; units whose unit file appears under /etc/systemd/system are found by daemon-reload."""

    host: MemoryHost
    units: dict[str, SimulatedUnit] = field(default_factory=dict)
    invocations: int = 0

    def __post_init__(self) -> None:
        self.host.commands[("systemctl",)] = self.answer
        self.host.commands[("journalctl",)] = "Nov 21 01:40:46 lab5 broken[411]: no bread today\n"

    def add(self, name: str, **options: object) -> SimulatedUnit:
        unit = SimulatedUnit(name, **options)  # type: ignore[arg-type]
        unit.definition = self.definition(name)
        self.units[name] = unit
        if unit.active == "active":
            self._begin(unit)
        return unit

    def definition(self, name: str) -> str:
        mine = sorted(path for path in self.host.nodes if path.startswith(f"/etc/systemd/system/{name}"))
        return hashlib.sha256(b"".join(path.encode() + self.host.nodes[path].data for path in mine)).hexdigest()

    def answer(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        verb, names = words[1], words[words.index("--") + 1 :] if "--" in words else ()
        if verb == "show":
            return "\n".join(self._show(name) for name in names)
        if verb == "daemon-reload":
            return self._load_definitions()
        if verb == "is-active":
            return (0 if self.units[names[0]].active == "active" else 3, self.units[names[0]].active + "\n", "")
        unit = self.units.get(names[0])
        if unit is None:
            return 1, "", f"Unit {names[0]} not found."
        done: Answer = getattr(self, "_" + verb.replace("-", "_"))(unit) or ""
        return done

    def _show(self, name: str) -> str:
        unit = self.units.get(name)
        if unit is None:
            missing = f'org.freedesktop.systemd1.NoSuchUnit "Unit {name} not found."'
            unit = SimulatedUnit(name, type="", file_state="", load="not-found", definition=self.definition(name))
        else:
            missing = ""
            unit.restarts += unit.flaps
        fields = dict(vars(unit), load_error=missing, can_reload="yes" if unit.can_reload else "no")
        fields["needs_reload"] = "no" if unit.definition == self.definition(name) else "yes"
        return SHOWN.format(**fields)

    def _load_definitions(self) -> Answer:
        for path in self.host.nodes:
            name = path.removeprefix("/etc/systemd/system/")
            if path != name and "/" not in name and not name.endswith(".d"):
                self.units.setdefault(name, SimulatedUnit(name))
        for unit in self.units.values():
            unit.definition = self.definition(unit.name)
        return ""

    def _reload(self, unit: SimulatedUnit) -> None:
        unit.reloads += 1

    def _begin(self, unit: SimulatedUnit) -> None:
        self.invocations += 1
        unit.starts += 1
        unit.invocation = f"{self.invocations:032x}"
        moment = datetime.fromtimestamp(self.host.clock, UTC)
        unit.started = f"{moment:%a %Y-%m-%d %H:%M:%S.%f} UTC"
        unit.active, unit.sub, unit.result, unit.restarts = "active", "running", "success", 0

    def _start(self, unit: SimulatedUnit) -> Answer:
        self.host.clock += 0.1
        if unit.load == "masked":
            return 1, "", f"Failed to start {unit.name}: Unit {unit.name} is masked."
        if unit.condition == "no":
            return ""
        if unit.active != "active":
            self._begin(unit)
        if unit.type == "oneshot" and unit.remains == "no":
            self._stop(unit)
        if unit.dies:
            unit.active, unit.sub, unit.result = "failed", "failed", "exit-code"
        self.host.clock += 0.1
        return ""

    def _restart(self, unit: SimulatedUnit) -> Answer:
        self._stop(unit)
        return self._start(unit)

    def _stop(self, unit: SimulatedUnit) -> None:
        unit.active, unit.sub, unit.invocation = "inactive", "dead", ""

    def _reset_failed(self, unit: SimulatedUnit) -> None:
        if unit.active == "failed":
            self._stop(unit)

    def _enable(self, unit: SimulatedUnit) -> None:
        unit.file_state = "enabled"

    def _disable(self, unit: SimulatedUnit) -> None:
        unit.file_state = "disabled"

    def _mask(self, unit: SimulatedUnit) -> None:
        unit.load = unit.file_state = "masked"

    def _unmask(self, unit: SimulatedUnit) -> None:
        unit.load, unit.file_state = "loaded", "disabled"


@dataclass
class SimulatedApt:
    """apt-get, apt-cache and dpkg over dpkg's status file; ``offered``: name → version, ``hidden`` until an update."""

    host: MemoryHost
    offered: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    installed: dict[str, tuple[str, str]] = field(default_factory=dict)
    locked_times: int = 0

    def __post_init__(self) -> None:
        for path in ("/usr/bin/apt-get", "/usr/bin/dpkg"):
            self.host.add_file(path, "", mode=0o755)
        self.host.commands[("apt-get",)] = self.apt_get
        self.host.commands[("apt-cache",)] = self.apt_cache
        self.host.commands[("dpkg",)] = self.dpkg
        self.write()

    def write(self) -> None:
        """Write dpkg's status file as dpkg does."""
        text = "".join(
            f"Package: {name}\nStatus: install ok {state}\nPriority: optional\nArchitecture: amd64\n"
            f"Version: {version}\nDescription: a package\n with more text\n\n"
            for name, (state, version) in sorted(self.installed.items())
        )
        self.host.nodes["/var/lib/dpkg/status"] = Node("file", text.encode())

    def apt_get(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        if self.locked_times:
            self.locked_times -= 1
            return 100, "", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 411 (apt-get)"
        if words[1] == "update":
            self.offered.update(self.hidden)
            return "Reading package lists...\n"
        if "-f" in words:
            return self._configure()
        names = words[words.index("--") + 1 :]
        return self._remove(names) if words[1] == "remove" else self._install(names)

    def _install(self, names: tuple[str, ...]) -> Answer:
        if any(name.startswith("/var/lib/dpkg/updates/") for name in self.host.nodes):
            return (
                100,
                "",
                "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.",
            )
        for each in names:
            name, _, version = each.partition("=")
            if name not in self.offered:
                return 100, "Reading package lists...\n", f"E: Unable to locate package {name}"
            if version and version != self.offered[name]:
                return 100, "Reading package lists...\n", f"E: Version '{version}' for '{name}' was not found"
        for each in names:
            name = each.partition("=")[0]
            self.installed[name] = ("installed", self.offered[name])
        return self._configure()

    def _remove(self, names: tuple[str, ...]) -> Answer:
        for name in names:
            self.installed[name] = ("config-files", self.installed[name][1])
        self.write()
        return ""

    def _configure(self) -> Answer:
        for name, (state, version) in self.installed.items():
            if state not in ("installed", "config-files"):
                self.installed[name] = ("installed", version)
        self.write()
        return ""

    def dpkg(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        for path in [path for path in self.host.nodes if path.startswith("/var/lib/dpkg/updates/")]:
            del self.host.nodes[path]
        return self._configure()

    def apt_cache(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        if words[1] == "pkgnames":
            return "".join(f"{name}\n" for name in self.offered if name.startswith(words[2]))
        if words[1] == "showpkg":
            return f"Package: {words[-1]}\nVersions: \n\nDependencies: \nProvides: \nReverse Provides: \n"
        shown = [
            f"{name}:\n  Installed: (none)\n  Candidate: {self.offered.get(name, '(none)')}\n  Version table:\n"
            for name in words[words.index("--") + 1 :]
            if name in self.offered or name == "docker-ce"
        ]
        return "".join(shown)


@dataclass
class SimulatedAccounts:
    """useradd, usermod, userdel, groupadd, groupmod, groupdel and chpasswd over /etc/passwd, group and shadow."""

    host: MemoryHost

    def __post_init__(self) -> None:
        self.host.add_file("/etc/shadow", "root:*:19000:0:99999:7:::\n", mode=0o640)
        for tool in ("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "chpasswd"):
            self.host.commands[(tool,)] = getattr(self, tool)
        self.host.nodes["/home"] = Node("directory", mode=0o755)

    def rows(self, path: str) -> dict[str, list[str]]:
        return {row.split(":")[0]: row.split(":") for row in self.host.text(path).splitlines()}

    def save(self, path: str, rows: dict[str, list[str]]) -> None:
        self.host.nodes[path].data = "".join(":".join(row) + "\n" for row in rows.values()).encode()

    def groupadd(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        rows = self.rows("/etc/group")
        if words[-1] in rows:
            return 9, "", f"groupadd: group '{words[-1]}' already exists"
        gid = words[words.index("-g") + 1] if "-g" in words else str(1000 + len(rows))
        rows[words[-1]] = [words[-1], "x", gid, ""]
        self.save("/etc/group", rows)
        return ""

    def groupmod(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        rows = self.rows("/etc/group")
        rows[words[-1]][2] = words[words.index("-g") + 1]
        self.save("/etc/group", rows)
        return ""

    def groupdel(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        rows = self.rows("/etc/group")
        del rows[words[-1]]
        self.save("/etc/group", rows)
        return ""

    def useradd(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        name, rows = words[-1], self.rows("/etc/passwd")
        if "-g" not in words:
            answer = self.groupadd(system, ("groupadd", name), b"")
            if answer:
                return 9, "", f"useradd: group {name} exists - if you want to add this user to that group, use -g."
        rows[name] = [name, "x", str(1000 + len(rows)), self.rows("/etc/group").get(name, ["", "", "0"])[2]]
        rows[name] += ["", f"/home/{name}", "/bin/sh"]
        self.save("/etc/passwd", rows)
        self.save(
            "/etc/shadow", {**self.rows("/etc/shadow"), name: [name, "!", "19000", "0", "99999", "7", "", "", ""]}
        )
        if "-m" in words:
            self.host.nodes.setdefault(f"/home/{name}", Node("directory", mode=0o755))
        return self.usermod(system, words, input)

    def usermod(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        name, rows, groups = words[-1], self.rows("/etc/passwd"), self.rows("/etc/group")
        given = dict(pairwise(words))
        for flag, place in (("-u", 2), ("-c", 4), ("-d", 5), ("-s", 6)):
            rows[name][place] = given.get(flag, rows[name][place])
        if "-g" in given:
            rows[name][3] = groups[given["-g"]][2]
        if "-G" in given and "-a" not in words:
            for row in groups.values():
                row[3] = ",".join(member for member in row[3].split(",") if member != name)
        for group in given["-G"].split(",") if "-G" in given else ():
            if group not in groups:
                return 6, "", f"usermod: group '{group}' does not exist"
            members = [member for member in groups[group][3].split(",") if member]
            groups[group][3] = ",".join(dict.fromkeys([*members, name]))
        self.save("/etc/passwd", rows)
        self.save("/etc/group", groups)
        return ""

    def userdel(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        for path in ("/etc/passwd", "/etc/shadow"):
            self.save(path, {name: row for name, row in self.rows(path).items() if name != words[-1]})
        return ""

    def chpasswd(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        name, _, digest = input.decode().strip().partition(":")
        rows = self.rows("/etc/shadow")
        rows[name][1] = digest
        self.save("/etc/shadow", rows)
        return ""


@dataclass
class SimulatedKernel:
    """sysctl over /proc/sys."""

    host: MemoryHost

    def __post_init__(self) -> None:
        self.host.commands[("sysctl",)] = self.sysctl

    def sysctl(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Answer:
        name, _, value = words[-1].partition("=")
        path = "/proc/sys/" + name.replace(".", "/")
        if value == "refused":
            return 1, "", f'sysctl: setting key "{name}": Invalid argument'
        self.host.nodes[path] = Node("file", value.replace(" ", "\t").encode() + b"\n")
        return ""
