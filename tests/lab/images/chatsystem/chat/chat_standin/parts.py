"""What the services depend on: the database, the queue, Redis, Elasticsearch. Each ends the process where it lacks."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

Flags = dict[str, str]


def database(flags: Flags) -> Any:
    """Return a connection to MySQL. Ends the process when it cannot log in or a table is missing."""
    import pymysql

    try:
        connection = pymysql.connect(
            host=flags["mysql_host"],
            port=int(flags.get("mysql_port", "3306") or 3306),
            user=flags["mysql_user"],
            password=flags["mysql_pswd"],
            database=flags["mysql_db"],
            charset=flags.get("mysql_cset", "utf8mb4"),
            autocommit=True,
            connect_timeout=5,
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM message")
    except pymysql.Error as error:
        sys.exit(f"mysql: {error}")
    return connection


def queue(flags: Flags) -> tuple[Any, Any]:
    """Return (connection, channel) of RabbitMQ with exchange and queue declared."""
    import pika

    host, _, port = flags["mq_host"].partition(":")
    login = pika.PlainCredentials(flags["mq_user"], flags["mq_pswd"])
    try:
        connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port or 5672), credentials=login))
    except (pika.exceptions.AMQPError, OSError) as error:
        sys.exit(f"rabbitmq: {error!r}")
    channel = connection.channel()
    channel.exchange_declare(flags["mq_msg_exchange"], "direct", durable=True)
    channel.queue_declare(flags["mq_msg_queue"], durable=True)
    channel.queue_bind(flags["mq_msg_queue"], flags["mq_msg_exchange"], flags.get("mq_msg_binding_key", ""))
    return connection, channel


def redis(flags: Flags, *commands: tuple[str, ...]) -> list[bytes]:
    """Return the first line of each reply of Redis. Ends the process when it refuses."""
    all_commands = [("AUTH", flags["redis_pswd"])] * bool(flags.get("redis_pswd")) + [("PING",), *commands]
    replies = []
    try:
        with socket.create_connection((flags["redis_host"], int(flags["redis_port"])), 5) as connection:
            stream = connection.makefile("rwb")
            for words in all_commands:
                parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)]
                stream.write(b"".join(parts))
                stream.flush()
                reply = stream.readline()
                if reply.startswith(b"-"):
                    sys.exit(f"redis: {reply.decode().strip()}")
                replies.append(reply)
    except OSError as error:
        sys.exit(f"redis: {error}")
    return replies


def forget_statuses(flags: Flags) -> None:
    """Delete all ``status:*``: what a gateway does at every start and exit, and why there can be only one."""
    script = "for _, k in ipairs(redis.call('KEYS', 'status:*')) do redis.call('DEL', k) end"
    redis(flags, ("EVAL", script, "0"))


def search_engine(flags: Flags, method: str, path: str, document: Any = None) -> Any:
    """Ask Elasticsearch; raises OSError."""
    data = json.dumps(document).encode() if document is not None else None
    request = urllib.request.Request(f"{flags['es_host'].rstrip('/')}{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


class Sender:
    """Publish to the queue; a connection made for each message, so that a restarted RabbitMQ is no matter."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags
        queue(flags)[0].close()

    def send(self, message: dict[str, str]) -> str:
        import pika

        identity = uuid.uuid4().hex
        connection, channel = queue(self._flags)
        channel.confirm_delivery()
        body = json.dumps({**message, "message_id": identity}).encode()
        key = self._flags.get("mq_msg_binding_key", "")
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish(self._flags["mq_msg_exchange"], key, body, persistent, mandatory=True)
        connection.close()
        return identity


def consume(flags: Flags, take: Callable[[dict[str, str]], None]) -> None:
    """Hand each message of the queue to ``take`` in a thread; a lost queue ends the process."""
    _, channel = queue(flags)

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        take(json.loads(body))
        channel.basic_ack(method.delivery_tag)

    def run() -> None:
        try:
            channel.basic_consume(flags["mq_msg_queue"], on_message)
            channel.start_consuming()
        except Exception as error:
            print(f"the queue is lost: {error!r}", flush=True)
        os._exit(1)

    threading.Thread(target=run, daemon=True).start()
