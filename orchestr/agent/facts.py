"""The facts of a host in the agent's first message; read from /proc and /etc, no process started."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List


def gather() -> Dict[str, Any]:
    """Return the facts: names, system, sizes in bytes, addresses, time (seconds since 1970), the SSH connection."""
    name = os.uname()
    release = os_release()
    return {
        "hostname": name.nodename,
        "kernel": name.release,
        "architecture": name.machine,
        "distribution": release.get("ID", "linux"),
        "distribution_version": release.get("VERSION_ID", ""),
        "distribution_codename": release.get("VERSION_CODENAME", ""),
        "distribution_like": release.get("ID_LIKE", ""),
        "python": "%d.%d.%d" % sys.version_info[:3],
        "user": user_name(),
        "uid": os.getuid(),
        "cpu_count": os.cpu_count() or 1,
        "memory_bytes": memory_bytes(),
        "disk_free_bytes": disk_free_bytes("/"),
        "addresses": addresses(),
        "time": time.time(),
        "machine_id": _first_line("/etc/machine-id"),
        "init": _first_line("/proc/1/comm"),
        "ssh_connection": ssh_connection(),
    }


def os_release() -> Dict[str, str]:
    """Return /etc/os-release as a mapping (os-release(5)); empty when there is none."""
    values = {}
    for line in _text("/etc/os-release").splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            values[key.strip()] = value.strip().strip("\"'")
    return values


def user_name() -> str:
    """Return the name of the user the agent runs as; its number when it has none."""
    uid = str(os.getuid())
    for line in _text("/etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == uid:
            return fields[0]
    return uid


def memory_bytes() -> int:
    """Return the machine's memory; 0 when unknown."""
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def disk_free_bytes(path: str) -> int:
    """Return the free space of the file system at ``path`` that ordinary users may use."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def addresses() -> List[str]:
    """Return the host's own IPv4 addresses but loopback, from /proc/net/fib_trie (entries marked ``host LOCAL``)."""
    lines = _text("/proc/net/fib_trie").splitlines()
    own: List[str] = []
    for before, line in zip(lines, lines[1:]):
        if "host LOCAL" in line and "|--" in before:
            address = before.split("|--")[1].strip()
            if not address.startswith("127.") and address not in own:
                own.append(address)
    return own


def ssh_connection() -> str:
    """Return SSH_CONNECTION (client address and port, server's) of this login, also behind sudo; "" if none."""
    pid = os.getpid()
    for _ in range(12):
        try:
            with open("/proc/%d/environ" % pid, "rb") as stream:
                for item in stream.read().split(b"\0"):
                    if item.startswith(b"SSH_CONNECTION="):
                        return item.partition(b"=")[2].decode("ascii", "replace")
            with open("/proc/%d/stat" % pid) as status:
                pid = int(status.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return ""
        if pid <= 1:
            return ""
    return ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _first_line(path: str) -> str:
    return _text(path).partition("\n")[0]
