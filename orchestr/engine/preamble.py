"""Output of a host before the agent speaks: banners, .bashrc output, sudo's lecture; discarded, within limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestr.engine import bundle
from orchestr.engine.start_errors import no_agent
from orchestr.errors import UnreachableError

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Channel

START_TIMEOUT_S = 30.0  # from the command's start to the agent's first message
PREAMBLE_LIMIT = 1024 * 1024  # bytes read before giving up


def skip_preamble(
    channel: Channel,
    settings: ConnectionSettings,
    nonce: bytes,
    begun: bytes = b"",
    failure: UnreachableError | None = None,
) -> bytes:
    """Read up to the nonce's line; return the rest. A host that asks for the agent's sources gets them once.

    ``begun`` came already. Raises AgentError when the line does not come in time, or within PREAMBLE_LIMIT; ``failure``
    when the host printed nothing that explains it.
    """
    seen, searched = bytearray(begun), 0
    has_asked = False
    give_up = time.monotonic() + START_TIMEOUT_S
    while True:
        asked = -1 if has_asked else seen.find(nonce + b"?\n", searched)
        if asked >= 0:  # the host's python is another one than ours
            has_asked, searched = True, asked + len(nonce) + 2
            channel.write(bundle.agent_sources())
        line = seen.find(nonce + b"\n", searched)
        if line >= 0:
            return bytes(seen[line + len(nonce) + 1 :])
        searched = max(searched, len(seen) - len(nonce) - 2)  # never look twice at the same megabyte
        left_s = give_up - time.monotonic()
        try:
            if left_s <= 0:
                raise TimeoutError
            data = channel.read(65536, left_s)
        except TimeoutError:
            raise no_agent(settings, bytes(seen), None, "said nothing for 30 s") from None
        status = channel.exit_status() if not data else None
        if not data and not seen and failure is not None and status is None:
            raise failure
        if not data or len(seen) > PREAMBLE_LIMIT:
            raise no_agent(settings, bytes(seen), status, "ended before it began")
        seen += data
