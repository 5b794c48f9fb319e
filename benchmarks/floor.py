"""The floor, on the controller: the script piped to python3 over paramiko, on all hosts at once. Nothing else.

    python benchmarks/floor.py KEY KNOWN_HOSTS ADDRESS[:PORT]...

One process, a thread per host. sshd drops connections at random beyond ten that have not logged in (MaxStartups), and
learns late of those that have. So at most five handshakes per address are under way, which keeps both ends busy, and
one that is dropped all the same is tried again; without that a large fleet would fail, not be faster.
"""

import logging
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

SCRIPT = Path(__file__).with_name("floor_checks.py").read_bytes()
HANDSHAKES = 5
TRIES = 5
PATIENCE_S = 60

handshakes: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(HANDSHAKES))


def log_in(endpoint: str, key: paramiko.PKey, known_hosts: str) -> paramiko.SSHClient:
    address, _, port = endpoint.partition(":")
    for left in reversed(range(TRIES)):
        client = paramiko.SSHClient()
        client.load_host_keys(known_hosts)
        try:
            client.connect(
                address, int(port or 22), username="root", pkey=key, allow_agent=False, look_for_keys=False,
                timeout=PATIENCE_S, banner_timeout=PATIENCE_S, auth_timeout=PATIENCE_S,
            )
            break
        except (paramiko.SSHException, OSError):
            if not left:
                raise
    return client


def check(endpoint: str, key: paramiko.PKey, known_hosts: str) -> str:
    with handshakes[endpoint]:
        client = log_in(endpoint, key, known_hosts)
    stdin, stdout, stderr = client.exec_command("python3 -S -E -")
    stdin.write(SCRIPT)
    stdin.channel.shutdown_write()
    said = stdout.read().decode() + stderr.read().decode()
    client.close()
    return said.strip()


def main() -> int:
    key_file, known_hosts, *endpoints = sys.argv[1:]
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it logs what it also raises
    key = paramiko.PKey.from_path(key_file)
    for endpoint in endpoints:
        handshakes[endpoint]  # made here, by one thread
    with ThreadPoolExecutor(len(endpoints)) as pool:
        said = list(pool.map(lambda endpoint: check(endpoint, key, known_hosts), endpoints))
    print("\n".join(said))
    return 0 if set(said) == {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
