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
    livekit_domain: str = Field(
        default="", description="a name of its own for LiveKit; empty: LiveKit's paths on the site's name"
    )
    tls: Literal["acme", "internal", "files"] = Field(
        default="acme",
        description="acme: certificates from a public authority; internal: an authority of Caddy's own, for tests; "
        "files: a certificate given here",
    )
    email: str = Field(default="", description="where the authority writes about certificates (acme)")
    certificate: str = Field(default="", description="the certificate chain, as PEM text (files)")
    private_key: SecretText | None = Field(default=None, description="its private key, as PEM text (files)")
    livekit_paths: tuple[str, ...] = Field(
        default=("/rtc", "/rtc/*", "/twirp/*"), description="paths that go to LiveKit; the rest goes to the webapp"
    )
    lb_policy: Literal["least_conn", "random", "round_robin", "ip_hash", "first"] = Field(
        default="least_conn", description="which LiveKit node a new connection goes to"
    )
    webhook_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="a port on the private address for LiveKit's webhooks, plain HTTP, open to LiveKit's hosts only; "
        "0: none, they come by the site's name",
    )
    webhook_path: str = Field(default="/api/webhook", description="the only path that is served there")
    stream_close_delay_s: int = Field(
        default=4 * 3600, ge=0, description="how long WebSockets opened before a reload stay open (Caddy 2.7 and later)"
    )
    spare_upstreams: tuple[str, ...] = Field(
        default=(),
        description="host:port of LiveKit nodes still to come; they get no traffic until they are healthy, and their "
        "arrival then needs no reload",
    )
    stop_grace_s: int = Field(default=30, ge=1, description="how long a stop waits for requests to end")

    @field_validator("domain", "livekit_domain")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("expected a name such as live.example.com, without https:// and without a path")
        return name

    @field_validator("livekit_paths", "webhook_path")
    @classmethod
    def _are_paths(cls, paths: tuple[str, ...] | str) -> tuple[str, ...] | str:
        for path in (paths,) if isinstance(paths, str) else paths:
            if not re.fullmatch(r"/[A-Za-z0-9_./*-]*", path):
                raise ValueError(f"{path!r} is not a path such as /rtc/*")
        return paths

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
