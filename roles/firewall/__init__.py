"""The host's firewall: closed except for SSH, the ports of its roles, and the rules given here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestr import Firewall, PacketFilter, Resource, Rule
from orchestr import Params as Base

if TYPE_CHECKING:
    from orchestr import Host


class RuleParams(BaseModel):
    """One rule of an inventory: ``{port: 9100, from: [monitoring, 10.0.0.0/8], comment: metrics}``."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    port: int | str = Field(default="any", description='a port, or a range in quotes: "50000:60000"; not for esp')
    protocol: Literal["tcp", "udp", "any", "esp"] = "tcp"
    sources: tuple[str, ...] = Field(
        default=(), alias="from", description="sources: groups, hosts, addresses, networks; empty: everyone"
    )
    action: Literal["allow", "deny", "limit"] = "allow"
    comment: str = ""

    @field_validator("sources", mode="before")
    @classmethod
    def _as_list(cls, sources: object) -> object:
        return (sources,) if isinstance(sources, str) else sources

    @field_validator("port")
    @classmethod
    def _is_port(cls, port: int | str) -> int | str:
        if port != "any":
            Rule(port)
        return port

    @model_validator(mode="after")
    def _is_rule(self) -> Self:
        Rule(self.port, self.protocol, action=self.action, comment=self.comment)
        return self


class Params(Base):
    """Roles declare the rules for their own ports; these parameters add further ones."""

    rules: tuple[RuleParams, ...] = Field(
        default=(), description="further rules: {port, protocol, from, action, comment}"
    )
    ssh_from: tuple[str, ...] = Field(
        default=(),
        description="sources that may connect to SSH: groups, hosts, addresses, networks; empty: everyone. "
        "The address of the controller is always allowed",
    )
    backend: Literal["auto", "ufw", "firewalld"] = Field(
        default="auto", description="the packet filter; auto: firewalld where it runs, else ufw"
    )
    enabled: bool = Field(default=True, description="false turns the firewall off but keeps its rules")
    published: Literal["deny", "ignore"] = Field(
        default="deny",
        description="ports that Docker publishes: deny filters them by the same rules; ignore leaves them open to all, "
        "as Docker does by default",
    )
    ipv6: bool = Field(default=True, description="filter IPv6 as well")
    purge: bool = Field(default=False, description="remove rules that orchestr did not add")
    guard_s: float = Field(
        default=20.0, ge=5, description="seconds after which a change that disconnected the controller is undone"
    )


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the packet filter's package, then the firewall with all its rules."""
    yield PacketFilter(params.backend)
    yield Firewall(
        rules=rules(host, params),
        enabled=params.enabled,
        published=params.published,
        ipv6=params.ipv6,
        purge=params.purge,
        guard_s=params.guard_s,
        backend=params.backend,
    )


def rules(host: Host, params: Params) -> tuple[Rule, ...]:
    """Return all rules of the host: the rules of its roles, then SSH's and the further ones given here."""
    return (*host.needed_ports(), *_ssh(host, params), *_further(host, params))


def _ssh(host: Host, params: Params) -> Iterator[Rule]:
    if params.ssh_from:
        connection = str(host.facts.get("ssh_connection", "")).split()
        port = connection[3] if len(connection) == 4 else host.variable("ansible_port", 22)
        yield Rule(port, sources=host.sources(*params.ssh_from), comment="SSH")


def _further(host: Host, params: Params) -> Iterator[Rule]:
    for rule in params.rules:
        yield Rule(rule.port, rule.protocol, host.sources(*rule.sources), rule.action, rule.comment)
