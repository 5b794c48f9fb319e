"""Every key livekit-server 1.8 knows, with its kind; a mapping of more keys where it has a section.

The kinds: "int", "bool", "float", "str", "duration", "strings" (a list), "map" (of strings), "any" (tuning
that a deployment leaves alone; not looked into), "ports" (a number or a range).
"""

from __future__ import annotations

Kind = str | dict[str, "Kind"]

REDIS: dict[str, Kind] = {
    "address": "str",
    "username": "str",
    "password": "str",
    "db": "int",
    "use_tls": "bool",
    "tls": "any",
    "sentinel_master_name": "str",
    "sentinel_username": "str",
    "sentinel_password": "str",
    "sentinel_addresses": "strings",
    "cluster_addresses": "strings",
    "dial_timeout": "int",
    "read_timeout": "int",
    "write_timeout": "int",
    "max_redirects": "int",
    "pool_timeout": "duration",
    "pool_size": "int",
}

RTC: dict[str, Kind] = {
    "udp_port": "ports",
    "tcp_port": "int",
    "port_range_start": "int",
    "port_range_end": "int",
    "node_ip": "str",
    "stun_servers": "strings",
    "turn_servers": "any",
    "use_external_ip": "bool",
    "external_ip_only": "bool",
    "use_ice_lite": "bool",
    "interfaces": {"includes": "strings", "excludes": "strings"},
    "ips": {"includes": "strings", "excludes": "strings"},
    "enable_loopback_candidate": "bool",
    "use_mdns": "bool",
    "batch_io": "any",
    "force_tcp": "bool",
    "strict_acks": "bool",
    "packet_buffer_size": "int",
    "packet_buffer_size_video": "int",
    "packet_buffer_size_audio": "int",
    "pli_throttle": "any",
    "congestion_control": "any",
    "allow_tcp_fallback": "bool",
    "reconnect_on_publication_error": "bool",
    "reconnect_on_subscription_error": "bool",
    "reconnect_on_data_channel_error": "bool",
    "data_channel_max_buffered_amount": "int",
    "datachannel_slow_threshold": "int",
    "forward_stats": "any",
}

ROOM: dict[str, Kind] = {
    "auto_create": "bool",
    "enabled_codecs": "any",
    "max_participants": "int",
    "empty_timeout": "int",
    "departure_timeout": "int",
    "enable_remote_unmute": "bool",
    "playout_delay": "any",
    "sync_streams": "bool",
    "create_room_enabled": "bool",
    "create_room_timeout": "duration",
    "create_room_attempts": "int",
    "max_metadata_size": "int",
    "max_room_name_length": "int",
    "max_participant_identity_length": "int",
    "room_configurations": "any",
}

TURN: dict[str, Kind] = {
    "enabled": "bool",
    "domain": "str",
    "cert_file": "str",
    "key_file": "str",
    "tls_port": "int",
    "udp_port": "int",
    "relay_range_start": "int",
    "relay_range_end": "int",
    "external_tls": "bool",
}

LIMIT: dict[str, Kind] = {
    "num_tracks": "int",
    "bytes_per_sec": "float",
    "subscription_limit_video": "int",
    "subscription_limit_audio": "int",
    "max_metadata_size": "int",
    "max_attributes_size": "int",
    "max_room_name_length": "int",
    "max_participant_identity_length": "int",
    "max_participant_name_length": "int",
}

CONFIG: dict[str, Kind] = {
    "port": "int",
    "bind_addresses": "strings",
    "prometheus_port": "int",
    "prometheus": {"port": "int", "username": "str", "password": "str"},
    "rtc": RTC,
    "redis": REDIS,
    "audio": "any",
    "video": "any",
    "room": ROOM,
    "turn": TURN,
    "ingress": {"rtmp_base_url": "str", "whip_base_url": "str"},
    "sip": "any",
    "webhook": {"urls": "strings", "api_key": "str"},
    "node_selector": {
        "kind": "str",
        "sort_by": "str",
        "cpu_load_limit": "float",
        "sysload_limit": "float",
        "regions": "any",
    },
    "key_file": "str",
    "keys": "map",
    "region": "str",
    "signal_relay": {
        "retry_timeout": "duration",
        "min_retry_interval": "duration",
        "max_retry_interval": "duration",
        "stream_buffer_size": "int",
        "connect_attempts": "int",
    },
    "psrpc": "any",
    "log_level": "str",
    "logging": {
        "json": "bool",
        "level": "str",
        "sample": "bool",
        "component_levels": "any",
        "sample_initial": "int",
        "sample_interval": "int",
        "item_sample_seconds": "int",
        "item_sample_initial": "int",
        "item_sample_interval": "int",
        "pion_level": "str",
    },
    "limit": LIMIT,
    "development": "bool",
    "metric": "any",
}
