"""orchestr deploys and grows self-hosted clusters over SSH, from one machine to many, out of one inventory file.

>>> import orchestr
>>> inventory = orchestr.load_inventory("inventories/prod.yml")   # doctest: +SKIP
>>> result = orchestr.run(inventory, on_event=print)              # doctest: +SKIP
>>> result.exit_code, result.hosts["web1"].changed                # doctest: +SKIP
(0, 7)

Programs, roles, resources and checks need no other import: ``from orchestr import File, Host, Params``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import Field as Field

    from orchestr.adhoc import execute as execute
    from orchestr.adhoc import facts as facts
    from orchestr.adhoc import ping as ping
    from orchestr.agent.record import record as record
    from orchestr.agent.resource import Action as Action
    from orchestr.agent.resource import Change as Change
    from orchestr.agent.resource import NotObservable as NotObservable
    from orchestr.agent.resource import Resource as Resource
    from orchestr.agent.resource import ResourceError as ResourceError
    from orchestr.agent.resource import State as State
    from orchestr.agent.resource import Survey as Survey
    from orchestr.agent.resource import Task as Task
    from orchestr.agent.resource import registered as registered
    from orchestr.agent.secret import reveal as reveal
    from orchestr.agent.system import CommandFailed as CommandFailed
    from orchestr.agent.system import Completed as Completed
    from orchestr.agent.system import Reader as Reader
    from orchestr.agent.system import System as System
    from orchestr.api import plan as plan
    from orchestr.api import run as run
    from orchestr.applications.container_role import ContainerParams as ContainerParams
    from orchestr.applications.model import Application as Application
    from orchestr.applications.model import Data as Data
    from orchestr.applications.model import Dump as Dump
    from orchestr.applications.model import Placement as Placement
    from orchestr.applications.model import Service as _Service
    from orchestr.applications.model import Site as Site
    from orchestr.applications.model import Use as Use
    from orchestr.applications.parts import clients as clients
    from orchestr.applications.parts import own_part as own_part
    from orchestr.applications.parts import providers as providers
    from orchestr.applications.routes import FrontDoor as FrontDoor
    from orchestr.applications.routes import listen_address as listen_address
    from orchestr.applications.routes import proxies as proxies
    from orchestr.applications.routes import routes as routes
    from orchestr.containers.compose import ContainerService as ContainerService
    from orchestr.containers.compose import compose_project as compose_project
    from orchestr.containers.model import HealthCheck as HealthCheck
    from orchestr.containers.model import Limits as Limits
    from orchestr.containers.model import Logging as Logging
    from orchestr.containers.model import Mount as Mount
    from orchestr.containers.model import Network as Network
    from orchestr.containers.model import Port as Port
    from orchestr.containers.model import Reload as Reload
    from orchestr.containers.model import Volume as Volume
    from orchestr.containers.stack import stack as stack
    from orchestr.containers.stack_model import Deploy as Deploy
    from orchestr.containers.stack_model import MountedFile as MountedFile
    from orchestr.containers.stack_model import SwarmService as SwarmService
    from orchestr.errors import HostError as HostError
    from orchestr.errors import InputError as InputError
    from orchestr.errors import OrchestrError as OrchestrError
    from orchestr.events import Event as Event
    from orchestr.inventory import Inventory as Inventory
    from orchestr.inventory import load_inventory as load_inventory
    from orchestr.planning.host import Host as Host
    from orchestr.planning.host import Peer as Peer
    from orchestr.planning.params import FileMode as FileMode
    from orchestr.planning.params import OptionFilePassword as OptionFilePassword
    from orchestr.planning.params import Params as Params
    from orchestr.planning.params import SecretText as SecretText
    from orchestr.planning.playbook import load_playbook as load_playbook
    from orchestr.resources.archives import Archive as Archive
    from orchestr.resources.commands import Command as Command
    from orchestr.resources.compose.plugin import ComposePlugin as ComposePlugin
    from orchestr.resources.compose.project import ComposeProject as ComposeProject
    from orchestr.resources.docker.engine import DockerEngine as DockerEngine
    from orchestr.resources.docker.images import Image as Image
    from orchestr.resources.docker.images import PulledImage as PulledImage
    from orchestr.resources.env_files import EnvFile as EnvFile
    from orchestr.resources.files import Blob as Blob
    from orchestr.resources.files import Directory as Directory
    from orchestr.resources.files import File as File
    from orchestr.resources.files import Link as Link
    from orchestr.resources.firewall.choice import PacketFilter as PacketFilter
    from orchestr.resources.firewall.firewall import Firewall as Firewall
    from orchestr.resources.firewall.firewall import FirewallRule as FirewallRule
    from orchestr.resources.firewall.rules import Rule as Rule
    from orchestr.resources.lines import Block as Block
    from orchestr.resources.lines import Line as Line
    from orchestr.resources.packages import Package as Package
    from orchestr.resources.ports import PortsFree as PortsFree
    from orchestr.resources.probes import HttpAnswer as HttpAnswer
    from orchestr.resources.probes import TcpAnswer as TcpAnswer
    from orchestr.resources.services import Service as Service
    from orchestr.resources.sysctl import Sysctl as Sysctl
    from orchestr.resources.users import Group as Group
    from orchestr.resources.users import User as User
    from orchestr.results import HostResult as HostResult
    from orchestr.results import RunResult as RunResult
    from orchestr.secret import Secret as Secret
    from orchestr.transport.memory import memory_connector as memory_connector
    from orchestr.transport.memory_host import MemoryHost as MemoryHost
    from orchestr.upgrades.run import UpgradeResult as UpgradeResult
    from orchestr.upgrades.run import rollback as rollback
    from orchestr.upgrades.run import upgrade as upgrade
    from orchestr.verification import VerifyResult as VerifyResult
    from orchestr.verification import verify as verify
    from orchestr.verification.inside import Inside as Inside
    from orchestr.verification.inside import closed_to_outside as closed_to_outside
    from orchestr.verification.inside import is_insider as is_insider
    from orchestr.verification.inside import outside_address as outside_address
    from orchestr.verification.outside import Outside as Outside
    from orchestr.verification.outside import Response as Response

    ApplicationService = _Service

__version__ = "0.1.0"

#: Module → the public names it defines, as above.
_MODULES = {
    "orchestr.adhoc": "execute facts ping",
    "orchestr.agent.record": "record",
    "orchestr.agent.resource": "Action Change NotObservable Resource ResourceError State Survey Task registered",
    "orchestr.agent.secret": "reveal",
    "orchestr.agent.system": "CommandFailed Completed Reader System",
    "orchestr.api": "plan run",
    "orchestr.applications.container_role": "ContainerParams",
    "orchestr.applications.model": "Application Data Dump Placement ApplicationService Site Use",
    "orchestr.applications.parts": "clients own_part providers",
    "orchestr.applications.routes": "FrontDoor listen_address proxies routes",
    "orchestr.containers.compose": "ContainerService compose_project",
    "orchestr.containers.model": "HealthCheck Limits Logging Mount Network Port Reload Volume",
    "orchestr.containers.stack": "stack",
    "orchestr.containers.stack_model": "Deploy MountedFile SwarmService",
    "orchestr.errors": "HostError InputError OrchestrError",
    "orchestr.events": "Event",
    "orchestr.inventory": "Inventory load_inventory",
    "orchestr.planning.host": "Host Peer",
    "orchestr.planning.params": "FileMode OptionFilePassword Params SecretText",
    "orchestr.planning.playbook": "load_playbook",
    "orchestr.resources.archives": "Archive",
    "orchestr.resources.commands": "Command",
    "orchestr.resources.compose.plugin": "ComposePlugin",
    "orchestr.resources.compose.project": "ComposeProject",
    "orchestr.resources.docker.engine": "DockerEngine",
    "orchestr.resources.docker.images": "Image PulledImage",
    "orchestr.resources.env_files": "EnvFile",
    "orchestr.resources.files": "Blob Directory File Link",
    "orchestr.resources.firewall.choice": "PacketFilter",
    "orchestr.resources.firewall.firewall": "Firewall FirewallRule",
    "orchestr.resources.firewall.rules": "Rule",
    "orchestr.resources.lines": "Block Line",
    "orchestr.resources.packages": "Package",
    "orchestr.resources.ports": "PortsFree",
    "orchestr.resources.probes": "HttpAnswer TcpAnswer",
    "orchestr.resources.services": "Service",
    "orchestr.resources.sysctl": "Sysctl",
    "orchestr.resources.users": "Group User",
    "orchestr.results": "HostResult RunResult",
    "orchestr.secret": "Secret",
    "orchestr.transport.memory": "memory_connector",
    "orchestr.transport.memory_host": "MemoryHost",
    "orchestr.upgrades.run": "UpgradeResult rollback upgrade",
    "orchestr.verification": "VerifyResult verify",
    "orchestr.verification.inside": "Inside closed_to_outside is_insider outside_address",
    "orchestr.verification.outside": "Outside Response",
    "pydantic": "Field",
}
#: Names that say more here than in their modules.
_ATTRIBUTES = {"ApplicationService": "Service"}
# A name is imported when first used, so that `import orchestr` costs nothing a program does not need.
HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'orchestr' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(HOMES[name]), _ATTRIBUTES.get(name, name))
    globals()[name] = value
    return value


def _complete_record(record: Any) -> None:
    """End the construction of the first record, as `orchestr.field_types.complete` does of those after it."""
    from importlib import import_module

    import_module("orchestr.field_types").complete(record)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
