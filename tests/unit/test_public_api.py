"""The names a program may use: adding one is a decision, removing one breaks somebody."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import orchestr

PUBLIC = {
    # programs
    *("load_inventory", "load_playbook", "run", "plan", "verify", "upgrade", "rollback", "ping", "facts", "execute"),
    *("Inventory", "Event", "RunResult", "HostResult", "VerifyResult", "UpgradeResult"),
    *("HostError", "InputError", "OrchestrError"),
    # roles
    *("Field", "FileMode", "Host", "OptionFilePassword", "Params", "Peer", "Secret", "SecretText", "Task"),
    *("Archive", "Blob", "Block", "Command", "ComposePlugin", "ComposeProject", "Directory", "DockerEngine", "EnvFile"),
    *("File", "Firewall", "FirewallRule", "Group", "HttpAnswer", "Image", "Line", "Link", "Package", "PacketFilter"),
    *("PortsFree", "PulledImage", "Rule", "Service", "Sysctl", "TcpAnswer", "User"),
    *("ContainerService", "HealthCheck", "Limits", "Logging", "Mount", "Network", "Port", "Reload", "Volume"),
    *("Deploy", "MountedFile", "SwarmService", "compose_project", "stack"),
    # resources
    *("Action", "Change", "CommandFailed", "Completed", "NotObservable", "Reader", "Resource", "ResourceError"),
    *("State", "Survey", "System", "record", "registered", "reveal"),
    # systems
    *("Application", "ApplicationService", "ContainerParams", "Data", "Dump", "Placement", "Site", "Use", "FrontDoor"),
    *("clients", "listen_address", "own_part", "providers", "proxies", "routes"),
    # checks and tests
    *("Inside", "Outside", "Response", "closed_to_outside", "is_insider", "outside_address"),
    *("MemoryHost", "memory_connector"),
}
ROOT = Path(orchestr.__file__).parent


def test_public_names_are_pinned() -> None:
    """`orchestr.__all__` is exactly this, and every name of it can be imported."""
    assert set(orchestr.__all__) == PUBLIC
    assert all(getattr(orchestr, name) is not None for name in PUBLIC)


def test_type_checkers_see_the_same_names() -> None:
    """Every name is imported for type checkers from the module it is imported from when it is used."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "importlib"]
    seen = {alias.asname: node.module for node in imports for alias in node.names if node.module}
    del seen[None]  # __future__ and typing
    seen["ApplicationService"] = seen.pop("_Service")
    assert seen == orchestr.HOMES


def test_names_come_from_the_module_that_defines_them() -> None:
    """Hosts get the module that a name comes from: it is the one that defines it, not one that passes it on."""
    for name, module in orchestr.HOMES.items():
        value = getattr(orchestr, name)
        if isinstance(value, type) and module.startswith(("orchestr.agent", "orchestr.resources")):
            assert module == value.__module__, name


def test_a_secret_of_a_program_is_redacted() -> None:
    """The first name that a program takes may be Secret: what it makes then is known to the last net of redaction."""
    program = "from orchestr import Secret\nkept = Secret('canary-31')\nfrom orchestr.redaction import redact\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "print(redact('a canary-31'))"], capture_output=True, text=True
    )
    assert "canary" not in done.stdout and done.stdout.startswith("a ")


def test_functions_stay_functions() -> None:
    """A module imported later does not take the place of a function of the same name."""
    program = (
        "import importlib, orchestr\n"
        "for module in set(orchestr.HOMES.values()): importlib.import_module(module)\n"
        "import types\n"
        "assert not [n for n in orchestr.__all__ if isinstance(getattr(orchestr, n), types.ModuleType)]"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stderr == ""


def test_importing_the_package_costs_nothing() -> None:
    """``import orchestr`` loads no package from outside the standard library."""
    program = "import sys, orchestr; print([n for n in ('yaml', 'jinja2', 'pydantic', 'rich') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
