"""What the server was told: its YAML, then the environment, which wins (cmd/server/main.go, config.go)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livekit_standin import schema
from livekit_standin.strict_yaml import ConfigError, parse

SHORTEST_SECRET = 32
MEDIA_PORTS_OPENED = 5


@dataclass(frozen=True)
class Redis:
    """How to reach Redis; `address` is host:port."""

    address: str
    username: str = ""
    password: str = field(default="", repr=False)
    db: int = 0


@dataclass(frozen=True)
class Config:
    """The configuration as the server uses it; everything is checked."""

    port: int
    bind_addresses: tuple[str, ...]
    tcp_port: int
    udp_ports: tuple[int, int]
    node_ip: str
    region: str
    redis: Redis | None
    keys: Mapping[str, str] = field(repr=False)
    webhook_key: str
    webhook_urls: tuple[str, ...]
    turn: Mapping[str, Any]
    prometheus_port: int
    development: bool

    @property
    def short_keys(self) -> list[str]:
        """API keys whose secret is too short to be secure; the real server logs an error and goes on."""
        return [key for key, secret in self.keys.items() if len(secret) < SHORTEST_SECRET]


def load(path: str | None, environment: Mapping[str, str]) -> Config:
    """The configuration from --config and the environment; raises ConfigError."""
    text = environment.get("LIVEKIT_CONFIG", "")
    if not text and path:
        try:
            text = Path(path).read_text()
        except OSError as error:
            raise ConfigError(f"open {path}: {error.strerror}") from error
    return build(parse(text, schema.CONFIG), environment)


def build(document: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """The configuration of a parsed document and the environment; raises ConfigError."""
    rtc = document.get("rtc", {})
    keys = _keys(document, environment)
    webhook = document.get("webhook", {})
    _check_webhook(webhook, keys)
    _check_turn(document.get("turn", {}))
    if rtc.get("use_external_ip"):
        raise ConfigError("could not resolve external IP: the lab has no STUN server; set rtc.node_ip")
    return Config(
        port=document.get("port", 7880),
        bind_addresses=tuple(document.get("bind_addresses", ["0.0.0.0"])),
        tcp_port=rtc.get("tcp_port", 7881),
        udp_ports=_udp_ports(rtc, environment),
        node_ip=environment.get("NODE_IP") or rtc.get("node_ip") or _own_address(),
        region=environment.get("LIVEKIT_REGION") or document.get("region", ""),
        redis=_redis(document.get("redis", {}), environment),
        keys=keys,
        webhook_key=webhook.get("api_key", ""),
        webhook_urls=tuple(webhook.get("urls", [])),
        turn=document.get("turn", {}),
        prometheus_port=document.get("prometheus", {}).get("port", document.get("prometheus_port", 0)),
        development=bool(document.get("development")),
    )


def _keys(document: Mapping[str, Any], environment: Mapping[str, str]) -> Mapping[str, str]:
    keys: dict[str, str] = dict(document.get("keys", {}))
    if environment.get("LIVEKIT_KEYS"):
        keys = _parse_keys(environment["LIVEKIT_KEYS"])
    if document.get("key_file"):
        path = Path(document["key_file"])
        try:
            if path.stat().st_mode & 0o007:
                raise ConfigError("key file others permissions must be set to 0")
            keys = _parse_keys(path.read_text())
        except OSError as error:
            raise ConfigError(f"stat {path}: {error.strerror}") from error
    if not keys:
        raise ConfigError("one of key-file or keys must be provided")
    return keys


def _parse_keys(text: str) -> dict[str, str]:
    try:
        return dict(parse("keys:\n" + "\n".join("  " + line for line in text.splitlines()), {"keys": "map"})["keys"])
    except (ConfigError, KeyError) as error:
        raise ConfigError('Could not parse keys, it needs to be exactly, "key: secret", including the space') from error


def _check_webhook(webhook: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    if webhook.get("urls") and webhook.get("api_key") not in keys:
        raise ConfigError("api_key is required to use webhooks, and must be one of keys")


def _check_turn(turn: Mapping[str, Any]) -> None:
    if not turn.get("enabled"):
        return
    if not turn.get("tls_port") and not turn.get("udp_port"):
        raise ConfigError("invalid TURN ports")
    if turn.get("tls_port"):
        if not turn.get("domain"):
            raise ConfigError("TURN domain required")
        if not turn.get("external_tls") and not (turn.get("cert_file") and turn.get("key_file")):
            raise ConfigError("TURN tls cert required")


def _udp_ports(rtc: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[int, int]:
    """The first and last UDP port of media."""
    single = environment.get("UDP_PORT") or rtc.get("udp_port")
    if single:
        first, _, last = str(single).partition("-")
        return int(first), int(last or first)
    start, end = rtc.get("port_range_start", 0), rtc.get("port_range_end", 0)
    if not start and not end:
        return 7882, 7882
    if not 0 < start <= end < 65536:
        raise ConfigError(f"invalid UDP port range {start}-{end}")
    return start, end


def _redis(section: Mapping[str, Any], environment: Mapping[str, str]) -> Redis | None:
    address = environment.get("REDIS_HOST") or section.get("address", "")
    if not address:
        return None
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"unable to connect to redis: dial tcp: address {address}: missing port in address")
    password = environment.get("REDIS_PASSWORD") or section.get("password", "")
    return Redis(address, section.get("username", ""), password, section.get("db", 0))


def _own_address() -> str:
    """The address packets to elsewhere would leave from; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
