"""Dead man's switch: a change that can lock the controller out undoes itself unless the controller reconnects in time.

``arm`` keeps the files about to change and a script that puts them back in /run/orchestr/guard-RANDOM (0700), and
has the host itself run that script after a while: a systemd timer, which outlives the agent and the connection, or
where systemd does not run, a detached ``sleep``. Then the change is made, and the controller must reach the host on
a new connection. When it does the switch is disarmed; when it does not, or anything fails on the way, the host
undoes the change at once; when even the agent is gone, the timer does.

Script and agent agree by renaming one file (``undo``), which only one of them can do: either the change is undone,
or it is confirmed, never both.
"""

from __future__ import annotations

import shlex
from contextlib import contextmanager

from orchestr.agent.record import record, replace
from orchestr.agent.resource import ResourceError
from orchestr.agent.system import CommandFailed, Reader, System
from orchestr.agent.unconfirmed import DIRECTORY, PREFIX, pending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Sequence, Tuple

#: Gives a file (first word) attributes (name and hexadecimal value in turn), then a mode (second word): the ACL comes
#: before the group's bits, which are its mask. Without the ACL the mode stays as it is, for root alone.
ATTRIBUTES = """
import os, sys
path, mode, words = sys.argv[1], sys.argv[2], sys.argv[3:]
for name, value in zip(words[::2], words[1::2]):
    try:
        os.setxattr(path, name, bytes.fromhex(value))
    except OSError:
        if name.startswith("system.posix_acl"):
            raise
os.chmod(path, int(mode, 8))
"""
MARGIN_S = 1.0  # the agent stops waiting this long before the host undoes by itself


@record
class Undo:
    """The way back: files as they are now, then commands, each with its stdin; exit statuses are ignored."""

    files: Sequence[str]
    commands: Sequence[Tuple[Sequence[str], bytes]]


class LockedOut(ResourceError):
    """The controller could not reach the host after the change, which is undone."""


@contextmanager
def arm(system: System, undo: Undo, window_s: float, change: str) -> Iterator[None]:
    """Make the changes of the ``with`` block such that ``undo`` follows unless the controller still gets in.

    ``change`` names the change in the error. Raises LockedOut when the controller did not get in within ``window_s``
    seconds of arming; passes on an exception of the block, after undoing.
    """
    deadline = system.monotonic() + window_s
    switch = _make_switch(system, undo, window_s)
    try:
        yield
        is_reached = system.confirm_reachable(max(1.0, deadline - MARGIN_S - system.monotonic()))
    except BaseException:
        _fire(system, switch)
        raise
    if is_reached and _claim(system, switch):
        _discard(system, switch)
        return
    _fire(system, switch)
    raise LockedOut(
        "%s would have locked the controller out: no new connection within %.0f s; the host undid it"
        % (change, window_s),
        "find the rule on this host that rejects the controller's address, or allow more time",
        system.unreached,
    )


def undo_unconfirmed(system: System) -> None:
    """Undo the unconfirmed changes of earlier runs now, so that no timer of theirs goes off during this run."""
    for directory in pending(system):
        token = directory.rsplit("/", 1)[1][len(PREFIX) :]
        _fire(system, _Switch(directory, token, _has_systemd(system), _waiting(system, directory)))


@record
class _Switch:
    directory: str
    token: str
    has_systemd: bool
    waiting: str = ""  # the process that waits in systemd's place

    @property
    def unit(self) -> str:
        return "orchestr-guard-" + self.token


def _make_switch(system: System, undo: Undo, window_s: float) -> _Switch:
    import os

    token = os.urandom(8).hex()
    switch = _Switch("%s/%s%s" % (DIRECTORY, PREFIX, token), token, _has_systemd(system))
    if system.stat(DIRECTORY) is None:
        system.make_directory(DIRECTORY, mode=0o700)
    system.make_directory(switch.directory, mode=0o700)
    try:
        script = _script(system, switch, undo)
        system.write_bytes(switch.directory + "/undo", script.encode("utf-8"), mode=0o700)
        _start(system, switch, window_s)
    except BaseException:
        system.remove(switch.directory)
        raise
    return replace(switch, waiting=_waiting(system, switch.directory))


def _has_systemd(reader: Reader) -> bool:
    return reader.stat("/run/systemd/system") is not None and reader.which("systemd-run") is not None


