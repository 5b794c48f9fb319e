"""What all tests depend on: signals that are heeded, and the same random input in every run.

``make test-long`` and ``make fuzz`` set ``ORCHESTR_FUZZ``: then property tests draw other input each time.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("random", deadline=None)
settings.load_profile("random" if os.environ.get("ORCHESTR_FUZZ") else "repeatable")


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Take the place of an ignored signal: unlike that, a handler is not inherited by programs that tests start."""


# A job in the background ignores Ctrl-C, and one under nohup the end of its terminal; so would all that tests start.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else _do_nothing)
