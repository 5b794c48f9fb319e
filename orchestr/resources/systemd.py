"""The state of systemd's units, read for a whole play at once.

Sources: systemctl(1) ``show``, org.freedesktop.systemd1(5) for the properties, systemd.unit(5) for the search path.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import NotObservable, ResourceError
from orchestr.agent.system import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Sequence, Set

UNIT_TYPES = ("service", "socket", "timer", "path", "target", "mount", "slice", "device", "automount", "swap", "scope")
NOT_AT_BOOT = ("disabled", "linked", "linked-runtime", "enabled-runtime", "masked", "masked-runtime", "bad")
FLAPS, FLAP_S = 3, 10.0  # restarts, and seconds since the last, from which on a running service counts as crashing
ADMIN_UNITS = "/etc/systemd/system"
IN_UNIT_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@")
_SHOWN = (
    "Id,Names,LoadState,LoadError,ActiveState,SubState,Result,Type,UnitFileState,NeedDaemonReload,InvocationID,"
    "InactiveExitTimestamp,SourcePath,CanReload,RemainAfterExit,ConditionResult,NRestarts,ExecMainStartTimestamp"
)


@record
class Unit:
    """One unit as ``systemctl show`` describes it.

    ``name`` is its own, where it was asked for by an alias. ``started`` is when it last began to start ("": not since
    boot).
    """

    name: str
    is_found: bool
    is_masked: bool
    load_error: str
    active: str
    sub: str
    type: str
    result: str
    file_state: str
    needs_reload: bool
    invocation: str
    started: str
    source_path: str
    can_reload: bool
    remains: bool = False  # active after its process has ended
    has_condition_failed: bool = False  # at its last start
    restarts: str = ""  # by systemd itself, since it was last started by somebody
    main_started: str = ""  # its main process

    @property
    def runs_once(self) -> bool:
        """True if the unit is inactive again once its process has ended well."""
        return self.type == "oneshot" and not self.remains

    def is_flapping(self, now_s: float) -> bool:
        """Return True if systemd has started it again and again, the last time a moment ago."""
        if not self.restarts.isdigit() or int(self.restarts) < FLAPS:
            return False
        return abs(now_s - seconds_of(self.main_started)) < FLAP_S

    @property
    def started_s(self) -> float:
        """Seconds since the epoch, 0.0 for a unit that did not start since boot."""
        return seconds_of(self.started)


def unit_name(name: str) -> str:
    """Return the full name of a unit: ``nginx`` is ``nginx.service``."""
    return name if name.rpartition(".")[2] in UNIT_TYPES else name + ".service"


def check_unit_name(name: str) -> None:
    """Raise ValueError unless ``name`` names one unit (systemd.unit(5)): no path, pattern or template."""
    full = unit_name(name)
    prefix, at, instance = full.rpartition(".")[0].partition("@")
    if not prefix or prefix[0] == "-" or len(full) > 255 or not IN_UNIT_NAME.issuperset(full):
        raise ValueError("%r is not a name of a unit: systemctl takes it for a path, a pattern or an option" % name)
    if at and not instance:
        raise ValueError("%r is a template: name an instance, as in %s@NAME" % (name, prefix))


def units(reader: Reader, name: str) -> Unit:
    """Return the unit called ``name``, read together with all services of the play.

    Raises NotObservable where systemd does not run.
    """
    known: Dict[str, Unit] = reader.once(("services", "units"), dict)
    if name not in known:
        known.update(_show(reader, sorted({name, *reader.labels.get("service", ())} - set(known))))
    return known[name]


def fresh_unit(reader: Reader, name: str) -> Unit:
    """Return the unit as it is now, read anew."""
    return _show(reader, [name])[name]


def _show(reader: Reader, names: Sequence[str]) -> Dict[str, Unit]:
    command = ["systemctl", "show", "--no-pager", "--property=" + _SHOWN]
    # Whole seconds and no --timestamp before systemd 248; the zone is UTC either way.
    done = reader.query([*command, "--timestamp=us+utc", "--", *names])
    if not done.ok and "unrecognized option" in done.stderr:
        done = reader.query([*command, "--", *names], env={"TZ": "UTC"})
    if not done.ok:
        raise NotObservable("systemd does not answer on this host: %s" % (done.stderr.strip() or done.exit))
    blocks = [block for block in done.stdout.split("\n\n") if block.strip()]
    if len(blocks) != len(names):
        raise ResourceError("systemctl show answered for %d units of %d" % (len(blocks), len(names)))
    return {name: _unit(name, block) for name, block in zip(names, blocks)}


def _unit(name: str, block: str) -> Unit:
    properties: Dict[str, str] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        properties[key] = value
    load = properties.get("LoadState", "")
    return Unit(
        name=properties.get("Id") or name,
        is_found=load not in ("not-found", ""),
        is_masked=load == "masked" or properties.get("UnitFileState", "").startswith("masked"),
        load_error=properties.get("LoadError", "") if load in ("error", "bad-setting") else "",
        active=properties.get("ActiveState", ""),
        sub=properties.get("SubState", ""),
        type=properties.get("Type", ""),
        result=properties.get("Result", ""),
        file_state=properties.get("UnitFileState", ""),
        needs_reload=properties.get("NeedDaemonReload") == "yes",
        invocation=properties.get("InvocationID", ""),
        started=properties.get("InactiveExitTimestamp", ""),
        source_path=properties.get("SourcePath", ""),
        can_reload=properties.get("CanReload") == "yes",
        remains=properties.get("RemainAfterExit") == "yes",
        has_condition_failed=properties.get("ConditionResult") == "no" and bool(properties.get("ActiveState")),
        restarts=properties.get("NRestarts", ""),
        main_started=properties.get("ExecMainStartTimestamp", ""),
    )


def seconds_of(timestamp: str) -> float:
    """Return a timestamp of ``systemctl show`` in UTC as seconds since the epoch, 0.0 for none.

    >>> seconds_of("Sat 2026-11-21 01:10:24.317203 UTC")
    1795223424.317203
    """
    from datetime import datetime  # only where a service has no stamp

    try:
        _, date, clock = timestamp.split()[:3]
        return datetime.fromisoformat("%s %s+00:00" % (date, clock)).timestamp()
    except ValueError:  # "", "n/a"
        return 0.0


def admin_files(reader: Reader, name: str) -> List[str]:
    """Return the unit files and drop-ins of a unit that are the administrator's; in check mode those to come too.

    Files of packages (``/lib/systemd``) are left out: a package restarts its services itself where it must.
    """
    files: Set[str] = set()
    for unit in _names(name):
        path, folder = "%s/%s" % (ADMIN_UNITS, unit), "%s/%s.d" % (ADMIN_UNITS, unit)
        files.update(planned for planned in reader.predicted if planned == path or _is_drop_in(planned, folder))
        files.update("%s/%s" % (folder, file) for file in reader.list_directory(folder) if file.endswith(".conf"))
        unit_file = reader.stat(path)
        if unit_file is not None and unit_file.type == "file":
            files.add(path)
    return sorted(files)


def has_admin_unit(reader: Reader, name: str) -> bool:
    """Return True if the administrator's unit file exists, or will (check mode), loaded or not."""
    return any("%s/%s" % (ADMIN_UNITS, unit) in admin_files(reader, name) for unit in _names(name))


def _names(name: str) -> List[str]:
    """Return a unit's name and, for an instance, its template's."""
    return [name, name.partition("@")[0] + "@." + name.rpartition(".")[2]] if "@" in name else [name]


def _is_drop_in(path: str, folder: str) -> bool:
    return path.startswith(folder + "/") and path.endswith(".conf")


def is_enabled(reader: Reader, unit: Unit) -> Optional[bool]:
    """Return True if a unit is enabled at boot; None for one that cannot be (static, generated, ...)."""
    if unit.file_state in ("enabled", "alias"):
        return True
    if unit.file_state == "generated" and unit.source_path.startswith("/etc/init.d/"):
        return _is_enabled_by_sysv(reader, unit.source_path.rpartition("/")[2])
    return False if unit.file_state in NOT_AT_BOOT else None


def _is_enabled_by_sysv(reader: Reader, script: str) -> bool:
    links = [name for level in "2345" for name in reader.list_directory("/etc/rc%s.d" % level)]
    return any(name[:1] == "S" and name[1:3].isdigit() and name[3:] == script for name in links)