def _script(system: System, switch: _Switch, undo: Undo) -> str:
    """Copy the files to be kept, and return the script that restores them. It must not stop at a failing line."""
    lines = [
        "#!/bin/sh",
        "exec >/dev/null 2>&1",  # the reader of its output may be gone
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH",
        "cd %s && mv undo undoing || exit 0" % shlex.quote(switch.directory),
    ]
    for number, path in enumerate(undo.files):
        lines += _restore(system, switch, number, path)
    for number, (argv, stdin) in enumerate(undo.commands):
        given = "/dev/null"
        if stdin:
            given = "stdin-%d" % number
            system.write_bytes("%s/%s" % (switch.directory, given), stdin)
        lines.append("%s <%s" % (" ".join(shlex.quote(word) for word in argv), given))
    lines += ["cd /", "rm -rf %s" % shlex.quote(switch.directory), ""]
    return "\n".join(lines)


def _restore(system: System, switch: _Switch, number: int, path: str) -> List[str]:
    """Return the lines that bring one file back whole: a copy beside it, renamed over it.

    The copy that is kept here has owner and mode, which `cp -p` takes along; attributes, which this file system may not
    have, are in the script.
    """
    path = system.real_path(path)  # a link stays one
    before = system.read_file(path)
    if before is None:
        return ["rm -f %s" % shlex.quote(path)]
    (content, status), kept = before, "file-%d" % number
    attributes = system.attributes(path)
    mode = 0o600 if any(name.startswith("system.posix_acl") for name, _ in attributes) else status.mode
    system.write_bytes("%s/%s" % (switch.directory, kept), content, mode=mode, uid=status.uid, gid=status.gid)
    beside = shlex.quote("%s.orchestr-%s" % (path, switch.token))
    move = "mv -f %s %s" % (beside, shlex.quote(path))
    if attributes:
        move = "{ %s; %s; }" % (_set_attributes(beside, status.mode, attributes), move)
    return ["cp -p %s %s && %s" % (kept, beside, move)]


def _set_attributes(quoted_path: str, mode: int, attributes: Sequence[Tuple[str, bytes]]) -> str:
    """Return the command that gives a file its attributes, then its mode."""
    import sys

    pairs = [word for name, value in attributes for word in (name, value.hex())]
    words = [sys.executable or "python3", "-I", "-S", "-c", ATTRIBUTES]
    return " ".join([*map(shlex.quote, words), quoted_path, "%04o" % mode, *map(shlex.quote, pairs)])


def _start(system: System, switch: _Switch, window_s: float) -> None:
    script = switch.directory + "/undo"
    if switch.has_systemd and system.run(_timer(switch, script, window_s), check=False).ok:
        return
    wait = "echo $$ >%s/pid; exec </dev/null >/dev/null 2>&1; sleep %d; exec /bin/sh %s\n"
    text = wait % (shlex.quote(switch.directory), window_s, shlex.quote(script))
    system.write_bytes(switch.directory + "/wait", text.encode("utf-8"), mode=0o700)
    system.run(["setsid", "--fork", "/bin/sh", switch.directory + "/wait"])


def _timer(switch: _Switch, script: str, window_s: float) -> List[str]:
    """Return the command that has systemd run the script later (systemd-run(1); by default it may be a minute late)."""
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        "--unit=" + switch.unit,
        "--on-active=%.1fs" % window_s,
        "--timer-property=AccuracySec=100ms",
        "--description=orchestr: undo an unconfirmed change",
        "/bin/sh",
        script,
    ]


def _claim(system: System, switch: _Switch) -> bool:
    """Return True when the change may stay, False when the script has begun to undo it."""
    return system.run(["mv", switch.directory + "/undo", switch.directory + "/confirmed"], check=False).ok


def _fire(system: System, switch: _Switch) -> None:
    """Undo now, unless the host is undoing already; then wait for its end, and finish an undo that was cut off."""
    system.deadline = None
    _undo(system, switch)
    for _ in system.attempts(30, 0.2):
        if system.stat(switch.directory + "/undoing") is None:
            break
    if system.run(["mv", switch.directory + "/undoing", switch.directory + "/undo"], check=False).ok:
        _undo(system, switch)
    _discard(system, switch)


def _undo(system: System, switch: _Switch) -> None:
    # In a session of its own: an agent that ends now takes its children along, but not the undoing.
    command = ["/bin/sh", switch.directory + "/undo"]
    try:
        if system.run(["setsid", "--fork", "--wait", *command], check=False, timeout_s=60).exit == 127:
            system.run(command, check=False, timeout_s=60)
    except CommandFailed:  # out of time; the timer must still be removed
        pass


def _waiting(reader: Reader, directory: str) -> str:
    """Return the detached process that waits to undo, "" where systemd does."""
    pid = (reader.read_text(directory + "/pid") or "").strip()
    return pid if pid.isdigit() else ""


def _discard(system: System, switch: _Switch) -> None:
    if switch.has_systemd:
        system.run(["systemctl", "stop", switch.unit + ".timer"], check=False)
    if switch.waiting:
        system.run(["kill", "--", "-" + switch.waiting], check=False)  # it leads its group, its sleep is in it
    system.remove(switch.directory)
