"""The view of a host that roles get: its variables and facts, the other hosts, and the outcomes of earlier plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.applications.placement import hosts_of
from orchestr.planning.addresses import as_address, as_network, is_address
from orchestr.planning.role import Params, Role
from orchestr.planning.role_lines import RoleError, RoleLine
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Placement
    from orchestr.blobs import BlobStore
    from orchestr.inventory import InventoryHost
    from orchestr.planning.plan import PlanContext
    from orchestr.resources.files import Blob
    from orchestr.resources.firewall.rules import Rule


class NeedsHost(BaseException):
    """A rehearsal ends: the role asks for a value that only a connection gives. Roles do not catch it."""


class Peer:
    """Another host of the inventory, in the view of a role."""

    def __init__(self, context: PlanContext, host: InventoryHost) -> None:
        self._context = context
        self._host = host
        self.name = host.name
        self.groups = host.groups

    @property
    def _connected(self) -> PlanContext:
        """The context of a plan with outcomes. Raises NeedsHost in a rehearsal."""
        if self._context.is_rehearsal:
            raise NeedsHost
        return self._context

    @property
    def _with_facts(self) -> PlanContext:
        """The context of a plan with facts. Raises NeedsHost in a rehearsal without hosts."""
        return self._context if self._context.facts else self._connected

    @property
    def address(self) -> str:
        """The IP address for peers: of ``private_address``, else of ``ansible_host``, else of the host's name.

        Raises InputError when a name does not resolve.
        """
        known = self._context.addresses
        if self.name not in known:
            scope = self._context.inventory.scope(self.name)
            variables = self._host.variables
            source = next((key for key in ("private_address", "ansible_host") if key in variables), None)
            text = str(scope.value(source)) if source else self.name
            context = self._context if is_address(text) else self._with_facts
            context.addresses[self.name] = as_address(text, self.name)
        return known[self.name]

    def variable(self, name: str, default: Any = None) -> Any:
        """Return one of its inventory variables, rendered; ``default`` when it is not set."""
        if name not in self._host.variables:
            return default
        return self._context.inventory.scope(self.name).value(name)

    @property
    def is_new(self) -> bool:
        """True if an upgrade adds it to the cluster; False outside upgrades."""
        return self.name in self._context.new_hosts

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts that its agent reported; empty while it is not connected."""
        return self._with_facts.facts.get(self.name, {})

    @property
    def absence(self) -> str:
        """Why nothing is done on it in this run: "left out" (by a limit) or "unreachable"; "" for any other host."""
        if self.name not in self._context.hosts:
            return "left out"
        return "" if self.facts else "unreachable"

    def params(self, role: str) -> Any:
        """Return its parameters of a role in this playbook, None when the playbook does not assign it that role."""
        for assignment in self._context.of_host(self.name):
            if assignment.role.name == role:
                return assignment.params
        return None

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that this playbook assigns to it, in their order."""
        return tuple(dict.fromkeys(assignment.role.name for assignment in self._context.of_host(self.name)))

    def as_host(self, role: str) -> Host:
        """Return the view of this host for one of its roles. Raises KeyError when it does not have the role."""
        for assignment in self._context.of_host(self.name):
            if assignment.role.name == role:
                return Host(self._context, self._host, assignment.role)
        raise KeyError(role)

    def application(self, name: str) -> Application | None:
        """Return the application that a role of this host describes, own parts included; None without a description."""
        for assignment in self._context.of_host(self.name):
            if assignment.role.name == name and assignment.role.describe is not None:
                return _describe(Host(self._context, self._host, assignment.role), assignment.params)
        return None

    def applications(self) -> Iterator[tuple[str, Application]]:
        """Yield the name and description of each application of this host that does not run inside another one."""
        known: set[str] = set()
        for assignment in self._context.of_host(self.name):
            role = assignment.role
            if role.describe is None or role.within or role.name in known:
                continue
            known.add(role.name)
            yield role.name, _describe(Host(self._context, self._host, role), assignment.params)

    def outcome(self, label: str) -> Mapping[str, Any]:
        """Return the values that an earlier task (``kind:label``) published, {} when it has not run."""
        for task_id, outcome in self._connected.outcomes.get(self.name, {}).items():
            if task_id.partition("/")[2] == label:
                return outcome
        return {}


class Host(Peer):
    """The host that a role is planned for."""

    def __init__(self, context: PlanContext, host: InventoryHost, role: Role | None = None) -> None:
        super().__init__(context, host)
        self._role = role

    @property
    def role(self) -> Role:
        """The role that is planned."""
        assert self._role is not None
        return self._role

    def in_group(self, name: str) -> bool:
        """Return True if the host is in a group."""
        return name in self.groups or name == "all"

    def group(self, name: str) -> list[Peer]:
        """Return the hosts of a group, this one included, in inventory order; [] when the group does not exist."""
        return list(self._context.group(name))

    def roles_in_playbook(self) -> tuple[Role, ...]:
        """Return the role instances of the playbook that at least one host gets, in the order of the plays."""
        return self._context.roles()

    def with_role(self, role: str) -> list[Peer]:
        """Return the hosts that get a role in any play of this playbook, in inventory order."""
        return list(self._context.with_role(role))

    def placed(self, placement: Placement) -> list[Peer]:
        """Return the hosts of the planned application that a placement selects, in inventory order."""
        names = hosts_of(self, self.role.name, placement)
        return [Peer(self._context, self._context.inventory.host(name)) for name in names]

    def sources(self, *words: str) -> tuple[str, ...]:
        """Return firewall sources, each once: names of groups and hosts become addresses; addresses and networks stay.

        Raises InputError for any other word.
        """
        addresses: dict[str, None] = {}
        for word in words:
            if word in self._context.inventory.groups:
                addresses.update(self._context.addresses_of(word))
            elif word in self._context.inventory.hosts:
                addresses[Peer(self._context, self._context.inventory.host(word)).address] = None
            else:
                addresses[as_network(word, self._context.inventory)] = None
        return tuple(addresses)

    def template(self, name: str, params: Params | None = None, **values: Any) -> str | Secret:
        """Render ``templates/NAME`` of the role; return a Secret if the text contains one. Raises InputError.

        The template sees ``params``, ``host``, ``values`` and the host's variables.
        """
        from orchestr.templating.render import render_file

        assert self._role is not None
        path = self._role.path / "templates" / name
        return render_file(path, self._context.inventory.scope(self.name), {"params": params, "host": self, **values})

    def project_path(self, path: str | Path) -> Path:
        """Return the absolute path on the controller of a path relative to the project."""
        return self._context.inventory.root / path

    def file(self, path: str | Path) -> Blob:
        """Register a file of the controller (relative to the project); it is sent to the host if the host lacks it."""
        return self._context.blobs.add_file(self.project_path(path))

    @property
    def blobs(self) -> BlobStore:
        """The store of content for this run."""
        return self._connected.blobs

    def staying(self, role: str) -> list[Peer]:
        """Return the hosts that get a role; for a departing host of an upgrade, by the new inventory."""
        return list((self._context.staying or self._context).with_role(role))

    def departing(self, role: str) -> list[Peer]:
        """Return the departing hosts of an upgrade that had a role by the old inventory."""
        staying = self._context.staying or self._context
        leaving = staying.departing
        if leaving is None:
            return []
        assert self._connected
        return [peer for peer in leaving.with_role(role) if not staying.has(peer.name)]

    def needed_ports(self) -> list[Rule]:
        """Return the firewall rules that the roles of this host need, over all plays."""
        rules: list[Rule] = []
        for assignment in self._context.of_host(self.name):
            ports = assignment.role.function("ports")
            if ports is not None:
                yielded = ports(Host(self._context, self._host, assignment.role), assignment.params)
                rules.extend(_check_rule(rule, assignment.role) for rule in yielded)
        return list(dict.fromkeys(rules))

    @property
    def is_departing(self) -> bool:
        """True for a host that an upgrade removes: it is planned by the old inventory."""
        return self._context.staying is not None

    def everywhere(self) -> list[Peer]:
        """Return all hosts of the new inventory, and the hosts that an upgrade removes."""
        staying = self._context.staying or self._context
        departing = staying.departing.group("all") if staying.departing is not None else ()
        return [*staying.group("all"), *(peer for peer in departing if not staying.has(peer.name))]

    def note(self, message: str) -> None:
        """Report a message about this host's plan to the user, once."""
        if not self._context.is_rehearsal and (self.name, message) not in self._context.notes:
            self._context.notes.append((self.name, message))


def _check_rule(rule: Any, role: Role) -> Rule:
    """Return a rule that the ports() of a role yielded. Raises RoleError for a value of another type."""
    if hasattr(rule, "sources"):  # Rule itself is imported by roles with ports only
        checked: Rule = rule
        return checked
    line = RoleLine.at(str(role.path / "__init__.py"))
    step = "yield values of orchestr.Rule, as in Rule(80)"
    raise RoleError(f"ports() of the role {role.name} yielded a {type(rule).__name__}, expected a Rule", line, step)


def _describe(host: Host, params: Params) -> Application:
    from orchestr.applications.parts import describe  # with all that an application is made of

    return describe(host, params)
