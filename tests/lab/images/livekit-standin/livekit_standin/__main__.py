"""The command line of livekit-server: options, a subcommand, or the server itself."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from livekit_standin import commands
from livekit_standin.config import Config, ConfigError, load
from livekit_standin.redis_client import RedisError
from livekit_standin.server import Server

log = logging.getLogger("livekit")


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; the exit status."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        return _run(options)
    except (ConfigError, RedisError, OSError) as error:
        print(error, flush=True)
        return 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="livekit-server", description="a stand-in for the lab: carries no media")
    parser.add_argument("--config", metavar="FILE", help="path to LiveKit config file")
    parser.add_argument("command", nargs="?", choices=["list-nodes"])
    parser.add_argument("--version", action="version", version="livekit-server stand-in 1.8")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    config = load(options.config, os.environ)
    if options.command == "list-nodes":
        print(asyncio.run(commands.list_nodes(config)))
    else:
        for key in [] if config.development else config.short_keys:
            log.error("secret is too short, should be at least 32 characters for security apiKey=%s", key)
        asyncio.run(_serve(config))
    return 0


async def _serve(config: Config) -> None:
    await Server(config).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
