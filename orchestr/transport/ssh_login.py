"""The login: only the keys, agent and password that are configured, in that order.

Trying every key of an agent ends in "Too many authentication failures" (sshd's MaxAuthTries is 6), so a key file
named in the inventory is the only key tried; the agent is asked for just that one when the file is encrypted.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.agent import AgentKey
from paramiko.auth_strategy import AuthResult, AuthSource, AuthStrategy, InMemoryPrivateKey, Password

from orchestr.secret import Secret
from orchestr.transport import ssh_keys
from orchestr.transport.openssh_config import Target
from orchestr.transport.paramiko_internals import AgentClient
from orchestr.transport.ssh_errors import LoginError
from orchestr.transport.ssh_limits import Deadline

AGENT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Credentials:
    """The inventory's credentials for the login; None leaves them to ssh_config."""

    key_file: str | None = None
    password: Secret | None = None


class Login(AuthStrategy):
    """The credentials to try, from a target and the inventory, with a record of those tried."""

    def __init__(self, target: Target, credentials: Credentials, deadline: Deadline) -> None:
        super().__init__(ssh_config=paramiko.SSHConfig())
        self.target = target
        self.credentials = credentials
        self.deadline = deadline
        self.tried: list[str] = []
        self.problems: list[str] = []
        self.next_steps: list[str] = []
        self._agent: AgentClient | None = None
        self._agent_keys: list[AgentKey] | None = None

    def authenticate(self, transport: paramiko.Transport) -> AuthResult:
        """Try each source until the server accepts one. Raises LoginError naming the user and everything tried."""
        allowed: list[str] = []
        try:
            for source in self.get_sources():
                transport.auth_timeout = self.deadline.left()
                try:
                    missing = source.authenticate(transport)
                except paramiko.BadAuthenticationType as error:
                    allowed = list(error.allowed_types)
                except (EOFError, OSError, paramiko.SSHException) as error:
                    if not transport.is_active() or self.deadline.is_over():
                        raise self._refused(allowed, self._reason(transport, error)) from error
                    self._note_unused(error)
                else:
                    if not missing:
                        return AuthResult(self)
                    allowed = list(missing)
        finally:
            self._close_agent()
        raise self._refused(allowed)

    def _note_unused(self, error: Exception) -> None:
        """Note a key that its agent would not sign with; the server's refusal of one needs no note."""
        if isinstance(error, paramiko.AuthenticationException):
            return
        self.problems.append(f"{self.tried[-1]} was not used: {error}")
        if isinstance(error, OSError):  # a late answer would be taken for the answer to the next question
            self._agent_keys = []

    def get_sources(self) -> Iterator[AuthSource]:
        """Yield the sources: the configured key or ssh_config's keys, the agent's other keys, the password."""
        if self.credentials.key_file:
            yield from self._key_files([str(Path(self.credentials.key_file).expanduser())], are_named=True)
        else:
            yield from self._key_files(self.target.identity_files, are_named=False)
            if not self.target.identities_only:
                yield from self._rest_of_agent()
        password = self.credentials.password
        if password is not None:
            self.tried.append("the password")
            yield Password(self.target.user, password.reveal)

    def _key_files(self, files: Sequence[str], *, are_named: bool) -> Iterator[AuthSource]:
        for file in files:
            if Path(file).exists() or Path(file + ".pub").exists():
                key = self._key(file)
                if key is not None:
                    self.tried.append(f"{file} ({key.fingerprint})")
                    yield InMemoryPrivateKey(self.target.user, key)
            elif are_named:
                self.problems.append(f"the key file {file} does not exist")

    def _key(self, file: str) -> paramiko.PKey | None:
        """Return the key of a file, through the agent when only the agent can use it; None notes why not."""
        try:
            return ssh_keys.load(file)
        except ssh_keys.KeyFileError as error:
            blob = ssh_keys.public_blob(file)
            for key in self._keys_of_agent():
                if key.asbytes() == blob:
                    return key
            self.problems.append(f"the key file {error.reason}")
            self.next_steps.append(error.next_step)
            return None

    def _rest_of_agent(self) -> Iterator[AuthSource]:
        for key in tuple(self._keys_of_agent()):
            if key not in self._keys_of_agent():  # the agent stopped answering
                return
            if not any(key.fingerprint in tried for tried in self.tried):
                self.tried.append(f"the agent's {key.comment} ({key.fingerprint})")
                yield InMemoryPrivateKey(self.target.user, key)

    def _keys_of_agent(self) -> list[AgentKey]:
        """Return the agent's keys, none when there is no agent or it does not answer; asked once."""
        if self._agent_keys is None:
            self._agent_keys = []
            address = self._agent_socket()
            if address:
                self._connect_agent(address)
        return self._agent_keys

    def _agent_socket(self) -> str | None:
        """Return the agent's socket: IdentityAgent of ssh_config, else SSH_AUTH_SOCK."""
        address = self.target.identity_agent or "SSH_AUTH_SOCK"
        if address == "none":
            return None
        return os.environ.get(address.removeprefix("$")) if "/" not in address else address

    def _connect_agent(self, address: str) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(AGENT_TIMEOUT_S)
        try:
            connection.connect(address)
            self._agent = AgentClient()
            self._agent_keys = list(self._agent.connect(connection))
        except (OSError, paramiko.SSHException) as error:
            connection.close()
            self.problems.append(f"the agent at {address} does not answer: {error}")

    def _close_agent(self) -> None:
        if self._agent is not None:
            self._agent.close()

    def _reason(self, transport: paramiko.Transport, error: Exception) -> str:
        if self.deadline.is_over():
            return "no answer in time"
        return getattr(transport, "disconnect_reason", "") or str(error)

    def _refused(self, allowed: list[str], reason: str = "") -> LoginError:
        tried = ", ".join(self.tried) or "nothing (no key, agent or password is configured)"
        lines = [f"{self.target} refused the login; tried {tried}"]
        lines += [f"  the server's reason: {reason}"] if reason else []
        lines += [f"  the server accepts: {', '.join(allowed)}"] if allowed else []
        lines += [f"  {problem}" for problem in self.problems]
        return LoginError("\n".join(lines), host=self.target.name, next_step=self._next_step(reason))

    def _next_step(self, reason: str) -> str:
        if self.next_steps:
            return self.next_steps[0]
        if "Too many authentication failures" in reason:
            return "name the one key with ansible_ssh_private_key_file, or set IdentitiesOnly yes in ~/.ssh/config"
        key = self.credentials.key_file or "KEY"
        return (
            "set ansible_user and ansible_ssh_private_key_file, or authorize the key: "
            f"ssh-copy-id -i {key} -p {self.target.port} {self.target.user}@{self.target.hostname}"
        )
