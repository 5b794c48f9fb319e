"""Re-export of the Secret type, for the controller side and for users of the library."""

import orchestr.redaction  # noqa: F401 - registers every Secret made from here on
from orchestr.agent.secret import REDACTED, Secret, cut_head, cut_tail, redact, reveal

__all__ = ["REDACTED", "Secret", "cut_head", "cut_tail", "redact", "reveal"]
