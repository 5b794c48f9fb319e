"""Derive the tree of groups from a draft: roots under ``all``, ancestors, depths, ``ungrouped``; refuse circles."""

from __future__ import annotations

from collections import deque

from orchestr.inventory.draft import ALL, UNGROUPED, Draft
from orchestr.inventory.position import Position, input_error


class GroupTree:
    """The groups' relations, each computed once; groups are named in the order they were first written."""

    def __init__(self, draft: Draft) -> None:
        """Attach groups without a parent to ``all`` and hosts without a group to ``ungrouped`` (in ``draft``)."""
        self._draft = draft
        self._order = _parents_first(draft)
        self.ancestors = self._all_ancestors()
        self._adopt_roots()
        self._order = _parents_first(draft)
        self.ancestors = self._all_ancestors()
        self.depth = self._depths()
        self._settle_ungrouped()

    def membership(self, direct: tuple[str, ...]) -> frozenset[str]:
        """Return every group of a host that ``direct`` groups name: those, and all above them."""
        return frozenset(direct).union(*(self.ancestors[name] for name in direct))

    def merge_order(self, groups: frozenset[str]) -> list[str]:
        """Return ``groups`` but for ``all``, the weakest first: by depth, then priority, then name."""
        priorities = {name: self._draft.groups[name].priority for name in groups}
        return sorted(groups - {ALL}, key=lambda name: (self.depth[name], priorities[name], name))

    def _all_ancestors(self) -> dict[str, frozenset[str]]:
        ancestors: dict[str, set[str]] = {name: set() for name in self._order}
        for name in self._order:
            for child in self._draft.groups[name].children:
                ancestors[child].update(ancestors[name], {name})
        return {name: frozenset(above) for name, above in ancestors.items()}

    def _adopt_roots(self) -> None:
        root = self._draft.groups[ALL]
        for name in self._draft.groups:
            if name != ALL and not self.ancestors[name]:
                root.children.setdefault(name, self._draft.groups[name].position)

    def _depths(self) -> dict[str, int]:
        """The longest way down from ``all``: a deeper group overrides a shallower one."""
        depth = dict.fromkeys(self._order, 0)
        for name in self._order:
            for child in self._draft.groups[name].children:
                depth[child] = max(depth[child], depth[name] + 1)
        return depth

    def _settle_ungrouped(self) -> None:
        """A host is in ``ungrouped`` exactly when it is in no other group than ``all``."""
        ungrouped = self._draft.groups[UNGROUPED]
        for host in self._draft.hosts.values():
            groups = self.membership(tuple(host.groups))
            if UNGROUPED in groups and groups - {ALL, UNGROUPED}:
                ungrouped.hosts.pop(host.name, None)
                host.groups.pop(UNGROUPED, None)
            elif not groups - {ALL}:
                ungrouped.hosts[host.name] = None
                host.groups[UNGROUPED] = None


def _parents_first(draft: Draft) -> list[str]:
    """Return all groups, each after every one of its parents; raises InputError where groups form a circle."""
    missing = dict.fromkeys(draft.groups, 0)
    for group in draft.groups.values():
        for child in group.children:
            missing[child] += 1
    ready = deque(name for name, count in missing.items() if not count)
    order: list[str] = []
    while ready:
        order.append(name := ready.popleft())
        for child in draft.groups[name].children:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    if len(order) < len(draft.groups):
        _refuse_circle(draft, [name for name in draft.groups if name not in set(order)])
    return order


def _refuse_circle(draft: Draft, left: list[str]) -> None:
    path = [left[0]]
    while True:  # every group left over has a parent that is left over too: walking up must close a circle
        parent = next(name for name in left if path[-1] in draft.groups[name].children)
        if parent in path:
            circle = [parent, *reversed(path[path.index(parent) :])]
            break
        path.append(parent)
    position: Position | None = draft.groups[circle[-2]].children[circle[-1]]
    raise input_error(
        position,
        f"groups contain each other in a circle: {' → '.join(circle)}",
        next_step=f"take {circle[-1]!r} out of the children of {circle[-2]!r}",
    )
