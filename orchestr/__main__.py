"""``python -m orchestr`` is ``orchestr``."""

import sys

from orchestr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
