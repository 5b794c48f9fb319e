"""Re-export of the Secret type, for the controller side and for users of the library."""

import orchestr.redaction  # noqa: F401 - registers every Secret made from here on
from orchestr.agent.secret import HIDDEN, Secret, mask, reveal

__all__ = ["HIDDEN", "Secret", "mask", "reveal"]
