"""Inventory, roles and facts become tasks: a value that can be compared, printed and tested without a host."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Resource, Task
from orchestr.applications.parts import describe
from orchestr.errors import InputError
from orchestr.planning.addresses import as_address, as_network
from orchestr.planning.role import Params, Role, load_role, resolve_params
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.applications.model import Application
    from orchestr.blobs import BlobStore
    from orchestr.inventory import Inventory, InventoryHost
    from orchestr.planning.playbook import Playbook, RoleUse
    from orchestr.resources.files import Blob
    from orchestr.resources.firewall.firewall import Rule


@dataclass(frozen=True)
class Assignment:
    """A role, its parameters for one host, and the tags it was given in the playbook."""

    role: Role
    params: Params
    tags: tuple[str, ...]
    use: RoleUse


@dataclass
class PlanContext:
    """What planning may look at: the inventory, who gets which role, facts of connected hosts, outcomes so far."""

    inventory: Inventory
    playbook: Playbook
    blobs: BlobStore
    assignments: dict[tuple[int, str], tuple[Assignment, ...]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    new_hosts: frozenset[str] = frozenset()
    departing: PlanContext | None = None  # of the inventory an upgrade leaves, for the hosts that it lets go
    staying: PlanContext | None = None  # the other way round: of the inventory that comes
    addresses: dict[str, str] = field(default_factory=dict)  # looked up so far
    _groups: dict[str, tuple[Peer, ...]] = field(default_factory=dict)
    _with_role: dict[str, tuple[Peer, ...]] = field(default_factory=dict)
    _roles: tuple[Role, ...] | None = None
    _addresses_of: dict[str, dict[str, None]] = field(default_factory=dict)
    _looking_up: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def group(self, name: str) -> tuple[Peer, ...]:
        """Return the hosts of a group, gathered once for all who ask."""
        with self._looking_up:  # hosts that ask at the same time wait for the first instead of looking too
            if name not in self._groups:
                members = self.inventory.members(name) if name in self.inventory.groups else ()
                self._groups[name] = tuple(Peer(self, host) for host in members)
            return self._groups[name]

    def addresses_of(self, group: str) -> dict[str, None]:
        """Return the addresses of a group's hosts, each once, looked up once. Raises InputError as `Peer.address`."""
        with self._looking_up:
            if group not in self._addresses_of:
                self._addresses_of[group] = dict.fromkeys(peer.address for peer in self.group(group))
            return self._addresses_of[group]

    def with_role(self, role: str) -> tuple[Peer, ...]:
        """Return the hosts that get a role in some play, gathered once for all who ask."""
        with self._looking_up:
            if role not in self._with_role:
                assignments = self.assignments.items()
                names = {name for (_, name), uses in assignments if any(use.role.name == role for use in uses)}
                hosts = self.inventory.hosts.values()
                self._with_role[role] = tuple(Peer(self, host) for host in hosts if host.name in names)
            return self._with_role[role]

    def roles(self) -> tuple[Role, ...]:
        """Return the role instances of the playbook that some host gets, each once, in the order of the plays."""
        with self._looking_up:
            if self._roles is None:
                every = (use.role for _, uses in sorted(self.assignments.items()) for use in uses)
                self._roles = tuple({role.name: role for role in every}.values())
            return self._roles

    def has(self, host: str) -> bool:
        """Tell whether a host is in the inventory."""
        return host in self.inventory.hosts

    def take_notes(self) -> Iterator[tuple[str, str]]:
        """Yield each note once, whichever of the hosts' threads asks."""
        while True:
            try:
                yield self.notes.pop(0)
            except IndexError:
                return

    def of_host(self, host: str) -> Iterator[Assignment]:
        """Yield all assignments of a host, over all plays, in order."""
        for number in range(len(self.playbook.plays)):
            yield from self.assignments.get((number, host), ())


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

    def call(self, role: str, function: str) -> Any:
        """Return what a role's function gives for this host, as planned for it; () where there is no such function."""
        for assignment in self._context.of_host(self.name):
            called = assignment.role.function(function) if assignment.role.name == role else None
            if called is not None:
                return called(Host(self._context, self._host, assignment.role), assignment.params)
        return ()

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


