"""Flags as gflags reads them: ``-name=value``, ``--name=value``, ``-flagfile=PATH``; the last one wins."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

COMMON = (
    "run_mode log_file log_level registry_host base_service instance_name access_host listen_port "
    "rpc_timeout rpc_threads"
)
MYSQL = "mysql_host mysql_user mysql_pswd mysql_db mysql_cset mysql_port mysql_pool_count"
QUEUE = "mq_user mq_pswd mq_host mq_msg_exchange mq_msg_queue mq_msg_binding_key"
REDIS = "redis_host redis_port redis_db redis_pswd redis_keep_alive"
PEERS = "speech_service file_service user_service transmit_service message_service friend_service"
#: What each service takes beyond the common flags.
FLAGS = {
    "speech": "app_id api_key secret_key",
    "file": "storage_path",
    "user": f"{MYSQL} {REDIS} es_host file_service dms_key_id dms_key_secret",
    "transmit": f"{MYSQL} {QUEUE} user_service transmit_target_service",
    "store": f"{MYSQL} {QUEUE} es_host file_service user_service",
    "friend": f"{MYSQL} es_host user_service message_service",
    "gateway": f"{REDIS} {PEERS} http_listen_port websocket_listen_port",
}


def parse(service: str, arguments: Iterable[str]) -> dict[str, str]:
    """Return name → value. Ends the process with gflags' message and status 1 for a flag it does not know."""
    known = {*COMMON.split(), *FLAGS[service].split()}
    flags: dict[str, str] = {}
    for argument in _expanded(arguments):
        name, separator, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not separator:
            sys.exit(f"ERROR: flag {argument!r} is missing its argument")
        if name not in known:
            sys.exit(f"ERROR: unknown command line flag '{name}'")
        flags[name] = value
    return flags


def _expanded(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        name, _, value = argument.lstrip("-").partition("=")
        if name != "flagfile":
            yield argument
            continue
        try:
            lines = Path(value).read_text().splitlines()
        except OSError as error:
            sys.exit(f"ERROR: flagfile {value}: {error.strerror}")
        yield from _expanded(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
