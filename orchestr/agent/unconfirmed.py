"""Changes that a dead man's switch would still undo: the directory in which `guard` keeps them, and their list."""

from __future__ import annotations

from orchestr.agent.system import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

DIRECTORY = "/run/orchestr"
PREFIX = "guard-"


def pending(reader: Reader) -> Tuple[str, ...]:
    """Return the directories of switches that a run which died left armed: their change is not confirmed."""
    names = [name for name in reader.list_directory(DIRECTORY) if name.startswith(PREFIX)]
    paths = tuple("%s/%s" % (DIRECTORY, name) for name in names)
    return tuple(path for path in paths if not reader.stat(path + "/confirmed"))
