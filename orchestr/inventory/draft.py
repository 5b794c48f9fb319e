"""The content of the inventory's files, gathered before anything is derived from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestr.inventory.position import Position, Sourced

ALL, UNGROUPED = "all", "ungrouped"


@dataclass
class GroupDraft:
    """A group as written: own variables, direct children (each with its position) and direct hosts."""

    name: str
    position: Position | None = None
    variables: dict[str, Sourced] = field(default_factory=dict)
    children: dict[str, Position | None] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    priority: int = 1


@dataclass
class HostDraft:
    """A host as written: own variables, the groups that list it, and the first file with it."""

    name: str
    file: Path
    position: Position
    variables: dict[str, Sourced] = field(default_factory=dict)
    groups: dict[str, None] = field(default_factory=dict)


@dataclass
class Draft:
    """All groups and hosts in the order they were first written, and warnings."""

    groups: dict[str, GroupDraft] = field(default_factory=dict)
    hosts: dict[str, HostDraft] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.group(ALL).children[UNGROUPED] = None
        self.group(UNGROUPED)

    def group(self, name: str, position: Position | None = None) -> GroupDraft:
        """Return the group ``name``, made now if nothing named it before."""
        group = self.groups.setdefault(name, GroupDraft(name))
        group.position = group.position or position
        return group

    def warn(self, position: Position, message: str) -> None:
        """Add a warning for the user; loading goes on."""
        self.warnings.append(f"{position}: {message}")
