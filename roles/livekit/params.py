"""The parameters of the role livekit, mostly with upstream's names (livekit-server's pkg/config/config.go)."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from orchestr import ContainerParams, Secret, SecretText

from . import versions

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

    image: str = Field(default="livekit/livekit-server:v1.13.5", description="the image, with its tag")
    version: str = Field(
        default="", description="its version, such as 1.13.5, where the tag does not say it: each takes other settings"
    )
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
    redis_sentinel_addresses: tuple[str, ...] = Field(
        default=(), description="host:port of Sentinels, which say where the Redis is that is primary now"
    )
    redis_sentinel_master_name: str = Field(default="", description="the name under which Sentinels know that Redis")
    redis_sentinel_password: SecretText | None = Field(default=None, description="the password of the Sentinels")
    webhook_urls: tuple[str, ...] = Field(default=(), description="URLs that get signed events")
    webhook_api_key: str = Field(default="", description="the key that signs them; empty: api_key")

    turn_enabled: bool = Field(default=False, description="the embedded TURN server")
    turn_domain: str = Field(default="", description="its own domain, which points to this host (not to Caddy)")
    turn_udp_port: int = Field(default=3478, ge=0, le=65535, description="TURN over UDP; 0: none")
    turn_tls_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="TURN over TLS; 0: none. Clients are always told 443: another port needs a forward from 443",
    )
    turn_certificate: str = Field(default="", description="the certificate chain for turn_domain, as PEM text")
    turn_private_key: SecretText | None = Field(default=None, description="its private key, as PEM text")
    turn_external_tls: bool = Field(default=False, description="a load balancer in front of it ends TLS")
    turn_relay_start: int = Field(default=30000, ge=1024, le=65535, description="first UDP port of relays")
    turn_relay_end: int = Field(default=40000, ge=1024, le=65535, description="last UDP port of relays")
    turn_allow_restricted_peer_cidrs: tuple[str, ...] | None = Field(
        default=None,
        description="private networks that relays may reach (from 1.12.0); not set: only the node's own address",
    )
    turn_deny_peer_cidrs: tuple[str, ...] = Field(
        default=(), description="networks that relays may not reach (from 1.12.0)"
    )
    turn_ttl_s: int = Field(
        default=0, ge=0, le=86400, description="how long credentials for TURN hold (from 1.12.0); 0: the server's 300"
    )
    turn_relays_per_user: int = Field(
        default=0, ge=0, description="limit of relays per participant (after 1.13.5); 0: the server's 12"
    )

    empty_timeout_s: int = Field(default=300, ge=0, description="how long an empty room stays")
    max_participants: int = Field(default=0, ge=0, description="limit of participants in a room; 0: no limit")
    prometheus_port: int = Field(default=0, ge=0, le=65535, description="metrics; 0: none. Not opened in the firewall")
    prometheus_username: str = Field(default="", description="the user who may read metrics; empty: everyone")
    prometheus_password: SecretText | None = Field(default=None, description="that user's password")
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

    @field_validator("node_ip")
    @classmethod
    def _is_ip(cls, address: str) -> str:
        try:
            return str(ipaddress.ip_address(address)) if address else ""
        except ValueError:
            raise ValueError(f"{address!r} is not an IP address, and LiveKit takes no name") from None

    @field_validator("version")
    @classmethod
    def _is_version(cls, version: str) -> str:
        if version:
            versions.parse_version(version)
        return version

    @field_validator("turn_allow_restricted_peer_cidrs", "turn_deny_peer_cidrs")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for network in networks or ():
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is not a network such as 10.0.0.0/8") from None
        return networks

    @field_validator("redis_address", "redis_sentinel_addresses")
    @classmethod
    def _have_ports(cls, addresses: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for address in (addresses,) if isinstance(addresses, str) else addresses:
            host, _, port = address.rpartition(":")
            if address and not (host and port.isdigit()):
                raise ValueError(f"{address!r} has no port: write HOST:PORT, such as 10.0.0.2:6379")
        return addresses

    @model_validator(mode="after")
    def _fits_together(self) -> Params:
        if self.webhook_api_key and self.webhook_api_key not in self.keys:
            raise ValueError(f"livekit_webhook_api_key must be one of the API keys ({', '.join(self.keys)})")
        if self.udp_port_end < self.udp_port_start:
            raise ValueError("livekit_udp_port_end is below livekit_udp_port_start")
        if bool(self.prometheus_username) != bool(self.prometheus_password):
            raise ValueError("livekit_prometheus_username and livekit_prometheus_password are set together")
        if bool(self.redis_sentinel_addresses) != bool(self.redis_sentinel_master_name):
            raise ValueError("livekit_redis_sentinel_addresses and livekit_redis_sentinel_master_name are set together")
        if self.redis_sentinel_addresses and self.redis_address:
            raise ValueError("livekit_redis_address is the address of one Redis, and Sentinels are set: leave one out")
        self._check_version()
        if self.turn_enabled:
            self._check_turn()
        return self

    def _check_version(self) -> None:
        tagged = versions.version_of_image(self.image)
        if self.version and tagged and tagged != self.known_version[: len(tagged)]:
            raise ValueError(f"livekit_version is {self.version}, and the tag of livekit_image says another")
        version = self.known_version
        if version and versions.is_older(version, versions.OLDEST):
            raise ValueError(f"LiveKit {versions.shown(version)} is not known; the oldest is 1.8.4")
        for name, since in versions.SINCE.items():
            if getattr(self, name) != type(self).model_fields[name].default and not versions.takes(version, since):
                raise ValueError(
                    f"livekit_{name} is a setting of LiveKit {versions.shown(since)} and later, and livekit_image is "
                    f"{self.image}: choose a later one, or leave the setting out"
                )

    @property
    def known_version(self) -> tuple[int, ...]:
        """The numbers of the version, as many as are known: of ``version``, else of the image's tag."""
        return versions.parse_version(self.version) if self.version else versions.version_of_image(self.image)

    def _check_turn(self) -> None:
        version, since = self.known_version, versions.RELAYS_ARE_RESTRICTED
        if not versions.takes(version, since) and not versions.is_older(version, since):
            raise ValueError(
                f"the tag of livekit_image ({self.image}) does not say the version, and the settings of TURN depend on "
                "it: set livekit_version, such as 1.13.5"
            )
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
