"""Refuse roles without any lifecycle function, and phases that no role has, before the first connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.position import input_error
from orchestr.planning.role import Role

if TYPE_CHECKING:
    from orchestr.planning.plan import PlanContext
    from orchestr.planning.playbook import Play

#: Functions that are enough for a role to be of use without ``deploy``; besides, it may name phases of its own.
OTHER_FUNCTIONS = (
    "backup",
    "drain",
    "hand_over",
    "leave",
    "logs",
    "ports",
    "preflight",
    "restart",
    "restore",
    "start",
    "status",
    "stop",
    "upgrade",
)


def check_roles(context: PlanContext) -> None:
    """Raise InputError for a role without any lifecycle function, or with ``deploy`` misspelt; for unknown phases."""
    roles = {assignment.role.path: assignment.role for uses in context.assignments.values() for assignment in uses}
    for role in roles.values():
        _check_role(role)
    for number, play in enumerate(context.playbook.plays):
        _check_phases(play, [use.role for (of, _), uses in context.assignments.items() if of == number for use in uses])


def _check_phases(play: Play, roles: list[Role]) -> None:
    """Raise InputError for a phase of a play that is a function of none of its roles: nothing would be done."""
    for name in play.phases if roles else ():
        if any(role.function(name) is not None for role in roles):
            continue
        modules = {role.path: role.module for role in roles}.values()
        written = {key for module in modules for key, value in vars(module).items() if callable(value)}
        raise input_error(
            play.position,
            f"phases: none of this play's roles has {name}(): it would do nothing",
            suggestion=closest(name, [key for key in written if not key.startswith("_")]),
            next_step="name functions of the roles, or leave phases out",
        )


def _check_role(role: Role) -> None:
    if role.within or role.function("deploy") is not None:
        return
    others = [name for name in OTHER_FUNCTIONS if role.function(name) is not None]
    written = [name for name, value in vars(role.module).items() if callable(value) and not name.startswith("_")]
    misspelt = closest("deploy", [name for name in written if name not in others])
    if misspelt is None and (others or role.phases):
        return
    line = getattr(getattr(getattr(role.module, misspelt or "", None), "__code__", None), "co_firstlineno", None)
    hint = f", but {misspelt}()" if misspelt else ""
    raise InputError(
        f"the role {role.name} has no deploy(){hint}: it does nothing",
        file=role.path / "__init__.py",
        line=line,
        suggestion="deploy" if misspelt else None,
        next_step="define deploy(host, params), a generator of resources",
    )
