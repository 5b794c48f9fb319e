"""Plan tasks from inventory, roles and facts: values that can be compared, printed and tested without a host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestr.agent.resource import Task
from orchestr.errors import InputError
from orchestr.once import Once
from orchestr.planning.host import Host as Host
from orchestr.planning.host import Peer as Peer
from orchestr.planning.items import checked_items
from orchestr.planning.ownership import Owners, refuse_conflicts
from orchestr.planning.provenance import input_error_of
from orchestr.planning.role import Params, Role, directories_near, load_role, resolve_params, role_names

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore
    from orchestr.inventory import Inventory
    from orchestr.planning.playbook import Playbook, RoleUse


@dataclass(frozen=True)
class Assignment:
    """A role, its parameters for one host, and its tags from the playbook."""

    role: Role
    params: Params
    tags: tuple[str, ...]
    use: RoleUse


@dataclass
class PlanContext:
    """The input of planning: the inventory, the roles of each host, facts of connected hosts, outcomes so far."""

    inventory: Inventory
    playbook: Playbook
    blobs: BlobStore
    assignments: dict[tuple[int, str], tuple[Assignment, ...]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    hosts: frozenset[str] = frozenset()  # of this run: the hosts of its plays within the limit
    new_hosts: frozenset[str] = frozenset()
    is_rehearsal: bool = False  # no host is connected yet: facts, outcomes and images are not to be had
    departing: PlanContext | None = None  # of the old inventory of an upgrade, for its departing hosts
    staying: PlanContext | None = None  # for a departing host: of the new inventory
    addresses: dict[str, str] = field(default_factory=dict)  # looked up so far
    owners: dict[str, Owners] = field(default_factory=dict)  # by host, of the plays planned so far
    task_tags: set[str] = field(default_factory=set)  # of all tasks planned so far, also those that tags left out
    _peers: Once[tuple[Peer, ...]] = field(default_factory=Once, repr=False, compare=False)
    _roles: Once[tuple[Role, ...]] = field(default_factory=Once, repr=False, compare=False)
    _addresses_of: Once[dict[str, None]] = field(default_factory=Once, repr=False, compare=False)

    def group(self, name: str) -> tuple[Peer, ...]:
        """Return the hosts of a group; the result is cached."""
        return self._peers.get(("group", name), lambda: self._members(name))

    def _members(self, group: str) -> tuple[Peer, ...]:
        members = self.inventory.members(group) if group in self.inventory.groups else ()
        return tuple(Peer(self, host) for host in members)

    def addresses_of(self, group: str) -> dict[str, None]:
        """Return the addresses of a group's hosts, each once; cached. Raises InputError as `Peer.address`."""
        return self._addresses_of.get(group, lambda: dict.fromkeys(peer.address for peer in self.group(group)))

    def with_role(self, role: str) -> tuple[Peer, ...]:
        """Return the hosts that get a role in any play; the result is cached."""
        return self._peers.get(("role", role), lambda: self._hosts_with(role))

    def _hosts_with(self, role: str) -> tuple[Peer, ...]:
        assignments = self.assignments.items()
        names = {name for (_, name), uses in assignments if any(use.role.name == role for use in uses)}
        return tuple(Peer(self, host) for host in self.inventory.hosts.values() if host.name in names)

    def roles(self) -> tuple[Role, ...]:
        """Return the role instances that at least one host gets, each once, in the order of the plays."""
        return self._roles.get("", self._assigned_roles)

    def _assigned_roles(self) -> tuple[Role, ...]:
        assigned = (use.role for _, uses in sorted(self.assignments.items()) for use in uses)
        return tuple({role.name: role for role in assigned}.values())

    def has(self, host: str) -> bool:
        """Return True if a host is in the inventory."""
        return host in self.inventory.hosts

    def take_notes(self) -> Iterator[tuple[str, str]]:
        """Yield each note once, also when several threads call this."""
        while True:
            try:
                yield self.notes.pop(0)
            except IndexError:
                return

    def of_host(self, host: str) -> Iterator[Assignment]:
        """Yield all assignments of a host, over all plays, in order."""
        for number in range(len(self.playbook.plays)):
            yield from self.assignments.get((number, host), ())


