"""Seconds to connect and log in to all endpoints at once, by paramiko alone; printed as one number.

    python -m benchmarks.handshake KEY KNOWN_HOSTS ADDRESS:PORT...
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import paramiko


def log_in(endpoint: str, key: paramiko.PKey, known_hosts: str) -> None:
    address, _, port = endpoint.partition(":")
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.connect(address, int(port), username="root", pkey=key, allow_agent=False, look_for_keys=False)
    client.close()


def main() -> None:
    key_file, known_hosts, *endpoints = sys.argv[1:]
    key = paramiko.PKey.from_path(key_file)
    began = time.perf_counter()
    with ThreadPoolExecutor(len(endpoints)) as pool:
        list(pool.map(lambda endpoint: log_in(endpoint, key, known_hosts), endpoints))
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
