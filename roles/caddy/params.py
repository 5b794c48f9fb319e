"""What the role caddy takes."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from orchestr.applications.container_role import ContainerParams
from orchestr.planning.role import SecretText
from orchestr.resources.docker.engine import version_numbers

KEEPS_STREAMS = (2, 7)  # the first version with stream_close_delay
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)


class Params(ContainerParams):
    """A domain is required, and for certificates from a public authority an e-mail address."""

    image: str = Field(default="caddy:2.10.2", description="the image, with its tag")
    version: str = Field(
        default="",
        description="the version in the image, where its tag does not say it; before 2.7 a reload drops WebSockets",
    )
    domain: str = Field(description="the name of the site; its A record leads to this host")
    domains: dict[str, str] = Field(
        default={},
        description="names of their own for applications, also written caddy_APPLICATION_domain; "
        "without one, an application has its paths on the site's name",
    )
    tls: Literal["acme", "internal", "files"] = Field(
        default="acme",
        description="acme: certificates from a public authority; internal: an authority of Caddy's own, for tests; "
        "files: a certificate given here",
    )
    email: str = Field(default="", description="where the authority writes about certificates (acme)")
    certificate: str = Field(default="", description="the certificate chain, as PEM text (files)")
    private_key: SecretText | None = Field(default=None, description="its private key, as PEM text (files)")
    paths: dict[str, tuple[str, ...]] = Field(
        default={},
        description="paths of the site's name that go to an application, also written caddy_APPLICATION_paths; "
        "without them, the paths that the application itself names",
    )
    lb_policy: Literal["least_conn", "random", "round_robin", "ip_hash", "first"] = Field(
        default="least_conn", description="which of several healthy hosts of an application a new connection goes to"
    )
    webhook_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="a port on the private address for webhooks, plain HTTP, open only to the hosts of applications "
        "that send them; 0: none, they come by the site's name",
    )
    webhook_path: str = Field(default="/api/webhook", description="the only path that is served there")
    stream_close_delay_s: int = Field(
        default=4 * 3600, ge=0, description="how long WebSockets opened before a reload stay open (Caddy 2.7 and later)"
    )
    spare_upstreams: tuple[str, ...] = Field(
        default=(),
        description="host:port of hosts still to come, for applications with a health path; they get no traffic until "
        "they are healthy, and their arrival then needs no reload",
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
        """Tell whether a reload can leave WebSockets open; a tag that names no minor version is taken for a new one."""
        numbers = version_numbers(self.version or self.image.rpartition(":")[2])
        return len(numbers) < 2 or numbers[:2] >= KEEPS_STREAMS
