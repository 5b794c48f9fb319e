"""Which LiveKit takes which setting. Its YAML is strict: a server does not start with a key that it does not know.

Source: pkg/config/config.go of each release from 1.8.4 to 1.13.5, and of the main branch of August 2026.
"""

from __future__ import annotations

import re

OLDEST = (1, 8, 4)
#: Parameter → the first release with the key. A release after 1.13.5 is meant by 1.13.6.
SINCE = {
    "turn_allow_restricted_peer_cidrs": (1, 12, 0),
    "turn_deny_peer_cidrs": (1, 12, 0),
    "turn_ttl_s": (1, 12, 0),
    "turn_relays_per_user": (1, 13, 6),
}
#: From here on the embedded TURN relays to no private address unless it is allowed.
RELAYS_ARE_RESTRICTED = SINCE["turn_allow_restricted_peer_cidrs"]

_NUMBERS = r"v?(\d+(?:\.\d+){0,2})"


def parse_version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version such as ``1.13.5`` or ``v1.13``. Raises ValueError."""
    if not (match := re.fullmatch(_NUMBERS, text)):
        raise ValueError(f"{text!r} is not a version such as 1.13.5")
    return tuple(int(number) for number in match[1].split("."))


def version_of_image(image: str) -> tuple[int, ...]:
    """Return the numbers of an image's tag, () if it has none (``latest``, a digest)."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    match = re.fullmatch(rf"{_NUMBERS}(?:-.*)?", tag)
    return parse_version(match[1]) if match else ()


def is_older(version: tuple[int, ...], than: tuple[int, ...]) -> bool:
    """Return True if the newest release that ``version`` may mean is older: 1.8 may mean any 1.8.x."""
    return version < than[: len(version)]


def takes(version: tuple[int, ...], since: tuple[int, ...]) -> bool:
    """Return True if every release that ``version`` may mean has what came with ``since``."""
    return (*version, 0, 0)[:3] >= since


def shown(version: tuple[int, ...]) -> str:
    """Return a version for messages."""
    return ".".join(map(str, version))
