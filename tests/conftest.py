"""Random input of property tests: the same in every run, so that a run says the same of one commit; no time limits.

``make test-long`` and ``make fuzz`` set ``ORCHESTR_FUZZ``: then it is another one each time.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("random", deadline=None)
settings.load_profile("random" if os.environ.get("ORCHESTR_FUZZ") else "repeatable")
