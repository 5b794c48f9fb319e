"""A real sshd on loopback with keys made on the spot, and servers that misbehave on purpose."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import shutil
import signal
import socket
import struct
import subprocess
import textwrap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from orchestr.inventory.settings import ConnectionSettings

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/sshd"
START_S = 10.0


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair and return the private key's path."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def make_security_key(path: Path) -> Path:
    """Write the files of a key on a FIDO token, as ssh-keygen -t ed25519-sk does with one plugged in (PROTOCOL.u2f)."""

    def text(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    kind = text(b"sk-ssh-ed25519@openssh.com")
    blob = kind + text(bytes(range(32))) + text(b"ssh:")
    private = bytes(8) + blob + b"\x01" + text(b"handle of the key") + text(b"") + text(path.name.encode())
    private += bytes(range(1, 1 + -len(private) % 8))
    container = b"openssh-key-v1\0" + text(b"none") * 2 + text(b"") + struct.pack(">I", 1) + text(blob) + text(private)
    body = "\n".join(textwrap.wrap(base64.b64encode(container).decode(), 70))
    path.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n")
    path.chmod(0o600)
    Path(f"{path}.pub").write_text(f"sk-ssh-ed25519@openssh.com {base64.b64encode(blob).decode()} {path.name}\n")
    return path


class ReluctantAgent:
    """An ssh-agent that lists its keys and refuses to sign with the first of them (PROTOCOL.agent)."""

    def __init__(self, address: Path, keys: Sequence[Path], *, is_silent: bool = False) -> None:
        self._keys = [paramiko.PKey.from_path(str(key)) for key in keys]
        self._is_silent = is_silent
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(address))
        self.server.listen()

    def serve(self) -> None:
        """Answer clients until the socket is shut down."""
        with self.server, contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as requests, contextlib.suppress(OSError):
            while size := requests.read(4):
                request = paramiko.Message(requests.read(int.from_bytes(size, "big")))
                answer = paramiko.Message()
                if request.get_byte() == b"\x0b":  # SSH_AGENTC_REQUEST_IDENTITIES
                    answer.add_byte(b"\x0c")
                    answer.add_int(len(self._keys))
                    for key in self._keys:
                        answer.add_string(key.asbytes())
                        answer.add_string("a key of the agent")
                else:
                    self._sign(request, answer)
                data = answer.asbytes()
                client.sendall(struct.pack(">I", len(data)) + data)

    def _sign(self, request: paramiko.Message, answer: paramiko.Message) -> None:
        blob, data = request.get_binary(), request.get_binary()
        key = next(key for key in self._keys if key.asbytes() == blob)
        if key is self._keys[0]:
            if self._is_silent:
                threading.Event().wait()
            answer.add_byte(b"\x05")  # SSH_AGENT_FAILURE
            return
        answer.add_byte(b"\x0e")
        answer.add_string(key.sign_ssh_data(data).asbytes())


def public(path: Path) -> str:
    """Return ``type base64`` of a key pair."""
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


def fingerprint(path: Path) -> str:
    """Return the fingerprint as ssh-keygen, not the code under test, sees it."""
    listed = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True)
    return listed.stdout.split()[1]


def free_port() -> int:
    """Return a port of loopback that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def fill_backlog(address: tuple[str, int]) -> list[socket.socket]:
    """Connect until the kernel drops a further SYN; return the sockets that must stay open for that to last."""
    clients: list[socket.socket] = []
    while True:
        clients.append(socket.socket())
        clients[-1].settimeout(0.3)
        try:
            clients[-1].connect(address)
        except TimeoutError:
            return clients


@dataclass
class Sshd:
    """A running sshd: where it is, its keys, and the client's files that belong to it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    host_key: Path
    user_key: Path
    ssh_config: Path
    known_hosts: Path

    def settings(self, **changes: object) -> ConnectionSettings:
        """Return an inventory's view of this server; the user's own ssh_config plays no part."""
        values: dict[str, object] = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key_file": str(self.user_key),
            "ssh_common_args": ("-F", str(self.ssh_config)),
        }
        return ConnectionSettings(**{**values, **changes})  # type: ignore[arg-type]

    def record(self, key: Path | None = None, name: str | None = None, marker: str = "") -> None:
        """Add a line to the client's known_hosts."""
        line = f"{marker} {name or f'[127.0.0.1]:{self.port}'} {public(key or self.host_key)}\n"
        with self.known_hosts.open("a") as file:
            file.write(line.lstrip())

    def configure(self, text: str) -> None:
        """Add lines to the client's ssh_config."""
        self.ssh_config.write_text(text + "\n" + self.ssh_config.read_text())

    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")


StartSshd = Callable[..., Sshd]


def start_server(folder: Path, config: str, host_keys: tuple[str, ...], user_key: Path) -> Sshd:
    folder.mkdir()
    made = [make_key(folder / f"host_{kind}", kind) for kind in host_keys]
    (folder / "authorized_keys").write_text(Path(f"{user_key}.pub").read_text())
    known_hosts = folder / "known_hosts"
    known_hosts.touch()
    ssh_config = folder / "ssh_config"
    ssh_config.write_text(f"Host *\n UserKnownHostsFile {known_hosts}\n GlobalKnownHostsFile /dev/null\n")
    port = free_port()
    lines = [
        config,
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        *(f"HostKey {key}" for key in made),
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "StrictModes no",
        "PidFile none",
        "UsePAM no",
        "PermitRootLogin yes",
        "PasswordAuthentication no",
        "LogLevel VERBOSE",
        "SetEnv SHLVL=2",  # bash leaves ~/.bashrc alone then: the output of the developer's own is none of ours
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    return Sshd(folder, port, _run_sshd(folder, port), made[0], user_key, ssh_config, known_hosts)


def _run_sshd(folder: Path, port: int) -> subprocess.Popen[bytes]:
    with contextlib.suppress(PermissionError):
        Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation wants it when we are root
    command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
    _await_listening(process, port, folder / "sshd.log")
    return process


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once the port answers; sshd says "Server listening" in its log just before."""
    for _ in range(int(START_S / 0.02)):
        if process.poll() is not None:
            raise AssertionError(f"sshd did not start: {log.read_text()}")
        if "Server listening" in log.read_text():
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"sshd is not up after {START_S} s: {log.read_text()}")


def await_socket(address: Path, process: subprocess.Popen[bytes]) -> None:
    """Return once something listens on a Unix socket: the file is there a moment before."""
    while process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            probe.connect(str(address))
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{process.args!r} ended with {process.returncode}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever shares its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Front:
    """A TCP door before a server: it drops the first connections, as MaxStartups does, then lets pass."""

    target_port: int
    drops: int
    seen: int = 0
    server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def serve(self) -> None:
        """Take connections until the socket is shut down."""
        with self.server, contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                self.seen += 1
                if self.seen <= self.drops:
                    client.close()
                else:
                    self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        onward = socket.create_connection(("127.0.0.1", self.target_port))
        for source, sink in ((client, onward), (onward, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def hang_up(server: socket.socket) -> None:
    """Wake the thread that accepts, and leave the socket to it: closed here, its number would go to another test."""
    server.shutdown(socket.SHUT_RDWR)


def serve_rudely(server: socket.socket, treat: Callable[[socket.socket], None]) -> None:
    held: list[socket.socket] = []
    with server, contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            held.append(client)
            treat(client)


def reset(client: socket.socket) -> None:
    """Answer with RST instead of an orderly end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
