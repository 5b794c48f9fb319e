"""Permission bits of files, as people write them (chmod(1)).

One rule for every resource that has a mode: a number (``0o644``), octal digits (``"0644"``, ``"644"``) or assignments
(``"u=rw,go=r"``). Decimal digits are the classical slip (``644`` is 0o1204): a number that gives others rights the
owner lacks, or to write but not to read, is refused; such a mode is written as text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Union

    Mode = Union[int, str]

_CANONICAL: "Dict[Mode, Mode]" = {}  # few modes are in use, by many files
_RIGHTS = {"r": 4, "w": 2, "x": 1}
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {"us": 0o4000, "gs": 0o2000, "ot": 0o1000}


def mode_bits(mode: Mode) -> int:
    """Return the bits of a mode. Raises ValueError for anything that is not one.

    >>> [oct(mode_bits(mode)) for mode in (0o644, "0644", "644", "0o644", "u=rw,go=r")]
    ['0o644', '0o644', '0o644', '0o644', '0o644']
    """
    if isinstance(mode, str):
        return _bits_of_text(mode)
    if isinstance(mode, bool) or not isinstance(mode, int):
        raise ValueError('%r is not a mode: write 0o644 or "0644"' % (mode,))
    if not 0 <= mode <= 0o7777 or not _is_sensible(mode):
        digits = str(mode)
        meant = "0o%s" % digits if digits.isdigit() and not {"8", "9"} & {*digits} and len(digits) < 5 else "0o644"
        raise ValueError('mode %d is %05o in octal: write %s, or "%04o" if that is meant' % (mode, mode, meant, mode))
    return mode


def canonical_mode(mode: Mode) -> Mode:
    """Return a mode as it is kept in a resource: a number where that would be taken, else octal digits."""
    if type(mode) in (int, str) and mode in _CANONICAL:
        return _CANONICAL[mode]
    bits = mode_bits(mode)
    canonical = _CANONICAL[mode] = bits if _is_sensible(bits) else "%04o" % bits
    return canonical


def secret_mode(mode: Optional[Mode], default: int, has_secret: bool, path: str) -> Mode:
    """Return the mode of a file that may hold a secret: 0600 unless one is given. Raises ValueError for a wider one."""
    if mode is None:
        return 0o600 if has_secret else default
    if has_secret and mode_bits(mode) & 0o007:
        raise ValueError("%s holds a secret, and mode %04o lets everybody at it: write 0o600" % (path, mode_bits(mode)))
    return canonical_mode(mode)


def _is_sensible(mode: int) -> bool:
    """Return False for bits that are hardly ever meant, but come out of decimal digits."""
    owner, group, others = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    if group & ~owner or others & ~owner or mode == 0o764:
        return False
    return 2 not in (owner & 6, group & 6, others & 6)  # to write, but not to read


def _bits_of_text(text: str) -> int:
    digits = text[2:] if text[:2] in ("0o", "0O") else text
    if 3 <= len(digits) <= 5 and not set(digits) - set("01234567") and int(digits, 8) <= 0o7777:
        return int(digits, 8)
    bits = 0
    for clause in text.split(","):
        scopes, equals, rights = clause.partition("=")
        if not equals or not scopes or set(scopes) - set("ugoa") or set(rights) - set("rwxst"):
            raise ValueError('%r is not a mode: write "0644" or "u=rw,go=r"' % text)
        for scope in "ugo" if "a" in scopes else scopes:
            for right in rights:
                bits |= _RIGHTS[right] << _SHIFTS[scope] if right in _RIGHTS else _SPECIAL.get(scope + right, 0)
    return bits
