"""The subcommand that checks use: list-nodes (cmd/server/commands.go)."""

from __future__ import annotations

import time

from livekit_standin.cluster import Cluster, new_node
from livekit_standin.config import Config
from livekit_standin.server import open_store


async def list_nodes(config: Config) -> str:
    """A table of the nodes Redis knows; without Redis, as upstream, of a fresh one."""
    own = new_node(config.node_ip, config.region)
    nodes = list((await Cluster(open_store(config), own).nodes()).values()) if config.redis else [own]
    header = ["ID", "IP ADDRESS", "REGION", "STATE", "ROOMS", "CLIENTS", "STARTED AT", "UPDATED AT"]
    rows = [
        [f"{node.id} ({node.state})", node.ip, node.region, node.state, str(node.rooms), str(node.clients),
         _moment(node.started_at), _moment(node.updated_at)]
        for node in sorted(nodes, key=lambda node: node.ip)
    ]  # fmt: skip
    return _table([header, *rows])


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
