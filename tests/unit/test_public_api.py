"""The names a program may use: adding one is a decision, removing one breaks somebody."""

from __future__ import annotations

import subprocess
import sys

import orchestr

PUBLIC = {
    *("load_inventory", "load_playbook"),
    *("run", "plan", "verify", "ping", "facts", "execute"),
    *("Inventory", "Event", "RunResult", "HostResult", "VerifyResult"),
    *("Action", "Params", "Resource", "Secret", "SecretText", "Task"),
    *("HostError", "InputError", "OrchestrError"),
}


def test_public_names_are_pinned() -> None:
    """`orchestr.__all__` is exactly this, and every name of it can be imported."""
    assert set(orchestr.__all__) == PUBLIC
    assert all(getattr(orchestr, name) is not None for name in PUBLIC)


def test_functions_stay_functions() -> None:
    """A module imported later does not take the place of a function of the same name."""
    program = (
        "import orchestr, orchestr.api, orchestr.adhoc, orchestr.verification, orchestr.engine.run\n"
        "names = ('run', 'plan', 'verify', 'ping', 'facts', 'execute')\n"
        "assert all(callable(getattr(orchestr, name)) for name in names)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr == ""


def test_importing_the_package_costs_nothing() -> None:
    """``import orchestr`` loads no package from outside the standard library."""
    program = "import sys, orchestr; print([n for n in ('yaml', 'jinja2', 'pydantic', 'rich') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
