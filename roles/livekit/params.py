"""The parameters of the role livekit, mostly with upstream's names (livekit-server's pkg/config/config.go)."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from orchestr import ContainerParams, Secret, SecretText

SHORTEST_SECRET = 32
_KEY = re.compile(r"[A-Za-z0-9_-]+")


def _check_secret(secret: Secret) -> Secret:
    if len(secret.reveal()) < SHORTEST_SECRET:
        raise ValueError(f"the secret has fewer than {SHORTEST_SECRET} characters: openssl rand -base64 33 makes one")
    if "\n" in secret.reveal():
        raise ValueError("the secret has more than one line")
    return secret


class Params(ContainerParams):
    """An API key and its secret are required, the same on every node."""

    image: str = Field(default="livekit/livekit-server:v1.8.4", description="the image, with its tag")
    api_key: str = Field(description="the API key of applications; letters, digits, - and _")
    api_secret: SecretText = Field(description="its secret, at least 32 characters")
    more_keys: dict[str, SecretText] = Field(default={}, description="further API keys and their secrets")

    port: int = Field(default=7880, ge=1, le=65535, description="signalling and API (TCP); open to Caddy's hosts only")
    tcp_port: int = Field(default=7881, ge=0, le=65535, description="media over TCP, for clients without UDP; 0: none")
    udp_port_start: int = Field(default=50000, ge=1024, le=65535, description="first UDP port of media")
    udp_port_end: int = Field(default=60000, ge=1024, le=65535, description="last UDP port of media")
    node_ip: str = Field(
        default="",
        description="the address that browsers send media to; empty: the host's private_address, else ansible_host",
    )
    use_external_ip: bool = Field(
        default=False, description="determine that address with a STUN server on the Internet"
    )
    region: str = Field(default="", description="the region of the node, a name of your choice")

    redis_address: str = Field(
        default="", description="host:port of an external Redis; empty: the host with the role redis"
    )
    redis_password: SecretText | None = Field(
        default=None, description="the password of an external Redis; not set: the one of the role redis"
    )
    webhook_urls: tuple[str, ...] = Field(default=(), description="URLs that get signed events")
    webhook_api_key: str = Field(default="", description="the key that signs them; empty: api_key")

    turn_enabled: bool = Field(default=False, description="the embedded TURN server")
    turn_domain: str = Field(default="", description="its own domain, which points to this host (not to Caddy)")
    turn_udp_port: int = Field(default=3478, ge=0, le=65535, description="TURN over UDP; 0: none")
    turn_tls_port: int = Field(default=0, ge=0, le=65535, description="TURN over TLS, usually 5349; 0: none")
    turn_certificate: str = Field(default="", description="the certificate chain for turn_domain, as PEM text")
    turn_private_key: SecretText | None = Field(default=None, description="its private key, as PEM text")
    turn_external_tls: bool = Field(default=False, description="a load balancer in front of it ends TLS")
    turn_relay_start: int = Field(default=30000, ge=1024, le=65535, description="first UDP port of relays")
    turn_relay_end: int = Field(default=40000, ge=1024, le=65535, description="last UDP port of relays")

    empty_timeout_s: int = Field(default=300, ge=0, description="how long an empty room stays")
    max_participants: int = Field(default=0, ge=0, description="limit of participants in a room; 0: no limit")
    prometheus_port: int = Field(default=0, ge=0, le=65535, description="metrics; 0: none. Not opened in the firewall")
    log_level: Literal["debug", "info", "warn", "error"] = Field(default="info", description="the server's log level")
    drain_timeout_s: int = Field(
        default=4 * 3600,
        ge=10,
        description="how long a stop waits for participants to leave before it ends their calls",
    )
    rmem_max: int = Field(
        default=5_000_000, ge=0, description="largest UDP receive buffer (net.core.rmem_max); 0: not managed here"
    )

    @field_validator("api_key", "webhook_api_key")
    @classmethod
    def _is_key(cls, key: str) -> str:
        if key and not _KEY.fullmatch(key):
            raise ValueError("a key may have only letters, digits, - and _")
        return key

    @field_validator("api_secret")
    @classmethod
    def _is_long(cls, secret: Secret) -> Secret:
        return _check_secret(secret)

    @field_validator("more_keys")
    @classmethod
    def _are_long(cls, keys: dict[str, Secret]) -> dict[str, Secret]:
        for key, secret in keys.items():
            if not _KEY.fullmatch(key):
                raise ValueError(f"the key {key!r} may have only letters, digits, - and _")
            _check_secret(secret)
        return keys

    @field_validator("webhook_urls")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"{url!r} is not an address such as https://example.com/api/webhook")
        return urls

    @field_validator("redis_address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        host, _, port = address.rpartition(":")
        if address and not (host and port.isdigit()):
            raise ValueError(f"{address!r} has no port: write HOST:PORT, such as 10.0.0.2:6379")
        return address

    @model_validator(mode="after")
    def _fits_together(self) -> Params:
        if self.webhook_api_key and self.webhook_api_key not in self.keys:
            raise ValueError(f"livekit_webhook_api_key must be one of the API keys ({', '.join(self.keys)})")
        if self.udp_port_end < self.udp_port_start:
            raise ValueError("livekit_udp_port_end is below livekit_udp_port_start")
        if self.turn_enabled:
            self._check_turn()
        return self

    def _check_turn(self) -> None:
        if not (self.turn_udp_port or self.turn_tls_port):
            raise ValueError("TURN needs livekit_turn_udp_port or livekit_turn_tls_port")
        if self.turn_tls_port and not self.turn_domain:
            raise ValueError("TURN over TLS needs livekit_turn_domain, a name of its own for this host")
        if self.turn_tls_port and not self.turn_external_tls and not (self.turn_certificate and self.turn_private_key):
            raise ValueError(
                "TURN over TLS needs livekit_turn_certificate and livekit_turn_private_key, or turn_external_tls"
            )
        if self.turn_relay_end < self.turn_relay_start:
            raise ValueError("livekit_turn_relay_end is below livekit_turn_relay_start")

    @property
    def keys(self) -> dict[str, Secret]:
        """All API keys and their secrets."""
        return {self.api_key: self.api_secret, **self.more_keys}

    @property
    def has_own_turn_certificate(self) -> bool:
        """Return True if TURN ends TLS itself."""
        return self.turn_enabled and bool(self.turn_tls_port) and not self.turn_external_tls
