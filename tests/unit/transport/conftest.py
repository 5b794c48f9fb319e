"""Fixtures around sshd_on_loopback: everything they start ends with the test."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sshd_on_loopback import Front, Sshd, StartSshd, await_socket, end, hang_up, make_key, serve_rudely, start_server


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Key pairs by name: two that log in nowhere by default, one encrypted, one RSA, one ECDSA."""
    folder = tmp_path_factory.mktemp("keys")
    return {
        "user": make_key(folder / "user"),
        "other": make_key(folder / "other"),
        "encrypted": make_key(folder / "encrypted", passphrase="open sesame"),
        "rsa": make_key(folder / "rsa", "rsa"),
        "ecdsa": make_key(folder / "ecdsa", "ecdsa"),
    }


@pytest.fixture
def start_sshd(tmp_path: Path, keys: dict[str, Path]) -> Iterator[StartSshd]:
    """Start any number of servers, each with its own host key; they end with the test."""
    servers: list[Sshd] = []

    def start(config: str = "", *, host_keys: tuple[str, ...] = ("ed25519",), user_key: str = "user") -> Sshd:
        server = start_server(tmp_path / f"sshd{len(servers)}", config, host_keys, keys[user_key])
        servers.append(server)
        return server

    yield start
    for server in servers:
        end(server.process)


@pytest.fixture
def sshd(start_sshd: StartSshd) -> Sshd:
    """One server whose key the client knows."""
    server = start_sshd()
    server.record()
    return server


@pytest.fixture
def front() -> Iterator[Callable[[int, int], Front]]:
    """Make doors before servers."""
    fronts: list[Front] = []

    def make(target_port: int, drops: int) -> Front:
        made = Front(target_port, drops)
        threading.Thread(target=made.serve, daemon=True).start()
        fronts.append(made)
        return made

    yield make
    for made in fronts:
        hang_up(made.server)


@pytest.fixture
def rude() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Listen on a port and treat every client by the given function; returns the port."""
    servers: list[socket.socket] = []

    def listen(treat: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        threading.Thread(target=serve_rudely, args=(server, treat), daemon=True).start()
        return int(server.getsockname()[1])

    yield listen
    for server in servers:
        hang_up(server)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Run an ssh-agent that holds the given keys; returns its socket."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*held: Path, passphrase: str = "") -> Path:
        address = tmp_path / f"agent{len(processes)}.sock"
        process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.DEVNULL, start_new_session=True
        )
        processes.append(process)
        await_socket(address, process)
        answer = tmp_path / "askpass"
        answer.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        answer.chmod(0o700)
        environment = {
            **os.environ,
            "SSH_AUTH_SOCK": str(address),
            "SSH_ASKPASS": str(answer),
            "SSH_ASKPASS_REQUIRE": "force",
        }
        for key in held:
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL)
        return address

    yield run
    for process in processes:
        end(process)
