"""Only the gateway is open to everyone; every replica is registered once; the queue delivers a message."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from orchestr import Application, Host, Outside, outside_address, own_part
from orchestr.applications.placement import is_on_swarm
from orchestr.applications.stack_form import runs_stack
from orchestr.secret import cut_tail
from orchestr.verification.applications import containers, on, where
from orchestr.verification.websocket import HandshakeRefused

from . import Params, has_gateway
from .parts import ETCD, MYSQL, PARTS, RABBITMQ
from .servers import SERVERS, publish_mode

INTERNAL_PORTS = (2379, 2380, 3306, 6379, 9200, 9300, 5672, 15672, *(server.port for server in SERVERS.values()))
SILENCE_S = 1.3
LEASE_S = 30  # of a registration in etcd
#: Sends a message through a queue of its own, over the management API inside the container. The login is read and used
#: on the host and is in no process' arguments. Standard library of any Python 3; prints the answer.
MESSAGE = r"""
import base64, json, re, subprocess, sys
within = ["docker", "exec", "-i", sys.argv[1]]
conf = subprocess.run(within + ["cat", "/etc/rabbitmq/conf.d/20-orchestr.conf"], stdout=subprocess.PIPE, check=True)
user, password = (re.search("default_%s = (.*)" % name, conf.stdout.decode()).group(1) for name in ("user", "pass"))
login = base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
def ask(method, path, **body):
    text = json.dumps(body)
    head = "%s /api/%s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n%s"
    line = subprocess.Popen(within + ["nc", "127.0.0.1", "15672"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    line.stdin.write((head % (method, path, login, len(text), text)).encode())
    line.stdin.flush()
    answer = line.stdout.read().decode()
    line.stdin.close()
    line.wait()
    return answer
queue = "queues/%2f/orchestr-verify"
ask("PUT", queue, auto_delete=False)
ask("POST", "exchanges/%2f/amq.default/publish", properties={}, routing_key="orchestr-verify",
    payload="it-got-through", payload_encoding="string")
print(ask("POST", queue + "/get", count=1, ackmode="ack_requeue_false", encoding="auto"))
ask("DELETE", queue)
"""


def description(machine: Host) -> Application:
    """Return ChatSystem as this host sees it."""
    application = machine.application(machine.role.name)
    assert application is not None
    return application


def runs_it(machine: Host) -> bool:
    """Return True if this host runs or manages the services."""
    return not is_on_swarm(machine) or runs_stack(machine, description(machine))


def test_gateway_answers_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside, the gateway answers HTTP on one port and a WebSocket handshake on the other."""
    address = outside_address(machine)
    is_mesh = not is_on_swarm(machine) or publish_mode(machine, params) == "ingress"
    is_there = is_mesh or containers(on(machine), machine.role.name, "gateway_server")
    if not has_gateway(machine) or not is_there:
        return
    for port, probe in ((params.http_port, _http_problem), (params.websocket_port, _websocket_problem)):
        problem = probe(outside, address, port)
        assert not problem, (
            f"the gateway at {address} does not answer on {port} from outside: {problem}; look at: docker ps, "
            "ufw status, and without IPVS in the kernel set swarm_publish_mode: host"
        )


def _http_problem(outside: Outside, address: str, port: int) -> str:
    """Return the reason why a port gives no HTTP answer of any status, or ""."""
    try:
        outside.get(f"http://{_bracketed(address)}:{port}/")
    except OSError as error:
        return f"{outside.connects(address, port)}, {error}"
    return ""


def _websocket_problem(outside: Outside, address: str, port: int) -> str:
    """Return the reason why a port answers no WebSocket handshake, or ""; a refused handshake is an answer."""
    try:
        outside.websocket(f"ws://{_bracketed(address)}:{port}/").close()
    except HandshakeRefused:
        return ""
    except OSError as error:
        return f"{outside.connects(address, port)}, {error}"
    return ""


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def test_internal_ports_are_closed_to_outside(outside: Outside, machine: Host, params: Params) -> None:
    """From outside, only the gateway's two ports answer."""
    address = outside_address(machine)
    own = (params.http_port, params.websocket_port)
    ports = [port for port in dict.fromkeys(INTERNAL_PORTS) if port not in own]
    with ThreadPoolExecutor(len(ports)) as pool:
        looks = [pool.submit(copy_context().run, outside.connects, address, port, SILENCE_S) for port in ports]
        is_open = [str(port) for port, look in zip(ports, looks, strict=True) if look.result() == "open"]
    ports_open = ", ".join(is_open)
    assert not is_open, f"port {ports_open} of {address} is open to everyone; look at: docker ps, ss -ltnp, ufw status"


def test_every_replica_is_registered_once(machine: Host, params: Params) -> None:
    """etcd lists every replica of each server, with its own key and address."""
    if not runs_it(machine):
        return
    host, etcd = where(machine, ETCD.name)
    wanted = {s.registers_as: params.replicas.get(name, 1) for name, s in SERVERS.items() if s.registers_as}
    give_up = time.monotonic() + LEASE_S + 5  # a replica that was killed is listed until its lease ends
    while True:
        lines = host.check_output("docker exec %s etcdctl get --prefix /service", etcd).splitlines()
        registered = dict(zip(lines[::2], lines[1::2], strict=True))
        counts = Counter(key.split("/")[2] for key in registered)
        wrong = [name for name, count in wanted.items() if counts[name] != count]
        if not wrong or time.monotonic() > give_up:
            break
        time.sleep(1)
    assert not wrong, (
        f"{', '.join(wrong)} should be registered {', '.join(str(wanted[name]) for name in wrong)} times in etcd, and "
        f"there is {', '.join(sorted(registered)) or 'no entry'}; look at: the servers' logs"
    )
    addresses = list(registered.values())
    assert len(set(addresses)) == len(addresses), f"two replicas registered one address: {sorted(addresses)}"


def test_a_message_gets_through_the_queue(machine: Host) -> None:
    """RabbitMQ accepts a message for a queue of this check, and returns it."""
    if not runs_it(machine):
        return
    host, rabbitmq = where(machine, RABBITMQ.name)
    answer = host.check_output("python3 -c %s %s", MESSAGE, rabbitmq)
    assert "it-got-through" in answer, (
        f"RabbitMQ did not return a message ({cut_tail(answer.strip(), 200)}); look at: its log"
    )


def test_the_database_answers_its_user(machine: Host) -> None:
    """The servers' user can log in to MySQL over TCP with the password, and the database has tables."""
    if not runs_it(machine):
        return
    host, mysql = where(machine, MYSQL.name)
    database = own_part(machine, MYSQL).params(MYSQL.name).database
    login = "--defaults-extra-file=/run/secrets/mysql_client.cnf"
    tables = host.check_output("docker exec %s mysql %s -N -e %s", mysql, login, f"SHOW TABLES IN {database}").split()
    assert tables, f"the database {database} has no table: was mysql_init_sql set when the data was created?"


def test_logs_are_rotated(machine: Host) -> None:
    """The logs of its containers on this host cannot fill the disk."""
    host = on(machine)
    names = [service.name for service in description(machine).services]
    ids = [container for name in names for container in containers(host, machine.role.name, name)]
    if not ids:
        return
    words = " ".join(["%s"] * len(ids))
    settings = host.check_output(f"docker inspect --format %s {words}", "{{json .HostConfig.LogConfig}}", *ids)
    for line in settings.splitlines():
        assert "max-size" in json.loads(line)["Config"], f"a container's log grows without limit: {line}"


def test_data_is_where_the_inventory_says(machine: Host) -> None:
    """The volumes with data are on the hosts of their roles, and the services there use them."""
    existing = on(machine).check_output("docker volume ls --quiet").split()
    for use in PARTS:
        part = machine.application(use.name) if use.name in machine.roles else None
        volumes = [mount.source for service in part.services for mount in service.container.mounts] if part else []
        for name in (f"{machine.role.name}_{volume}" for volume in volumes if not volume.startswith("/")):
            assert name in existing, f"the volume {name} is not on {machine.name}, which has the role {use.name}"
            host, container = where(machine, use.name)
            mounted = host.check_output("docker inspect --format %s %s", "{{json .Mounts}}", container)
            assert name in mounted, f"{use.name} runs without its volume {name}"
