"""Packages of Debian and Ubuntu.

Sources: dpkg(1) (package states), deb822(5) (the status file), apt-get(8), apt-cache(8).
"""

from __future__ import annotations

from orchestr.agent.resource import ResourceError
from orchestr.agent.system import CommandFailed, Completed, Reader, System
from orchestr.resources.package_backend import Backend, Installed, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Dict, Iterable, List, Optional, Sequence

STATUS = "/var/lib/dpkg/status"
JOURNAL = "/var/lib/dpkg/updates"  # dpkg's own: not empty after it was killed
SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d")
REFRESHED = "/var/lib/orchestr/apt-refreshed"
REFRESH_STAMPS = (REFRESHED, "/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists")
UNCONFIGURED = {"unpacked", "half-configured", "triggers-awaited", "triggers-pending"}
LOCK_S = 120  # somebody else's apt (unattended upgrades after boot) is waited for that long
LONGEST_S = 1800.0
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
OPTIONS = ("-y", "-q", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=%d" % LOCK_S)
_LOCKED = r"[Cc]ould not get lock|[Uu]nable to (lock|acquire)|locked by another process"
_UNKNOWN = (
    r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate"
    r"|Version '[^']*' for '([^']+)' was not found"
)
_STALE = r"404 +Not Found|Hash Sum mismatch|Unable to fetch some archives"


class Apt(Backend):
    """apt and dpkg; installed packages are read from dpkg's status file without starting a process."""

    program = "apt-get"

    def installed(self, reader: Reader, name: str, or_provided: bool = True) -> Installed:
        known = _status(reader)
        base, _, architecture = name.partition(":")
        entries = _well_formed(known.get(base, ())) or (_providers(known, base) if or_provided else [])
        if architecture:
            wanted = (architecture, "all")  # a package of all architectures is one of each
            entries = [entry for entry in entries if _field(entry, b"Architecture") in wanted]
        for entry in entries:
            if _state(entry) == "installed":
                return Installed("installed", _field(entry, b"Version"))
        state = _state(entries[0]) if entries else "absent"
        return Installed("absent" if state in ("not-installed", "config-files") else state)

    def obstacle(self, reader: Reader, name: str) -> str:
        entries = _status(reader).get(name.partition(":")[0], [])
        for field in (b"Essential", b"Protected"):
            if any(_field(entry, field) == "yes" for entry in entries):
                return "dpkg counts it as %s, and apt refuses to remove it" % field.decode().lower()
        if any(_field(entry, b"Status").startswith("hold ") for entry in entries):
            return "it is on hold; apt-mark unhold %s lets it go" % name
        return ""

    def offered(self, reader: Reader, names: Sequence[str]) -> Sequence[str]:
        """Return the names that have a candidate, or that something with one provides."""
        import re

        done = reader.query(["apt-cache", "policy", "--", *names])
        blocks = re.findall(r"^(\S+):\n  Installed: .+\n  Candidate: (\S+)", done.stdout, re.M)
        candidates = {name for name, candidate in blocks if candidate != "(none)"}
        virtual = {name for name, candidate in blocks if candidate == "(none)" and _is_provided(reader, name)}
        return [name for name in names if name in candidates | virtual]

    def candidate(self, reader: Reader, name: str) -> str:
        import re

        shown = reader.query(["apt-cache", "policy", "--", name]).stdout
        match = re.search(r"^  Candidate: (\S+)$", shown, re.M)
        return match.group(1) if match and match.group(1) != "(none)" else ""

    def refresh(self, system: System, max_age_s: float) -> None:
        refreshed = max(_changed_s(system, path) for path in REFRESH_STAMPS)
        sources = max(_changed_s(system, path) for path in _sources(system))
        if system.now() - refreshed > max_age_s or sources > refreshed:
            self._update(system)

    def _update(self, system: System) -> Completed:
        """Fetch the lists; a mirror that does not answer fails here only when the install then fails too."""
        done = _patiently(system, ["apt-get", "update", "-q"])
        if done.ok:
            folder = REFRESHED.rpartition("/")[0]
            if system.stat(folder) is None:
                system.make_directory(folder, mode=0o700)
            system.write_bytes(REFRESHED, b"", mode=0o600)
        return done

    def install(self, system: System, wanted: Sequence[Wanted]) -> None:
        _repair(system)
        self._require_known(system, [package.name for package in wanted])
        words = ["%s=%s" % (item.name, item.version) if item.version else item.name for item in wanted]
        pinned = ["--allow-downgrades"] if any(item.version for item in wanted) else []
        command = ["apt-get", "install", *OPTIONS, "--no-install-recommends", *pinned, "--", *words]
        done, fetched = _patiently(system, command), ""
        if not done.ok and (_search(_UNKNOWN, done.stderr) or _search(_STALE, done.stderr)):
            update = self._update(system)
            fetched = "" if update.ok else update.stderr
            done = _patiently(system, command)
        if not done.ok:
            raise _failure(system, done, fetched)

    def _require_known(self, system: System, names: Sequence[str]) -> None:
        """Raise ResourceError for a name that apt would read as an expression, because no package has it exactly.

        ``c++`` that is not known would install ``c``, and ``redis.server`` every match of the expression.
        """
        doubtful = [name for name in names if "+" in name or "." in name]
        for has_updated in (False, True):
            known = self.offered(system, doubtful) if doubtful else ()
            doubtful = [name for name in doubtful if name not in known]
            if not doubtful:
                return
            if not has_updated:
                self._update(system)
        raise _unknown(system, doubtful[0])

    def remove(self, system: System, names: Sequence[str]) -> None:
        _repair(system)
        done = _patiently(system, ["apt-get", "remove", *OPTIONS, "--", *names])
        if not done.ok:
            raise CommandFailed(done)


# -- reading ----------------------------------------------------------------------------------------------------------
def _status(reader: Reader) -> Dict[str, List[bytes]]:
    """Return name → its entries (one per architecture) of dpkg's status file, read once per play."""

    def parse() -> Dict[str, List[bytes]]:
        known: Dict[str, List[bytes]] = {}
        for entry in (reader.read_bytes(STATUS) or b"").split(b"\n\n"):
            is_plain = entry.startswith(b"Package: ")  # as dpkg writes them: of hundreds of entries, few are looked at
            name = entry[9 : entry.find(b"\n", 9)].decode("utf-8", "replace") if is_plain else _field(entry, b"Package")
            known.setdefault(name.strip(), []).append(entry)
        return known

    entries: Dict[str, List[bytes]] = reader.once(("packages", "dpkg"), parse)
    return entries


def _well_formed(entries: Iterable[bytes]) -> List[bytes]:
    return [entry for entry in entries if _state(entry)]


def _state(entry: bytes) -> str:
    """Return the third word of an entry's status ("install ok installed"), "" for one that is not three words."""
    words = _field(entry, b"Status").split()
    return words[2] if len(words) == 3 else ""


def _providers(known: Dict[str, List[bytes]], name: str) -> List[bytes]:
    import re

    provides = re.compile(rb"^Provides:(?:.*[ ,])?%s(?:[ ,].*)?$" % re.escape(name.encode()), re.M)
    everything = (entry for entries in known.values() for entry in entries)
    return _well_formed(entry for entry in everything if name.encode() in entry and provides.search(entry))


def _is_provided(reader: Reader, name: str) -> bool:
    shown = reader.query(["apt-cache", "showpkg", "--", name]).stdout
    return bool(shown.partition("Reverse Provides:")[2].strip())


def _field(entry: bytes, name: bytes) -> str:
    """Return a field's first line, "" without one: fields begin a line, their further lines begin with a space."""
    text = b"\n" + entry
    start = text.find(b"\n%s:" % name)
    value = text[start + len(name) + 2 :].partition(b"\n")[0] if start >= 0 else b""
    return value.decode("utf-8", "replace").strip()


def _search(pattern: str, text: str) -> "Optional[re.Match[str]]":
    import re  # slow to import, and needed when something differs or fails

    return re.search(pattern, text)


def _changed_s(reader: Reader, path: str) -> float:
    status = reader.stat(path)
    return 0.0 if status is None else status.changed_ns / 1e9


def _sources(reader: Reader) -> List[str]:
    folder = SOURCES[1]
    return [*SOURCES, *("%s/%s" % (folder, name) for name in reader.list_directory(folder))]


# -- changing ---------------------------------------------------------------------------------------------------------
def _patiently(system: System, command: Sequence[str]) -> Completed:
    """Run a command of apt or dpkg, waiting for a lock that somebody else holds; its output is passed on live."""
    done = Completed(tuple(command), 1, "", "")
    for _ in system.attempts(LOCK_S, 2.0):
        done = system.run(command, env=ENVIRONMENT, timeout_s=LONGEST_S, check=False, stream=True)
        if done.ok or not _search(_LOCKED, done.stderr):
            break
    return done


def _repair(system: System) -> None:
    """Finish the interrupted work of a killed run, for which dpkg and apt otherwise require manual commands."""
    states = {_state(entry) for entries in _status(system).values() for entry in entries}
    if system.list_directory(JOURNAL) or states & UNCONFIGURED:
        _patiently(system, ["dpkg", "--force-confold", "--configure", "-a"])
    if states & {"half-installed", "unpacked"}:
        _patiently(system, ["apt-get", "-f", "install", *OPTIONS])


def _failure(system: System, done: Completed, fetched: str) -> ResourceError:
    """Return the error of a failed install, for an unknown name with the closest known one."""
    stderr = "\n".join(text for text in (done.stderr.strip(), fetched.strip()) if text)
    match = _search(_UNKNOWN, done.stderr)
    if match is None:
        return ResourceError("apt-get install failed with exit status %d" % done.exit, stderr=stderr)
    name = next(group for group in match.groups() if group)
    if match.group(3):
        return ResourceError(
            "apt does not offer that version of %s" % name, "see apt-cache policy %s on the host" % name, stderr
        )
    return _unknown(system, name, stderr)


def _unknown(reader: Reader, name: str, stderr: str = "") -> ResourceError:
    close = _closest(reader, name)
    hint = "did you mean %s?" % close if close else "check its spelling and the host's apt sources"
    return ResourceError("apt knows no package %s" % name, hint, stderr)


def _closest(reader: Reader, name: str) -> str:
    """Return the known package name that looks most like ``name``, "" when none does."""
    from difflib import get_close_matches

    known = reader.query(["apt-cache", "pkgnames", name[:1]]).stdout.split()
    near = [candidate for candidate in known if abs(len(candidate) - len(name)) <= 3]
    return "".join(get_close_matches(name, near, 1, 0.7))
