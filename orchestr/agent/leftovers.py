"""Temporaries of writes are noted before they are made, so that the next agent removes those of one that was killed.

The notes of an agent are a file of its own in `door.notes_directory`, named after its process: the paths of its
temporaries, each with a NUL behind it. The file goes when the agent ends by itself; the directory is there only while
an agent writes, or one was killed. So a run that finds nothing to clean costs a host one look for it. The directory is
the agent's user's alone, and not kept over a restart of the host: what was left before that goes with the next write in
the same directory (`filesystem`).
"""

from __future__ import annotations

import os

from orchestr.agent import door

PREFIX = ".orchestr-"


def note(path: str) -> None:
    """Note a temporary that is to be made. Never raises: without a note it may only stay longer."""
    if not door.notes_directory:
        return
    try:
        if not door.notes:
            door.notes.append((_open(), _own_path()))
        os.write(door.notes[0][0], os.fsencode(path) + b"\0")
    except OSError:
        pass


def _own_path() -> str:
    return "%s/%d" % (door.notes_directory, os.getpid())


def _open() -> int:
    for directory in (os.path.dirname(door.notes_directory), door.notes_directory):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(_own_path(), flags, 0o600)


def remove() -> None:
    """Remove the temporaries that agents noted which are no more, before this one notes any."""
    try:
        names = os.listdir(door.notes_directory)
    except OSError:
        return
    for name in names:
        path = "%s/%s" % (door.notes_directory, name)
        if path != _own_path() and is_agent(name):  # this process is not the one that had its number before
            continue
        try:
            with open(path, "rb") as stream:
                noted = stream.read().split(b"\0")[:-1]
            for temporary in noted:
                _remove_temporary(os.fsdecode(temporary))
            os.unlink(path)
        except OSError:
            pass
    door.discard_notes()


def _remove_temporary(path: str) -> None:
    if not path.rpartition("/")[2].startswith(PREFIX):
        return
    try:
        with door.enter(path) as entry:
            os.unlink(entry.name, dir_fd=entry.directory)
    except OSError:
        pass


def is_agent(pid: str) -> bool:
    """Return True if a process may be another agent of this host: the same program, as numbers of ended ones recur."""
    try:
        with open("/proc/%s/comm" % pid, "rb") as theirs, open("/proc/self/comm", "rb") as mine:
            return theirs.read() == mine.read()
    except OSError:
        return os.path.exists("/proc/" + pid)
