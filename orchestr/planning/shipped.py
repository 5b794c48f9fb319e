"""The roles, playbooks and example inventories that ship with orchestr."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path


@functools.cache
def shipped_directory(name: str) -> Path | None:
    """Return the directory of the ``roles``, ``playbooks`` or ``inventories`` that ship with orchestr.

    In a checkout it is beside the package; in a wheel it is the package ``orchestr_NAME``.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "setup.cfg").is_file() and (checkout / name).is_dir():
        return checkout / name
    spec = importlib.util.find_spec(f"orchestr_{name}")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None
