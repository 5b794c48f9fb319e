"""orchestr deploys and grows self-hosted clusters over SSH, from one machine to many, out of one inventory file.

>>> import orchestr
>>> inventory = orchestr.load_inventory("inventories/prod.yml")   # doctest: +SKIP
>>> result = orchestr.run(inventory, on_event=print)              # doctest: +SKIP
>>> result.exit_code, result.hosts["web1"].changed                # doctest: +SKIP
(0, 7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestr.adhoc import execute as execute
    from orchestr.adhoc import facts as facts
    from orchestr.adhoc import ping as ping
    from orchestr.agent.resource import Action as Action
    from orchestr.agent.resource import Resource as Resource
    from orchestr.agent.resource import Task as Task
    from orchestr.api import plan as plan
    from orchestr.api import run as run
    from orchestr.errors import HostError as HostError
    from orchestr.errors import InputError as InputError
    from orchestr.errors import OrchestrError as OrchestrError
    from orchestr.events import Event as Event
    from orchestr.inventory import Inventory as Inventory
    from orchestr.inventory import load_inventory as load_inventory
    from orchestr.planning.playbook import load_playbook as load_playbook
    from orchestr.planning.role import Params as Params
    from orchestr.planning.role import SecretText as SecretText
    from orchestr.results import HostResult as HostResult
    from orchestr.results import RunResult as RunResult
    from orchestr.secret import Secret as Secret
    from orchestr.verification import VerifyResult as VerifyResult
    from orchestr.verification import verify as verify

__version__ = "0.1.0"

# Names are imported when first used, so that `import orchestr` costs nothing a program does not need.
_HOMES = {
    "Action": "orchestr.agent.resource",
    "Event": "orchestr.events",
    "HostError": "orchestr.errors",
    "HostResult": "orchestr.results",
    "InputError": "orchestr.errors",
    "Inventory": "orchestr.inventory",
    "OrchestrError": "orchestr.errors",
    "Params": "orchestr.planning.role",
    "Resource": "orchestr.agent.resource",
    "RunResult": "orchestr.results",
    "Secret": "orchestr.secret",
    "SecretText": "orchestr.planning.role",
    "Task": "orchestr.agent.resource",
    "VerifyResult": "orchestr.verification",
    "execute": "orchestr.adhoc",
    "facts": "orchestr.adhoc",
    "load_inventory": "orchestr.inventory",
    "load_playbook": "orchestr.planning.playbook",
    "ping": "orchestr.adhoc",
    "plan": "orchestr.api",
    "run": "orchestr.api",
    "verify": "orchestr.verification",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orchestr' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
