"""The four grammars called ".env": one serializer for each program that reads such a file back.

``compose``  Docker Compose v2, ``.env`` and ``env_file`` (compose-go's ``dotenv`` package, read as of 2.26)
``docker``   ``docker run --env-file`` and ``env_file`` of a stack (docker/cli ``opts/file.go``): literal, no quotes
``systemd``  ``EnvironmentFile=`` (systemd.exec(5); ``src/basic/env-file.c`` and ``env-util.c`` of systemd 252)
``shell``    ``set -a; . FILE`` (POSIX 2.2.2, single-quotes)

Each serializer returns one ``KEY=...`` entry without its final newline and raises ValueError for values its reader
cannot give back; no message holds a value.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict


LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
IN_POSIX_KEY = LETTERS | frozenset("0123456789")
IN_WIDER_KEY = IN_POSIX_KEY | frozenset(".-")  # names in containers: spring.datasource.url, ETCD-NAME
PLAIN = IN_POSIX_KEY | frozenset("./:@%+,=-")  # mean themselves, unquoted, to every reader
DROPPED_BY_SYSTEMD = frozenset(map(chr, (*range(9), *range(11, 32), 127)))
DOCKER_LINE_LIMIT = 64 * 1024 - 1  # bytes; bufio.MaxScanTokenSize, the newline included


def compose(key: str, value: str) -> str:
    """Return the entry for Docker Compose: double-quoted wherever single quotes do not hold everything."""
    if PLAIN.issuperset(value):
        return "%s=%s" % (key, value)
    if frozenset("'\\\r\n").isdisjoint(value):
        return "%s='%s'" % (key, value)
    # \r\n would be read as \n, so a carriage return is always an escape.
    escaped = _escape(value, '\\"$').replace("\n", "\\n").replace("\r", "\\r")
    return '%s="%s"' % (key, escaped)


def docker(key: str, value: str) -> str:
    """Return the entry for ``docker run --env-file``: the value as it is, to the end of the line."""
    if "\n" in value:
        raise ValueError("docker's --env-file cannot hold a line break")
    if value.endswith("\r"):
        raise ValueError("docker's --env-file drops a carriage return at the end")
    entry = "%s=%s" % (key, value)
    if len(entry.encode("utf-8")) >= DOCKER_LINE_LIMIT:
        raise ValueError("docker's --env-file cannot hold a line of %d bytes or more" % DOCKER_LINE_LIMIT)
    return entry


def systemd(key: str, value: str) -> str:
    """Return the entry for ``EnvironmentFile=``: double-quoted, as systemd does itself."""
    if not DROPPED_BY_SYSTEMD.isdisjoint(value):
        raise ValueError("systemd drops a variable that holds a control character other than tab and line break")
    if any(0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE for c in value):
        raise ValueError("systemd drops a variable that holds a Unicode noncharacter")
    if PLAIN.issuperset(value):
        return "%s=%s" % (key, value)
    return '%s="%s"' % (key, _escape(value, '\\"$`'))


def shell(key: str, value: str) -> str:
    """Return the entry for a POSIX shell: single-quoted, each single quote as ``'\\''``."""
    if PLAIN.issuperset(value):
        return "%s=%s" % (key, value)
    return "%s='%s'" % (key, value.replace("'", "'\\''"))


def _escape(value: str, special: str) -> str:
    """Return a value with a backslash before each of the special characters."""
    return "".join("\\" + char if char in special else char for char in value)


GRAMMARS: Dict[str, Callable[[str, str], str]] = {
    "compose": compose,
    "docker": docker,
    "systemd": systemd,
    "shell": shell,
}


def check_reader(reader: str) -> None:
    """Raise ValueError for a reader that no grammar is known of."""
    if reader not in GRAMMARS:
        raise ValueError("no env file reader %r; there are %s" % (reader, ", ".join(sorted(GRAMMARS))))


def entry(reader: str, key: str, value: str) -> str:
    """Return the ``KEY=...`` entry of a variable for its reader.

    Raises ValueError, naming the key and never the value, when key or value cannot be expressed for that reader.
    """
    check_reader(reader)
    allowed = IN_WIDER_KEY if reader in ("compose", "docker") else IN_POSIX_KEY
    if key[:1] not in LETTERS or not allowed.issuperset(key):
        raise ValueError("%r is not a name of a variable that %s can read" % (key, reader))
    try:
        value.encode("utf-8")
        if "\0" in value:
            raise ValueError("no environment can hold a NUL character")
        return GRAMMARS[reader](key, value)
    except UnicodeEncodeError:
        raise ValueError("the value of %s is not valid Unicode text" % key) from None
    except ValueError as error:
        raise ValueError("the value of %s: %s" % (key, error)) from None
