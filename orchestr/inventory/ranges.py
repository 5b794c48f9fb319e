"""Host names with ranges, as Ansible's inventories write them: ``web[01:20:2]``, ``db-[a:f].example.org:2222``."""

from __future__ import annotations

import ipaddress
import re
import string

MAX_HOSTS = 100_000
_BRACKETED_PORT = re.compile(r"^\[(.+)\]:([0-9]+)$")
_PORT = re.compile(r"^((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)$")
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_NUMERIC = re.compile(r"^[0-9]+:[0-9]+(?::[0-9]+)?$")
_ADDRESS_RANGE = re.compile(r"^[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?$", re.IGNORECASE)
_LETTERS = re.compile(r"^[a-z]:[a-z](?::[0-9]+)?$", re.IGNORECASE)
_LABEL = r"\w[\w-]*(?<![_-])"
_HOST_NAME = re.compile(rf"^{_LABEL}(?:\.{_LABEL})*\Z")


class RangeError(ValueError):
    """A range in a host name is malformed; the message says how."""


def expand(written: str) -> tuple[list[str], int | None]:
    """Return the host names ``written`` stands for, in order, and the port it ends with.

    Raises RangeError.

    >>> expand("web[01:05:2].lan:2222")
    (['web01.lan', 'web03.lan', 'web05.lan'], 2222)
    >>> expand("db-[a:c]")
    (['db-a', 'db-b', 'db-c'], None)
    """
    name, port = split_port(written)
    return (_expand(name) if "[" in name else [name]), port


def split_port(written: str) -> tuple[str, int | None]:
    """Split ``host:22`` or ``[host]:22``; a text that is no host with a port comes back whole."""
    name, port = _cut_port(written)
    return (name, port) if is_host(name) else (written, None)


def is_address(written: str) -> bool:
    """Return True if ``written`` is one host (ranges and port allowed), rather than a pattern over hosts."""
    return is_host(_cut_port(written)[0])


def _cut_port(written: str) -> tuple[str, int | None]:
    """Ansible takes the brackets off first and then looks for a port once more."""
    name, port = written, None
    for shape in (_BRACKETED_PORT, _PORT):
        if match := shape.match(name):
            name, port = match[1], int(match[2])
    return name, port


def is_host(name: str) -> bool:
    """Return True if ``name`` is a host name or an IP address, ranges allowed."""
    ranges = _RANGE.findall(name)
    if all(_NUMERIC.match(bounds) or _LETTERS.match(bounds) for bounds in ranges):
        sample = _RANGE.sub(lambda match: "0" if _NUMERIC.match(match[1]) else "a", name)
        if _HOST_NAME.match(sample) or is_ip(sample):
            return True
    return all(_ADDRESS_RANGE.match(bounds) for bounds in ranges) and is_ip(_RANGE.sub("0", name))


def is_ip(text: str) -> bool:
    """Return True if ``text`` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _expand(name: str) -> list[str]:
    head, _, rest = name.partition("[")
    bounds, closed, tail = rest.partition("]")
    if not closed:
        raise RangeError("'[' is never closed")
    tails = _expand(tail) if "[" in tail else [tail]
    values = _values(bounds)
    if len(values) * len(tails) > MAX_HOSTS:
        raise RangeError(f"[{bounds}] gives more than {MAX_HOSTS} hosts")
    return [f"{head}{value}{end}" for value in values for end in tails]


def _values(bounds: str) -> list[str]:
    begin, end, step = _bounds(bounds)
    if len(begin) == 1 and len(end) == 1 and begin.isalpha() and end.isalpha():
        return _letters(begin, end, step, bounds)
    if not (_is_digits(begin) and _is_digits(end)):
        raise RangeError(f"[{bounds}] is neither a range of numbers nor of single letters")
    width = len(begin) if begin.startswith("0") and len(begin) > 1 else 0
    if width and width != len(end):
        raise RangeError(f"[{bounds}] starts with a zero, so both ends need the same length")
    if int(begin) > int(end):
        raise RangeError(f"[{bounds}] begins after its end")
    if int(end) - int(begin) > MAX_HOSTS * step:
        raise RangeError(f"[{bounds}] gives more than {MAX_HOSTS} hosts")
    return [str(number).zfill(width) for number in range(int(begin), int(end) + 1, step)]


def _bounds(bounds: str) -> tuple[str, str, int]:
    parts = bounds.split(":")
    if len(parts) not in (2, 3):
        raise RangeError(f"[{bounds}] is no range: expected [begin:end] or [begin:end:step]")
    if not parts[1]:
        raise RangeError(f"[{bounds}] has no end")
    step = parts[2] if len(parts) == 3 else "1"
    if not _is_digits(step) or int(step) < 1:
        raise RangeError(f"[{bounds}] has the step {step!r}; expected a number from 1")
    return parts[0] or "0", parts[1], int(step)


def _letters(begin: str, end: str, step: int, bounds: str) -> list[str]:
    letters = string.ascii_letters
    if begin not in letters or end not in letters or letters.index(begin) > letters.index(end):
        raise RangeError(f"[{bounds}] begins after its end")
    return list(letters[letters.index(begin) : letters.index(end) + 1 : step])


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