def assign(context: PlanContext, play_hosts: Mapping[int, list[str]]) -> None:
    """Load all roles and resolve all parameters, for every play and host. Raises InputError; nothing is connected."""
    instances = context.playbook.instances
    for number, play in enumerate(context.playbook.plays):
        roles = [
            (use, part)
            for use in play.roles
            for part in with_own_parts(load_role(use.name, context.inventory.root, use.position, instance=use.instance))
        ]
        for host in play_hosts[number]:
            groups = context.inventory.host(host).groups
            context.assignments[(number, host)] = tuple(
                Assignment(role, resolve_params(role, use, play, context.inventory, host, instances), tags, use)
                for use, role in roles
                for tags in [(*play.tags, *use.tags)]
                if _is_for(role, groups, context.inventory)
            )


def _is_for(role: Role, groups: Iterable[str], inventory: Inventory) -> bool:
    """Return True if a host with these groups gets a role of its play.

    A part of an application is for the hosts of its group. Hosts of such groups get the application itself only when
    they are in the group of its name, where there is one.
    """
    if role.within:
        return role.name in groups
    is_for_parts = any(use.own and use.name in groups for use in role.uses)
    return not is_for_parts or role.name in groups or role.name not in inventory.groups


def with_own_parts(role: Role) -> Iterator[Role]:
    """Yield the applications that run inside this one, each a role of its own, then the application itself."""
    for use in role.uses:
        if use.own:
            root = role.path.parent.parent
            yield load_role(use.role, root, instance=use.name, within=role.name)
    yield role


def plan_host(
    context: PlanContext,
    number: int,
    host: str,
    *,
    lifecycle: str = "deploy",
    role: str = "",
    tags: Iterable[str] = (),
    skip_tags: Iterable[str] = (),
) -> tuple[Task, ...]:
    """Return the tasks of one host in play ``number``, ids set and unique. Raises InputError from roles.

    ``role``: of this role alone, also on a host that has only a part of it, or some of its data.
    """
    inventory_host = context.inventory.host(host)
    tasks: list[Task] = []
    wanted, unwanted = set(tags), set(skip_tags)
    for assignment in _assignments(context, number, host, role):
        function = assignment.role.function(lifecycle)
        if function is None:
            continue
        seen = Host(context, inventory_host, assignment.role)
        for item in function(seen, assignment.params):
            resource = item.resource if isinstance(item, Task) else _a_resource(item, assignment.role)
            names = dict.fromkeys((assignment.role.name, assignment.role.kind))
            its_tags = (*(item.tags if isinstance(item, Task) else ()), *assignment.tags, *names)
            if _is_wanted(its_tags, wanted, unwanted):
                label = f"{assignment.role.name}/{resource.kind}:{resource.label}"
                is_bare = resource is item
                task = Task(item, id=label, tags=its_tags) if is_bare else replace(item, id=label, tags=its_tags)
                tasks.append(task)
    return _unique(tasks)


def _assignments(context: PlanContext, number: int, host: str, role: str) -> tuple[Assignment, ...]:
    if not role:
        return context.assignments[(number, host)]
    own = tuple(each for each in context.assignments.get((number, host), ()) if each.role.name == role)
    play = (each for (play, _), every in context.assignments.items() if play == number for each in every)
    return own or tuple(itertools.islice((each for each in play if each.role.name == role), 1))


def _a_resource(item: Any, role: Role) -> Resource:
    if not isinstance(item, Resource):
        raise InputError(
            f"the role {role.name} yielded a {type(item).__name__}; it yields resources or Tasks",
            file=role.path / "__init__.py",
            next_step="yield what orchestr.resources has, or a Task around it",
        )
    return item


def _is_wanted(tags: tuple[str, ...], wanted: set[str], unwanted: set[str]) -> bool:
    if unwanted.intersection(tags):
        return False
    return not wanted or "always" in tags or bool(wanted.intersection(tags))


def _unique(tasks: list[Task]) -> tuple[Task, ...]:
    counts: dict[str, int] = {}
    named = []
    for task in tasks:
        counts[task.id] = counts.get(task.id, 0) + 1
        named.append(task if counts[task.id] == 1 else replace(task, id=f"{task.id}#{counts[task.id]}"))
    return tuple(named)
