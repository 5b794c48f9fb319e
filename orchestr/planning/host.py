"""A host as roles see it: its variables and facts, the other hosts, and the outcomes of earlier plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.applications.parts import describe
from orchestr.applications.placement import hosts_of
from orchestr.planning.addresses import as_address, as_network
from orchestr.planning.role import Params, Role
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Placement
    from orchestr.blobs import BlobStore
    from orchestr.inventory import InventoryHost
    from orchestr.planning.plan import PlanContext
    from orchestr.resources.files import Blob
    from orchestr.resources.firewall.rules import Rule


class Peer:
    """Another host, as a role sees it."""

    def __init__(self, context: PlanContext, host: InventoryHost) -> None:
        self._context = context
        self._host = host
        self.name = host.name
        self.groups = host.groups

    @property
    def address(self) -> str:
        """Where peers reach it: ``private_address``, else ``ansible_host``, else its name; an IP address.

        Raises InputError when a name has no address.
        """
        known = self._context.addresses
        if self.name not in known:
            scope = self._context.inventory.scope(self.name)
            variables = self._host.variables
            given = next((key for key in ("private_address", "ansible_host") if key in variables), None)
            known[self.name] = as_address(str(scope.value(given)) if given else self.name, self.name)
        return known[self.name]

    def variable(self, name: str, default: Any = None) -> Any:
        """Return one of its inventory variables, rendered; ``default`` when it has none."""
        if name not in self._host.variables:
            return default
        return self._context.inventory.scope(self.name).value(name)

    @property
    def is_new(self) -> bool:
        """Tell whether an upgrade is adding it to the cluster; False outside upgrades."""
        return self.name in self._context.new_hosts

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its agent told; empty while it is not connected."""
        return self._context.facts.get(self.name, {})

    def params(self, role: str) -> Any:
        """Return its parameters of a role it is given in this playbook, None when it is not given that role."""
        for assignment in self._context.of_host(self.name):
            if assignment.role.name == role:
                return assignment.params
        return None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it is given in this playbook, in their order."""
        return tuple(dict.fromkeys(assignment.role.name for assignment in self._context.of_host(self.name)))

    def as_host(self, role: str) -> Host:
        """Return this host as one of its roles sees it. Raises KeyError when it does not have the role."""
        for assignment in self._context.of_host(self.name):
            if assignment.role.name == role:
                return Host(self._context, self._host, assignment.role)
        raise KeyError(role)

    def application(self, name: str) -> Application | None:
        """Return the application that a role of this host describes, own parts included; None for another role."""
        for assignment in self._context.of_host(self.name):
            if assignment.role.name == name and assignment.role.describe is not None:
                return describe(Host(self._context, self._host, assignment.role), assignment.params)
        return None

    def applications(self) -> Iterator[tuple[str, Application]]:
        """Yield name and description of each application of this host that does not run inside another one."""
        known: set[str] = set()
        for assignment in self._context.of_host(self.name):
            role = assignment.role
            if role.describe is None or role.within or role.name in known:
                continue
            known.add(role.name)
            yield role.name, describe(Host(self._context, self._host, role), assignment.params)

    def outcome(self, label: str) -> Mapping[str, Any]:
        """Return what an earlier task published (``kind:label``), {} when it has not run."""
        for task_id, outcome in self._context.outcomes.get(self.name, {}).items():
            if task_id.partition("/")[2] == label:
                return outcome
        return {}


class Host(Peer):
    """The host a role is planned for."""

    def __init__(self, context: PlanContext, host: InventoryHost, role: Role | None = None) -> None:
        super().__init__(context, host)
        self._role = role

    @property
    def role(self) -> Role:
        """The role that is planned."""
        assert self._role is not None
        return self._role

    def in_group(self, name: str) -> bool:
        """Tell whether the host is in a group."""
        return name in self.groups or name == "all"

    def group(self, name: str) -> list[Peer]:
        """Return the hosts of a group, this one included, in inventory order; none when there is no such group."""
        return list(self._context.group(name))

    def roles_in_playbook(self) -> tuple[Role, ...]:
        """Return the role instances of the playbook that some host gets, in the order of the plays."""
        return self._context.roles()

    def with_role(self, role: str) -> list[Peer]:
        """Return the hosts that get a role somewhere in this playbook, in inventory order."""
        return list(self._context.with_role(role))

    def placed(self, placement: Placement) -> list[Peer]:
        """Return the hosts of the planned application that a placement means, in inventory order."""
        names = hosts_of(self, self.role.name, placement)
        return [Peer(self._context, self._context.inventory.host(name)) for name in names]

    def sources(self, *who: str) -> tuple[str, ...]:
        """Return firewall sources: group names become their hosts' addresses, addresses and networks stay.

        Raises InputError for a word that is neither.
        """
        found: dict[str, None] = {}
        for word in who:
            if word in self._context.inventory.groups:
                found.update(self._context.addresses_of(word))
            elif word in self._context.inventory.hosts:
                found[Peer(self._context, self._context.inventory.host(word)).address] = None
            else:
                found[as_network(word, self._context.inventory)] = None
        return tuple(found)

    def template(self, name: str, params: Params | None = None, **values: Any) -> str | Secret:
        """Render ``templates/NAME`` of the role; a Secret when a secret took part. Raises InputError.

        The template sees ``params``, ``host``, the given values and the host's variables.
        """
        from orchestr.templating.render import render_file

        assert self._role is not None
        path = self._role.path / "templates" / name
        return render_file(path, self._context.inventory.scope(self.name), {"params": params, "host": self, **values})

    def project_path(self, path: str | Path) -> Path:
        """Return a path of this machine, given relative to the project, as a whole one."""
        return self._context.inventory.root / path

    def file(self, path: str | Path) -> Blob:
        """Register a file of this machine (relative to the project) to be sent when the host lacks it."""
        return self._context.blobs.add_file(self.project_path(path))

    @property
    def blobs(self) -> BlobStore:
        """Where content for this run is registered."""
        return self._context.blobs

    def staying(self, role: str) -> list[Peer]:
        """Return the hosts that get a role; for a host that an upgrade lets go, by the inventory that comes."""
        return list((self._context.staying or self._context).with_role(role))

    def departing(self, role: str) -> list[Peer]:
        """Return the hosts that an upgrade lets go and that had a role by the inventory they were in."""
        staying = self._context.staying or self._context
        gone = staying.departing
        return [] if gone is None else [peer for peer in gone.with_role(role) if not staying.has(peer.name)]

    def needed_ports(self) -> list[Rule]:
        """Return the firewall rules that all roles of this host, in all plays, say they need."""
        rules: list[Rule] = []
        for assignment in self._context.of_host(self.name):
            ports = assignment.role.function("ports")
            if ports is not None:
                rules.extend(ports(Host(self._context, self._host, assignment.role), assignment.params))
        return list(dict.fromkeys(rules))

    @property
    def is_departing(self) -> bool:
        """True for a host that an upgrade removes: it is planned by the inventory it was in."""
        return self._context.staying is not None

    def everywhere(self) -> list[Peer]:
        """Return all hosts of the inventory that comes, and those that an upgrade removes."""
        staying = self._context.staying or self._context
        departing = staying.departing.group("all") if staying.departing is not None else ()
        return [*staying.group("all"), *(peer for peer in departing if not staying.has(peer.name))]

    def note(self, message: str) -> None:
        """Say something a person should know about this host's plan; reported once."""
        if (self.name, message) not in self._context.notes:
            self._context.notes.append((self.name, message))
