"""The records of host keys: read for a host of the inventory, added and replaced with OpenSSH's own tool."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.errors import HostKeyError, InputError
from orchestr.transport.known_hosts import NO_FILE_STEP, KnownHosts, OfferedKey, RecordedKey
from orchestr.transport.openssh_config import INSTALL_OPENSSH, target_of

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings
    from orchestr.transport.openssh_config import Target

KEYGEN_TIMEOUT_S = 30.0


def recorded(settings: ConnectionSettings) -> list[RecordedKey]:
    """Return the keys that known_hosts has for a host of the inventory."""
    return KnownHosts(target_of(settings)).keys


def scan(settings: ConnectionSettings, timeout_s: float = 15.0) -> list[OfferedKey]:
    """Return the host keys a server offers, one per type, without logging in to it. Raises UnreachableError."""
    from orchestr.transport.ssh_scan import scan as scan_server  # brings paramiko

    return scan_server(settings, timeout_s)


def no_file(target: Target) -> HostKeyError:
    """Return the error of a host for whose keys ssh_config or the inventory leaves no file."""
    return HostKeyError(
        f"there is no file to record the key of {target.name} in: UserKnownHostsFile is none or /dev/null",
        host=target.name,
        next_step=NO_FILE_STEP,
    )


def record(settings: ConnectionSettings, keys: Sequence[OfferedKey], *, replace: bool = False) -> Path:
    """Add keys to the host's first UserKnownHostsFile and return its path; ``replace`` first removes its other keys.

    The file is 0600 in a 0700 directory when it is new. A relative path is relative to the current directory, as in
    ssh. Raises HostKeyError when a recorded key differs and ``replace`` is not set, or when it cannot be removed.
    """
    target = target_of(settings)
    if not target.user_known_hosts_files:
        raise no_file(target)
    known = KnownHosts(target)
    path = Path(target.user_known_hosts_files[0])
    old = known.keys
    if not replace:
        known.refuse_change(keys)
    elif old:
        _refuse_unremovable(known, keys, str(path))
        _remove(path.resolve(), target.known_as)
        old = []
    recorded_keys = {key.base64 for key in old}
    _append(path, [f"{target.known_as} {key.type} {key.base64}" for key in keys if key.base64 not in recorded_keys])
    return path


def _refuse_unremovable(known: KnownHosts, keys: Sequence[OfferedKey], file: str) -> None:
    """Raise HostKeyError for a contradicting line that is not this host's alone: in another file, or with a pattern."""
    offered = {key.base64 for key in keys}
    for old in known.keys:
        if old.base64 not in offered and (old.file != file or any(sign in old.names for sign in "*?!")):
            raise HostKeyError(
                f"the key of {known.target.known_as} at {old.location} is not replaced: other hosts share the line",
                host=known.target.name,
                next_step=f"remove line {old.line} of {old.file} by hand, then repeat the command",
            )


def _remove(path: Path, name: str) -> None:
    """Remove the lines of a name, hashed or not, as ``ssh-keygen -R`` does; it keeps the old file as ``PATH.old``."""
    if not path.exists():
        return
    command = ["ssh-keygen", "-R", name, "-f", str(path)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=KEYGEN_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(
            "there is no ssh-keygen on this machine to remove the recorded key", next_step=INSTALL_OPENSSH
        ) from None
    except subprocess.TimeoutExpired as error:
        raise HostKeyError(f"ssh-keygen took longer than {KEYGEN_TIMEOUT_S:g} s to edit {path}") from error
    if done.returncode:
        raise HostKeyError(
            f"ssh-keygen did not remove the key of {name}: {done.stderr.strip() or done.stdout.strip()}",
            stderr=done.stderr,
            next_step=f"fix {path}, then repeat the command",
        )


def _append(path: Path, lines: Sequence[str]) -> None:
    """Add lines at the end of the file in one write, as ssh does; a last line without its end gets one."""
    if not lines:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, ("\n" * is_cut + "".join(f"{line}\n" for line in lines)).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
