"""The parameters of the role caddy."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from orchestr import ContainerParams, SecretText
from orchestr.resources.docker.engine import version_numbers

KEEPS_STREAMS = (2, 7)  # the first version with stream_close_delay
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)


class Params(ContainerParams):
    """A domain is required; certificates from a public authority also need an e-mail address."""

    image: str = Field(default="caddy:2.10.2", description="the image, with its tag")
    version: str = Field(
        default="",
        description="the version of Caddy, if the image's tag does not name it; before 2.7 a reload drops WebSockets",
    )
    domain: str = Field(description="the name of the site; its A record points to this host")
    domains: dict[str, str] = Field(
        default={},
        description="application → its own domain, also written caddy_APPLICATION_domain; "
        "without one, an application has its paths on the site's domain",
    )
    tls: Literal["acme", "internal", "files"] = Field(
        default="acme",
        description="acme: certificates from a public authority; internal: Caddy's own authority, for tests; "
        "files: the certificate given here",
    )
    email: str = Field(default="", description="contact address for the certificate authority (acme)")
    certificate: str = Field(default="", description="the certificate chain, as PEM text (files)")
    private_key: SecretText | None = Field(default=None, description="its private key, as PEM text (files)")
    paths: dict[str, tuple[str, ...]] = Field(
        default={},
        description="application → its paths on the site's domain, also written caddy_APPLICATION_paths; "
        "without them, the application's default paths",
    )
    lb_policy: Literal["least_conn", "random", "round_robin", "ip_hash", "first"] = Field(
        default="least_conn", description="how Caddy chooses the host of a new connection among several healthy ones"
    )
    webhook_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="a port on the private address for webhooks, plain HTTP, open only to the hosts of applications "
        "that send them; 0: none, webhooks use the site's domain",
    )
    webhook_path: str = Field(default="/api/webhook", description="the only path served on that port")
    stream_close_delay_s: int = Field(
        default=4 * 3600, ge=0, description="how long WebSockets opened before a reload stay open (Caddy 2.7 and later)"
    )
    spare_upstreams: tuple[str, ...] = Field(
        default=(),
        description="host:port of future hosts, for applications with a health path; they get no traffic until they "
        "are healthy, and adding them then needs no reload",
    )
    stop_grace_s: int = Field(default=30, ge=1, description="how long a stop waits for requests to end")

    @classmethod
    def entry_of(cls, parameter: str) -> tuple[str, str] | None:
        """Take ``APPLICATION_domain`` and ``APPLICATION_paths``."""
        application, _, last = parameter.rpartition("_")
        field = {"domain": "domains", "paths": "paths"}.get(last)
        return (field, application) if field and application else None

    @field_validator("domain")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("expected a name such as live.example.com, without https:// and without a path")
        return name

    @field_validator("domains")
    @classmethod
    def _are_names(cls, names: dict[str, str]) -> dict[str, str]:
        return {application: cls._is_name(name) for application, name in names.items()}

    @field_validator("webhook_path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if not re.fullmatch(r"/[A-Za-z0-9_./*-]*", path):
            raise ValueError(f"{path!r} is not a path such as /rtc/*")
        return path

    @field_validator("paths")
    @classmethod
    def _are_paths(cls, paths: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {application: tuple(map(cls._is_path, names)) for application, names in paths.items()}

    @field_validator("spare_upstreams")
    @classmethod
    def _are_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if not re.fullmatch(r"[A-Za-z0-9.\[\]:-]+:\d+", address):
                raise ValueError(f"{address!r} is not HOST:PORT")
        return addresses

    @model_validator(mode="after")
    def _fits_together(self) -> Params:
        if self.tls == "acme" and not re.fullmatch(r"[^\s@{}\"]+@[^\s@{}\"]+", self.email):
            raise ValueError("certificates from a public authority (caddy_tls: acme) need caddy_email")
        if self.tls == "files" and not (self.certificate and self.private_key):
            raise ValueError("caddy_tls: files needs caddy_certificate and caddy_private_key")
        return self

    @property
    def keeps_streams(self) -> bool:
        """Return True if a reload keeps WebSockets open; a tag without a minor version counts as a new one."""
        numbers = version_numbers(self.version or self.image.rpartition(":")[2])
        return len(numbers) < 2 or numbers[:2] >= KEEPS_STREAMS
