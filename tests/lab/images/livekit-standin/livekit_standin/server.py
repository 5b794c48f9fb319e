"""The server: health on every path but /rtc, signalling on /rtc, and a stop that waits for participants."""

from __future__ import annotations

import asyncio
import logging
import signal

import tokens
from http_messages import BadRequest, Request, read_request, response

from livekit_standin import media, websocket
from livekit_standin.cluster import HEARTBEAT_S, Cluster, new_node
from livekit_standin.config import Config
from livekit_standin.redis_client import RedisClient, RedisError
from livekit_standin.store import MemoryStore, RedisStore, Store
from livekit_standin.webhooks import Webhooks
from livekit_standin.websocket import WebSocket

log = logging.getLogger("livekit")
DRAIN_CHECK_S = 0.5


def open_store(config: Config) -> Store:
    return RedisStore(RedisClient(config.redis)) if config.redis else MemoryStore()


def field(number: int, content: bytes | str) -> bytes:
    """A field of a protobuf message: a text or a message."""
    data = content.encode() if isinstance(content, str) else content
    size, length = len(data), b""
    while size > 127:
        size, length = size >> 7, length + bytes([size & 127 | 128])
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def join_response(room: str, identity: str, participants: list[str], node: str) -> bytes:
    """A SignalResponse with a JoinResponse (livekit/protocol, protobufs/livekit_rtc.proto), the fields that matter."""
    others = b"".join(field(3, field(2, name)) for name in participants if name != identity)
    return field(1, field(1, field(2, room)) + field(2, field(2, identity)) + others + field(12, field(5, node)))


class Server:
    """One node."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._cluster = Cluster(open_store(config), new_node(config.node_ip, config.region))
        self._webhooks = Webhooks(config)
        self._sockets: set[WebSocket] = set()
        self._stops = 0
        self._stop_wanted = asyncio.Event()

    async def run(self) -> None:
        """Serve until stopped; raises RedisError or OSError when it cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._on_stop, number)
        await self._cluster.forget_dead_nodes()
        await self._cluster.heartbeat()
        await media.listen(self._config)
        for address in self._config.bind_addresses:
            await asyncio.start_server(self._serve, address, self._config.port)
        background = [asyncio.create_task(self._heartbeats()), asyncio.create_task(self._webhooks.run())]
        self._log_start()
        await self._until_drained()
        for task in background:
            task.cancel()
        await self._close()

    def _log_start(self) -> None:
        node = self._cluster.node
        log.info(
            "starting LiveKit server (a stand-in for the lab: no media) portHttp=%d nodeID=%s nodeIP=%s "
            "rtc.portTCP=%d rtc.portICERange=%s",
            self._config.port, node.id, node.ip, self._config.tcp_port, list(self._config.udp_ports),
        )  # fmt: skip

    def _on_stop(self, number: int) -> None:
        self._stops += 1
        force = self._stops > 1
        log.info("exit requested, shutting down signal=%s force=%s", signal.Signals(number).name, force)
        self._cluster.drain()
        self._stop_wanted.set()

    async def _until_drained(self) -> None:
        await self._stop_wanted.wait()
        await self._beat()
        while self._stops < 2 and await self._has_participants():
            log.info("waiting for participants to exit")
            await asyncio.sleep(DRAIN_CHECK_S)

    async def _has_participants(self) -> bool:
        try:
            return await self._cluster.has_participants()
        except RedisError:
            return bool(self._sockets)

    async def _close(self) -> None:
        for socket in list(self._sockets):
            socket.close()
        try:
            await self._cluster.leave()
        except RedisError as error:
            log.error("could not unregister node: %s", error)

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._beat()

    async def _beat(self) -> None:
        try:
            await self._cluster.heartbeat()
        except RedisError as error:
            log.error("could not update node stats: %s", error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            if request and request.path.startswith("/rtc"):
                await self._signal(request, reader, writer)
            elif request:
                writer.write(self._health())
                await writer.drain()
        except (BadRequest, OSError, asyncio.IncompleteReadError) as error:
            log.debug("connection dropped: %s", error)
        finally:
            writer.close()

    def _health(self) -> bytes:
        if self._cluster.is_healthy:
            return response(200, "OK")
        return response(406, f"Not Ready\nNode Updated At {self._cluster.node.updated_at:.0f}")

    async def _signal(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            room, identity = self._authorize(request)
        except tokens.InvalidToken as error:
            log.warning("join refused: %s", error)
            writer.write(response(401, f"could not validate token: {error}"))
            return
        if request.path == "/rtc/validate":
            writer.write(response(200, "success"))
        elif not websocket.is_upgrade(request):
            writer.write(response(400, "not a WebSocket request"))
        else:
            writer.write(websocket.handshake(request))
            await self._participate(room, identity, WebSocket(reader, writer))

    def _authorize(self, request: Request) -> tuple[str, str]:
        """The room and identity the request's token grants; raises InvalidToken."""
        claims = tokens.verify(request.query.get("access_token") or request.bearer, self._config.keys)
        grant = claims.get("video")
        if not isinstance(grant, dict) or not grant.get("roomJoin") or not grant.get("room"):
            raise tokens.InvalidToken("permissions denied: the token grants no room")
        if not claims.get("sub"):
            raise tokens.InvalidToken("identity cannot be empty")
        return str(grant["room"]), str(claims["sub"])

    async def _participate(self, room: str, identity: str, socket: WebSocket) -> None:
        try:
            pinned, created = await self._cluster.pin(room)
            await self._cluster.join(room, identity)
            participants = await self._cluster.participants(room)
        except RedisError as error:
            log.error("could not join: %s", error)
            socket.close()
            return
        if created:
            self._webhooks.notify("room_started", room)
        self._webhooks.notify("participant_joined", room, identity)
        self._sockets.add(socket)
        try:
            await socket.send(join_response(room, identity, participants, pinned.id))
            await socket.wait_for_close()
        except OSError as error:
            log.debug("participant lost: %s", error)
        finally:
            self._sockets.discard(socket)
            await self._part(room, identity)

    async def _part(self, room: str, identity: str) -> None:
        try:
            emptied = await self._cluster.part(room, identity)
        except RedisError as error:
            log.error("could not record that %s left: %s", identity, error)
            return
        self._webhooks.notify("participant_left", room, identity)
        if emptied:
            self._webhooks.notify("room_finished", room)
