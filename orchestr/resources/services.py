"""Services under systemd: running, started at boot, and running with the configuration that is on disk."""

from __future__ import annotations

from orchestr.agent.digest import sha256_of
from orchestr.agent.light_json import dumps, loads
from orchestr.agent.record import record
from orchestr.agent.resource import Change, NotObservable, Resource, ResourceError, State, registered
from orchestr.agent.system import CommandFailed, Completed, Reader, System
from orchestr.resources.files import digest_of_content, digest_on_disk, stat_of_content
from orchestr.resources.names import check_paths
from orchestr.resources.systemd import (
    Unit,
    admin_files,
    check_unit_name,
    fresh_unit,
    has_admin_unit,
    is_enabled,
    unit_name,
    units,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

STAMPS = "/var/lib/orchestr/services"
START_S = 180.0  # longest wait for a start, stop or reload
SETTLE_S = 0.5  # a service that systemd calls active at once may die right after
JOURNAL_LINES = "30"
CLOCK_GRAIN_S = 0.02  # a file's ctime is taken from a coarser clock than systemd's
IN_USE, CHANGED = "in use", "changed since it started"


@record
@registered("service")
class Service(Resource):
    """A systemd unit that runs, starts at boot, and uses its files as they are; ``nginx`` is ``nginx.service``.

    ``config`` names files it reads when it starts, a directory all below it; when they differ from those at its start
    it is restarted (``reload_on_change``: reloaded, where it can be). Its own files under /etc/systemd/system count by
    themselves. That is state, not an event: the inputs of its start are kept in /var/lib/orchestr/services with the
    InvocationID it holds for; without such a stamp, files changed after its start differ. ``running`` and ``enabled``
    may be None: not looked at. Observes: systemctl show, the files' digests. Changes: daemon-reload where needed, mask,
    enable, start, stop, restart, reload. Never touches: unit files, other units.
    Sources: systemctl(1), systemd.unit(5).
    """

    name: str
    running: Optional[bool] = True
    enabled: Optional[bool] = True
    config: Tuple[str, ...] = ()
    reload_on_change: bool = False
    masked: bool = False

    touches: ClassVar[Tuple[str, ...]] = ("services",)

    def __post_init__(self) -> None:
        check_unit_name(self.name)
        check_paths(self.config)

    @property
    def label(self) -> str:
        return unit_name(self.name)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        wanted = {"running": self.running, "enabled": self.enabled, "mask": self.masked}
        return {("unit", self.label, name): value for name, value in wanted.items() if value is not None}

    @property
    def _is_wanted_running(self) -> bool:
        return bool(self.running) and not self.masked

    @property
    def stamp_path(self) -> str:
        return "%s/%s.json" % (STAMPS, self.label)

    # -- state ----------------------------------------------------------------------------------------------------
    def desired(self) -> Optional[State]:
        if self.masked:
            return {"masked": True, "state": "stopped"}
        state: Dict[str, Any] = {"masked": False, "definition": IN_USE}
        if self.running is not None:
            state["state"] = "running" if self.running else "stopped"
        if self.enabled is not None:
            state["enabled"] = self.enabled
        if self.running:
            state.update(config=IN_USE, unit=IN_USE)
        return state

    def observe(self, reader: Reader) -> Optional[State]:
        unit = units(reader, self.label)
        if not unit.is_found and not unit.is_masked:
            return self._missing(reader)
        if unit.load_error:
            raise ResourceError("systemd cannot load %s: %s" % (self.label, unit.load_error), "systemd-analyze verify")
        enabled = is_enabled(reader, unit)
        return {
            "masked": unit.is_masked,
            "definition": CHANGED if unit.needs_reload else IN_USE,
            "state": self._activity(unit, reader.now()),
            "enabled": self.enabled if enabled is None else enabled,
            **self._usage(reader, unit),
        }

    def _missing(self, reader: Reader) -> State:
        """A unit that is not there is as good as stopped; wanting more of it needs a unit file, there or to come."""
        is_wanted = not self.masked and (self.running or self.enabled)
        if is_wanted and not has_admin_unit(reader, self.label):
            raise NotObservable("there is no unit %s on this host" % self.label, "install its package")
        return {"masked": False, "definition": IN_USE, "state": "stopped", "enabled": False}

    def _activity(self, unit: Unit, now_s: float = 0.0) -> str:
        if self._is_wanted_running and unit.active == "active" and unit.is_flapping(now_s):
            return "crashing (started again %s times)" % unit.restarts
        if unit.active in ("active", "reloading", "refreshing"):
            return "running"
        if unit.active == "activating":
            return "crashing (waits to be started again)" if unit.sub.startswith("auto-restart") else "starting"
        if unit.active == "failed" and self._is_wanted_running:
            return "failed (%s)" % unit.result
        return "stopping" if unit.active == "deactivating" else "stopped"

    # -- the inputs of its start ----------------------------------------------------------------------------------
    def _usage(self, reader: Reader, unit: Unit) -> Dict[str, str]:
        """Return whether ``config`` and ``unit`` files are the ones in use; a stopped service uses none."""
        stamp = self._stamp(reader)
        is_valid = bool(unit.invocation) and stamp.get("invocation") == unit.invocation
        usage = {}
        for name, paths in self._files(reader).items():
            if unit.active in ("inactive", "failed"):
                is_in_use = True
            elif is_valid and name in stamp:
                is_in_use = stamp[name] == digest_of(reader, paths)
            else:
                is_in_use = not paths or _are_older(reader, paths, unit.started_s)
            usage[name] = IN_USE if is_in_use else CHANGED
        return usage

    def _stamp(self, reader: Reader) -> Mapping[str, Any]:
        try:
            stamp = loads(reader.read_text(self.stamp_path) or "{}")
        except ValueError:
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def _write_stamp(self, system: System, digests: Mapping[str, str], unit: Unit) -> None:
        if not self.config and digests["unit"] == digest_of(system, []):
            return
        if system.stat(STAMPS) is None:
            system.make_directory(STAMPS.rpartition("/")[0], mode=0o700)
            system.make_directory(STAMPS, mode=0o700)
        text = dumps(dict(digests, invocation=unit.invocation), sort_keys=True)
        system.write_bytes(self.stamp_path, text.encode("utf-8"), mode=0o600)

    def _digests(self, reader: Reader) -> Dict[str, str]:
        return {name: digest_of(reader, paths) for name, paths in self._files(reader).items()}

    def _files(self, reader: Reader) -> Dict[str, List[str]]:
        config = [file for path in self.config for file in files_at(reader, path)]
        return {"config": config, "unit": admin_files(reader, units(reader, self.label).name)}

    def require(self, reader: Reader, change: Change) -> None:
        """Raise ResourceError for a unit that runs once and ends: it can never be found running."""
        unit = units(reader, self.label)
        has_ended = unit.runs_once and unit.active in ("inactive", "failed")
        if self._is_wanted_running and has_ended and change.touches("state"):
            raise self._runs_once()

    def _runs_once(self) -> ResourceError:
        return ResourceError(
            "%s is of Type=oneshot: it runs once and ends, so it is never found running" % self.label,
            "running=None leaves it to systemd; RemainAfterExit=yes in the unit keeps it active; "
            "a Command starts it once",
        )

    # -- change ---------------------------------------------------------------------------------------------------
    def apply(self, system: System, change: Change) -> None:
        unit = units(system, self.label)
        if unit.needs_reload or not unit.is_found:
            system.run(["systemctl", "daemon-reload"], timeout_s=START_S)
        if change.touches("masked"):
            system.run(["systemctl", "mask" if self.masked else "unmask", "--quiet", "--", unit.name])
        if change.touches("enabled") and not self.masked:
            system.run(["systemctl", "enable" if self.enabled else "disable", "--quiet", "--", unit.name])
        if change.touches("state", "config", "unit"):
            self._run(system, change)

    def _run(self, system: System, change: Change) -> None:
        if not self._is_wanted_running:
            self._systemctl(system, "stop")
            return
        digests = self._digests(system)  # before: a change made while it starts is then seen as one
        unit = fresh_unit(system, self.label)
        # Clears the count of recent starts too, so that several changes in a row do not hit StartLimitBurst.
        system.run(["systemctl", "reset-failed", "--", self.label], check=False)
        self._systemctl(system, self._verb(unit, change))
        self._write_stamp(system, digests, self._await_running(system))

    def _verb(self, unit: Unit, change: Change) -> str:
        if change.touches("state"):
            is_up = unit.active == "active" or unit.sub.startswith("auto-restart")  # it is crashing then
            return "restart" if is_up or change.touches("config", "unit") else "start"
        return "reload" if self.reload_on_change and unit.can_reload and not change.touches("unit") else "restart"

    def _systemctl(self, system: System, verb: str) -> None:
        try:
            done = system.run(["systemctl", verb, "--", self.label], timeout_s=START_S, check=False)
        except CommandFailed as error:
            raise self._failure(system, "%s of %s: %s" % (verb, self.label, error), error.completed) from error
        if not done.ok:
            raise self._failure(system, "%s of %s failed" % (verb, self.label), done)

    def _await_running(self, system: System) -> Unit:
        """Return the unit once it runs and has gone on running for a moment. Raises ResourceError."""
        has_settled, activity, restarts = False, "", ""
        for _ in system.attempts(START_S, SETTLE_S):
            unit = fresh_unit(system, self.label)
            if unit.active == "inactive" and unit.has_condition_failed:
                step = "systemctl status %s names it; running=None leaves the unit to systemd" % self.label
                raise ResourceError("%s did not start: a condition of its unit does not hold" % self.label, step)
            if unit.active == "inactive" and unit.runs_once:  # its unit file came in this run
                raise self._runs_once()
            if has_settled and unit.restarts != restarts:
                raise self._failure(system, "%s does not stay up: it ended and was started again" % self.label, None)
            if unit.active in ("failed", "inactive") or unit.sub.startswith("auto-restart"):
                raise self._failure(system, "%s does not stay up: %s" % (self.label, self._activity(unit)), None)
            if unit.active == "active" and (has_settled or unit.type not in ("simple", "exec", "idle")):
                return unit
            has_settled, activity, restarts = unit.active == "active", unit.active, unit.restarts
        raise self._failure(system, "%s is still %s after %g s" % (self.label, activity, START_S), None)

    def _failure(self, system: System, message: str, done: Optional[Completed]) -> ResourceError:
        journal = system.query(["journalctl", "--no-pager", "--quiet", "-n", JOURNAL_LINES, "-u", self.label])
        messages = [done.stderr.strip()] if done is not None else []
        return ResourceError(
            message,
            "on the host: journalctl -u %s" % self.label,
            "\n".join([*messages, journal.stdout.strip()]).strip(),
        )


def files_at(reader: Reader, path: str) -> List[str]:
    """Return ``path``, or for a directory all files below it (in check mode those to come too)."""
    status = stat_of_content(reader, path)
    below = path.rstrip("/") + "/"
    to_come = [item for item in reader.predicted if item.startswith(below)]
    if status is None or status.type != "directory":
        return [path, *to_come]
    inside = [item for name in reader.list_directory(path) for item in files_at(reader, below + name)]
    return sorted({*inside, *to_come})


def digest_of(reader: Reader, paths: List[str]) -> str:
    """Return the sha256 over these files' paths and digests; in check mode over the planned ones."""
    lines = ["%s %s\n" % (digest_of_content(reader, path), path) for path in sorted(paths)]
    return sha256_of("".join(lines).encode("utf-8"))


def _are_older(reader: Reader, paths: List[str], started_s: float) -> bool:
    return all(_is_older(reader, path, started_s) for path in paths)


def _is_older(reader: Reader, path: str, started_s: float) -> bool:
    """Return True if a file has not changed since that moment by its ctime; a missing file counts as unchanged."""
    if path in reader.predicted and reader.predicted[path] != digest_on_disk(reader, path):
        return False
    status = stat_of_content(reader, path)
    return status is None or status.changed_ns / 1e9 + CLOCK_GRAIN_S < started_s
