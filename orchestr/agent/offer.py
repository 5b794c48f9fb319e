"""Content from a host to the controller: a command's output, sent while it is written, stored nowhere on the host.

Sent to hosts only with the resources that need it. The line takes no more than the controller reads.
"""

from __future__ import annotations

import os
import select
import time
from _signal import SIGKILL  # type: ignore[import-not-found]  # the package signal imports enum

from orchestr.agent import process, wire
from orchestr.agent.line import TAKEN
from orchestr.agent.system import ENVIRONMENT, CommandFailed, Completed, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generator, List, Mapping, Optional, Sequence, Tuple

ANSWER_S = 2 * wire.LOST_S


def offer(system: System, argv: Sequence[str], size_bytes: int, timeout_s: float) -> Tuple[str, int]:
    """Send a command's output to the controller; return its sha256 and size once the controller has all of it.

    The controller keeps it for the rest of this run. ``size_bytes`` is an estimate. Raises CommandFailed,
    and OSError when the controller could not take it, as soon as it says so.
    """
    from hashlib import sha256

    line = system.line
    if line is None:
        raise OSError("this run has no controller to send to")
    number, digest, sent, checksum = line.next_transfer(), sha256(), 0, ""
    line.send({"type": "offer", "transfer": number, "size_bytes": size_bytes})
    pack = getattr(system, "output_of", None)  # a host in memory has no processes
    chunks = pack(argv, timeout_s) if pack is not None else output_of(system, argv, timeout_s)
    try:
        for chunk in chunks:
            _assert_taken(line.wait_for(TAKEN, number, 0.0))
            digest.update(chunk)
            sent += len(chunk)
            line.send_chunk(number, chunk)
        checksum = digest.hexdigest()
    finally:
        line.send({"type": "offered", "transfer": number, "sha256": checksum, "size_bytes": sent})
        line.flush()
        chunks.close()
    why = line.wait_for(TAKEN, number, ANSWER_S)
    _assert_taken("it did not say that it has all of it" if why is None else why)
    return checksum, sent


def _assert_taken(why: Optional[str]) -> None:
    if why:
        raise OSError("the controller could not store the content from this host: %s" % why)


def output_of(system: System, argv: Sequence[str], timeout_s: float) -> Generator[bytes, None, None]:
    """Yield a command's output in pieces, as they are consumed. Raises CommandFailed, also after the last piece."""
    if system.deadline is not None:
        timeout_s = max(0.1, min(timeout_s, system.deadline - time.monotonic()))
    system.allow(timeout_s)
    exit, stderr, timed_out = yield from pour(list(argv), ENVIRONMENT, timeout_s, wire.CHUNK)
    if timed_out or exit != 0:
        done = Completed(tuple(argv), exit, "", stderr.decode("utf-8", "replace"))
        raise CommandFailed(done, "ended after %.0f s without finishing" % timeout_s if timed_out else "")


def pour(
    argv: List[str], environment: Mapping[str, str], timeout_s: float, piece_bytes: int
) -> Generator[bytes, None, Tuple[int, bytes, bool]]:
    """Yield a command's output in pieces of that size, only as fast as they are consumed; return as `process.run` does.

    The first ``piece_bytes`` of stderr are returned. A consumer that stops early kills the command's group.
    Raises FileNotFoundError, PermissionError.
    """
    child = process.begin(argv, environment, takes_input=False)
    deadline, piece, stderr = time.monotonic() + timeout_s, bytearray(), bytearray()
    try:
        ready, left = select.poll(), {child.stdout, child.stderr}
        for descriptor in left:
            ready.register(descriptor, select.POLLIN)
        while left and time.monotonic() < deadline:
            for descriptor, _ in ready.poll(200):
                data = os.read(descriptor, 65536)
                if not data:
                    ready.unregister(descriptor)
                    left.discard(descriptor)
                elif descriptor == child.stderr:
                    stderr += data[: max(0, piece_bytes - len(stderr))]
                else:
                    piece += data
            while len(piece) >= piece_bytes:
                yield bytes(piece[:piece_bytes])
                del piece[:piece_bytes]
        if piece:
            yield bytes(piece)
        if not child.wait(max(0.1, deadline - time.monotonic())):
            raise TimeoutError
    except TimeoutError:
        process.signal_group(child.pid, SIGKILL)
        child.wait()
        return -SIGKILL, bytes(stderr), True
    except BaseException:
        process.signal_group(child.pid, SIGKILL)
        child.wait()
        raise
    finally:
        process.end(child)
    assert child.exit is not None
    return child.exit, bytes(stderr), False