def assign(context: PlanContext, play_hosts: Mapping[int, list[str]]) -> None:
    """Load all roles and resolve all parameters, for every play and host. Raises InputError; connects to no host."""
    root, plays, near = context.inventory.root, context.playbook.plays, directories_near(context.playbook.path)
    roles = [[(use, role) for use in play.roles for role in _load_with_parts(use, root, near)] for play in plays]
    names = dict.fromkeys((*role_names(root, near), *(role.name for play_roles in roles for _, role in play_roles)))
    for number, play in enumerate(plays):
        for host in play_hosts[number]:
            groups = context.inventory.host(host).groups
            context.assignments[(number, host)] = tuple(
                Assignment(role, resolve_params(role, use, play, context.inventory, host, names), tags, use)
                for use, role in roles[number]
                for tags in [(*play.tags, *use.tags)]
                if _is_assigned(role, groups, context.inventory)
            )


def _load_with_parts(use: RoleUse, root: Path, near: tuple[Path, ...]) -> Iterator[Role]:
    """Yield the applications that run inside a role of a play, then the role."""
    return with_own_parts(load_role(use.name, root, use.position, instance=use.instance, near=near), root, near)


def _is_assigned(role: Role, groups: Iterable[str], inventory: Inventory) -> bool:
    """Return True if a host with these groups gets a role of its play.

    The hosts of a part's group get the part. They get the application itself only if they are also in the group that
    has its name, or if the inventory does not have that group.
    """
    if role.within:
        return role.name in groups
    has_part = any(use.own and use.name in groups for use in role.uses)
    return not has_part or role.name in groups or role.name not in inventory.groups


def with_own_parts(role: Role, root: Path, near: tuple[Path, ...] = ()) -> Iterator[Role]:
    """Yield the applications that run inside this one, each a role of its own, then the application itself."""
    for use in role.uses:
        if use.own:
            yield load_role(use.role, root, instance=use.name, within=role.name, near=near)
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
    """Return the tasks of one host in play ``number``, each with a unique id. Raises InputError from roles.

    ``role``: plan only this role, also on a host that runs only a part of it or has only its data.
    """
    tasks: list[Task] = []
    wanted, unwanted = set(tags), set(skip_tags)
    for assignment in _assignments(context, number, host, role):
        function = assignment.role.function(lifecycle)
        if function is None:
            continue
        own_tags = (*assignment.tags, *dict.fromkeys((assignment.role.name, assignment.role.kind)))
        for item in _items(function, context, number, host, assignment):
            resource = item.resource if isinstance(item, Task) else item
            task_tags = (*item.tags, *own_tags) if isinstance(item, Task) else own_tags
            context.task_tags.update(task_tags)
            if _is_wanted(task_tags, wanted, unwanted):
                label = f"{assignment.role.name}/{resource.kind}:{resource.label}"
                is_bare = resource is item
                task = Task(item, id=label, tags=task_tags) if is_bare else replace(item, id=label, tags=task_tags)
                tasks.append(task)
    planned = _with_unique_ids(tasks)
    if lifecycle == "deploy":
        context.owners.setdefault(host, Owners()).add(host, planned)
    else:
        refuse_conflicts(host, planned)
    return planned


def _items(
    function: Callable[..., Iterable[Any]], context: PlanContext, number: int, host: str, use: Assignment
) -> Iterator[Any]:
    """Yield the items of a lifecycle function. Raises InputError at the variable whose value a resource refuses."""
    try:
        yield from checked_items(function, Host(context, context.inventory.host(host), use.role), use.params)
    except ValueError as error:
        refusal = refusal_of(error, context, number, host, use)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: ValueError, context: PlanContext, number: int, host: str, use: Assignment) -> InputError | None:
    """Return the error at the value that a resource refused, None for an error that no resource raised."""
    scope = context.inventory.scope(host, context.playbook.plays[number].variables, use.use.variables)
    return input_error_of(error, scope, host, use.role.name)


def _assignments(context: PlanContext, number: int, host: str, role: str) -> tuple[Assignment, ...]:
    if not role:
        return context.assignments[(number, host)]
    own = tuple(item for item in context.assignments.get((number, host), ()) if item.role.name == role)
    in_play = (item for (play, _), assigned in context.assignments.items() if play == number for item in assigned)
    return own or tuple(itertools.islice((item for item in in_play if item.role.name == role), 1))


def _is_wanted(tags: tuple[str, ...], wanted: set[str], unwanted: set[str]) -> bool:
    if unwanted.intersection(tags):
        return False
    return not wanted or "always" in tags or bool(wanted.intersection(tags))


def _with_unique_ids(tasks: list[Task]) -> tuple[Task, ...]:
    counts: dict[str, int] = {}
    renamed = []
    for task in tasks:
        counts[task.id] = counts.get(task.id, 0) + 1
        renamed.append(task if counts[task.id] == 1 else replace(task, id=f"{task.id}#{counts[task.id]}"))
    return tuple(renamed)
