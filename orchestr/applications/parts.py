"""Applications that an application uses: own ones become services inside it, shared ones are found by role name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestr.applications.model import Application, Placement, Service
from orchestr.errors import InputError
from orchestr.planning.role_lines import RoleError, RoleLine

if TYPE_CHECKING:
    from orchestr.applications.model import Use
    from orchestr.planning.plan import Host, Peer


@dataclass(frozen=True)
class Provider:
    """A host with an application that another one uses: the name of the instance and its parameters there."""

    peer: Peer
    name: str
    params: Any


def describe(host: Host, params: Any) -> Application:
    """Return the application of the planned role, with the services and data of its own parts."""
    application = describe_alone(host, params)
    source = getattr(params, "image_source", "")
    services = (replace(item, image_source=item.image_source or source) for item in application.services)
    application = replace(application, services=tuple(services))
    for use in reversed(host.role.uses):
        if use.own:
            application = _with_part(host, application, use)
    return application


def describe_alone(host: Host, params: Any) -> Application:
    """Return the application of the planned role, without its own parts. Raises RoleError if it is none."""
    function = host.role.describe
    assert function is not None
    application: object = function(host, params)
    if not isinstance(application, Application):
        code = getattr(function, "__code__", None)
        line = RoleLine.at(str(host.role.path / "__init__.py"), getattr(code, "co_firstlineno", None))
        kind = "None" if application is None else f"a {type(application).__name__}"
        raise RoleError(f"application() returned {kind}, expected an Application", line, "return Application(…)")
    return application


def _with_part(host: Host, application: Application, use: Use) -> Application:
    peer = own_part(host, use)
    part = peer.application(use.name)
    assert part is not None
    network = tuple(item.name for item in application.networks)
    services = (_place_inside(service, use, network) for service in part.services)
    data = tuple(replace(item, placement=Placement(use.name)) for item in part.data)
    return replace(
        application,
        services=(*services, *application.services),
        before=(*(part.before if peer.name == host.name else ()), *application.before),
        data=(*application.data, *data),
        dumps=(*part.dumps, *application.dumps),
    )


def _place_inside(service: Service, use: Use, networks: tuple[str, ...]) -> Service:
    """Return a part's service on the network of the outer application, on the hosts of the part's group."""
    container = replace(service.container, networks=networks, network_mode="", ports=())
    return replace(service, container=container, placement=Placement(use.name), part=use.name)


def own_part(host: Host, use: Use) -> Peer:
    """Return the one host of an application that runs inside this one. Raises InputError unless it is exactly one."""
    peers = host.with_role(use.name)
    if len(peers) == 1:
        return peers[0]
    names = ", ".join(peer.name for peer in peers) or "none"
    raise InputError(
        f"{host.role.name} needs exactly one host with the role {use.name}, found: {names}",
        next_step=f"put one host into the group {use.name}, and add the group to the hosts of the play",
    )


def providers(host: Host, role: str) -> list[Provider]:
    """Return the hosts with the application of this role that the planned one uses.

    Raises InputError when the playbook has several instances and ``ROLE_uses`` chooses none of them.
    """
    names = shared_instances(host, role)
    use = next((use for use in host.role.uses if use.role == role), None)
    chosen = dict(getattr(host.params(host.role.name), "uses", {})).get(role) or (use.instance if use else "")
    if chosen and chosen not in names:
        raise InputError(
            f"{host.role.name} uses {chosen!r}, which is not an instance of the role {role} in the playbook",
            next_step=f"instances of {role}: {', '.join(names) or 'none'}",
        )
    if not chosen and len(names) > 1:
        raise InputError(
            f"{host.role.name} uses {role}, and the playbook has several instances: {', '.join(names)}",
            next_step=f"choose one: {host.role.name}_uses: {{{role}: {names[0]}}}",
        )
    wanted = chosen or next(iter(names), role)
    return [Provider(peer, wanted, peer.params(wanted)) for peer in host.with_role(wanted)]


def shared_instances(host: Host, role: str) -> list[str]:
    """Return the instances of a role in the playbook that do not run inside another application."""
    return [instance.name for instance in host.roles_in_playbook() if instance.kind == role and not instance.within]


def clients(host: Host) -> Iterator[Peer]:
    """Yield the other hosts with an application that uses the planned one, each once."""
    own = host.role
    known: set[str] = {host.name}
    for instance in host.roles_in_playbook():
        if any(use.role == own.kind and not use.own for use in instance.uses):
            for peer in host.with_role(instance.name):
                if peer.name not in known and _shares(peer, instance.name, own.kind, own.name):
                    known.add(peer.name)
                    yield peer


def _shares(peer: Peer, name: str, kind: str, instance: str) -> bool:
    chosen = dict(getattr(peer.params(name), "uses", {})).get(kind, "")
    return chosen in ("", instance)
