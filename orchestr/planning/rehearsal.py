"""Plan roles before the first connection as far as they come without facts, and before the first task with facts.

A value that a resource refuses is an error there, at its line, while nothing was changed on any host. The plan itself
is made later, with the outcomes of earlier plays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestr.planning.host import Host, NeedsHost
from orchestr.planning.items import checked_items
from orchestr.planning.plan import Assignment, PlanContext, refusal_of
from orchestr.planning.role import Lifecycle, Role
from orchestr.planning.role_lines import RoleError, name_faults

Waiting = frozenset[tuple[int, str]]  # roles in plays (by number) that ask for something that only hosts give

MOST_HOSTS = 32  # of a role in a play; hosts with the same parameters count once


def rehearse(context: PlanContext, play_hosts: Mapping[int, list[str]], lifecycle: str) -> Waiting:
    """Plan the roles of all plays, without any host; return the roles that wait for hosts.

    Raises InputError for a value that a resource refuses. Other errors of a role are left to the plan of the host: they
    may be one host's alone.
    """
    return _rehearse(context, play_hosts, lifecycle, None)


def rehearse_with_facts(
    context: PlanContext, play_hosts: Mapping[int, list[str]], lifecycle: str, waiting: Waiting
) -> None:
    """Plan the roles that wait for hosts, on connected hosts. Raises InputError as `rehearse`."""
    connected = {number: [host for host in hosts if host in context.facts] for number, hosts in play_hosts.items()}
    _rehearse(context, connected, lifecycle, waiting)


def _rehearse(
    context: PlanContext, play_hosts: Mapping[int, list[str]], lifecycle: str, only: Waiting | None
) -> Waiting:
    waiting = set()
    context.is_rehearsal = True
    try:
        for number, host, assignment in _distinct(context, play_hosts, only):
            phases = context.playbook.plays[number].phases if lifecycle == "deploy" else ()
            for function in _functions(assignment.role, phases or (lifecycle,)):
                if not _rehearse_role(function, context, number, host, assignment):
                    waiting.add((number, assignment.role.name))
    finally:
        context.is_rehearsal = False
    return frozenset(waiting)


def _distinct(
    context: PlanContext, play_hosts: Mapping[int, list[str]], only: Waiting | None
) -> Iterator[tuple[int, str, Assignment]]:
    known: dict[tuple[int, str], list[Any]] = {}
    for number, hosts in play_hosts.items():
        for host in hosts:
            for assignment in context.assignments[(number, host)]:
                if only is not None and (number, assignment.role.name) not in only:
                    continue
                params = known.setdefault((number, assignment.role.name), [])
                if len(params) < MOST_HOSTS and assignment.params not in params:
                    params.append(assignment.params)
                    yield number, host, assignment


def _functions(role: Role, names: Iterable[str]) -> Iterator[Lifecycle]:
    """Yield a role's own functions of these names, and the description that its derived functions begin with."""
    own = [getattr(role.module, name, None) for name in names]
    yield from (function for function in own if function is not None and not role.within)
    if role.describe is not None and None in own:
        yield _describe


def _describe(host: Host, params: Any) -> tuple[()]:
    """Describe the application of the planned role. All its steps derive from that: an error of it is no one host's."""
    from orchestr.applications.parts import describe_alone  # with all that an application is made of

    with name_faults():
        describe_alone(host, params)
    return ()


def _rehearse_role(function: Lifecycle, context: PlanContext, number: int, host: str, assignment: Assignment) -> bool:
    """Return False if the role asks for something that only a connection gives."""
    view = Host(context, context.inventory.host(host), assignment.role)
    try:
        for _ in checked_items(function, view, assignment.params):
            pass
    except RoleError:
        raise
    except ValueError as error:
        refusal = refusal_of(error, context, number, host, assignment)
        if refusal is not None:
            raise refusal from error
    except NeedsHost:
        return False
    except Exception:  # noqa: S110 - the plan of the host meets it again, and reports it
        pass
    return True
