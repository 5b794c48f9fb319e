"""The settings OpenSSH would use to reach an address: its own answer, from ``ssh -G``.

paramiko's reader of ssh_config ignores Include, takes unknown Match criteria for a match and turns
``ProxyJump none`` into a host name. So OpenSSH reads its files and we read its answer: lower-case
``keyword value`` lines (ssh(1), ``-G``). Only expansion of tokens (ssh_config(5), TOKENS) is left to us.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestr.errors import InputError, UnreachableError
from orchestr.transport.openssh_answers import Answer, Once, is_plain

if TYPE_CHECKING:
    from orchestr.inventory.settings import ConnectionSettings

SSH_G_TIMEOUT_S = 10.0
INSTALL_OPENSSH = "install it: apt-get install openssh-client (or dnf install openssh-clients)"


@dataclass(frozen=True)
class Target:
    """One machine to log in to, with all of its settings in ssh_config; paths are expanded, files may be missing."""

    name: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[str, ...] = ()
    identities_only: bool = False
    identity_agent: str | None = None
    user_known_hosts_files: tuple[str, ...] = ()
    global_known_hosts_files: tuple[str, ...] = ()
    host_key_alias: str | None = None
    strict_host_key_checking: str = "ask"
    connect_timeout_s: float | None = None
    proxy_jump: str | None = None
    proxy_command: str | None = None
    address_family: str = "any"
    bind_address: str | None = None

    def __str__(self) -> str:
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{self.user}@{host}:{self.port}"

    @property
    def known_as(self) -> str:
        """The name under which known_hosts keeps this host's keys: ``host``, ``[host]:port`` or the alias."""
        if self.host_key_alias:
            return self.host_key_alias
        host = self.hostname.lower()
        return host if self.port == 22 else f"[{host}]:{self.port}"


def target_of(settings: ConnectionSettings) -> Target:
    """Return the effective target of a host of the inventory; the inventory wins over ssh_config."""
    arguments = (*settings.ssh_common_args, *settings.ssh_extra_args)
    return resolve(settings.address, settings.port, settings.user, arguments)


def resolve(address: str, port: int | None, user: str | None, arguments: Sequence[str] = ()) -> Target:
    """Return the settings ssh would use for ``address``; one ``ssh -G`` per distinct question and process, or fewer.

    Hosts that differ in their address only share one when nothing in ssh_config can tell them apart.
    """
    question = (address, port, user, tuple(arguments))
    return _targets.get(question, lambda: _resolve(*question))


_targets: Once[Target] = Once()
_shared: Once[tuple[str, Answer, bool]] = Once()


def _resolve(address: str, port: int | None, user: str | None, arguments: tuple[str, ...]) -> Target:
    command = ["ssh", "-vG", *arguments]
    command += ["-p", str(port)] if port is not None else []
    command += ["-l", user] if user is not None else []

    def answer_for(name: str) -> Answer:
        return ask(name, (*command, "--", name))

    def ask_for_all() -> tuple[str, Answer, bool]:
        answer = answer_for(address)
        return address, answer, answer.holds_for_all(arguments)

    if not is_plain(address):
        answer, asked = answer_for(address), address
    else:
        shape = (port, user, arguments, os.environ.get("PATH"))  # another PATH may have another ssh, or none
        asked, answer, is_for_all = _shared.get(shape, ask_for_all)
        if asked != address and not is_for_all:
            answer, asked = answer_for(address), address
    return _read(address, answer.for_address(address, asked))


def ask(address: str, command: tuple[str, ...]) -> Answer:
    """Return the output of ssh. Raises InputError when this machine has no ssh, UnreachableError when ssh refuses."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SSH_G_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(
            "there is no ssh on this machine; orchestr asks it for the settings of each host (ssh -G)",
            next_step=INSTALL_OPENSSH,
        ) from None
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(
            f"ssh -G took longer than {SSH_G_TIMEOUT_S:g} s; a 'Match exec' in ssh_config may hang",
            host=address,
            next_step=" ".join(command).replace("-vG", "-G", 1),
        ) from error
    answer = Answer(done.stdout, done.stderr)
    if done.returncode:
        raise UnreachableError(
            f"ssh does not accept its settings for {address}: {answer.complaint or 'no message'}",
            host=address,
            stderr=answer.complaint,
            next_step="fix ~/.ssh/config or ansible_ssh_common_args; see it with: "
            + " ".join(command).replace("-vG", "-G", 1),
        )
    return answer


def _read(address: str, answer: str) -> Target:
    """Return the target that the lines of ``ssh -G`` describe."""
    values: dict[str, list[str]] = {}
    for line in answer.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword, []).append(value)

    def first(keyword: str, default: str = "") -> str:
        return values.get(keyword, [default])[0]

    def setting(keyword: str) -> str | None:
        return None if first(keyword, "none") in ("none", "") else first(keyword)

    tokens = tokens_of(address, first("hostname", address), first("port", "22"), first("user"))
    timeout = setting("connecttimeout")
    agent = first("identityagent") or None
    return Target(
        name=address,
        hostname=first("hostname", address),
        port=int(first("port", "22")),
        user=first("user") or getpass.getuser(),
        identity_files=tuple(expand(path, tokens) for path in values.get("identityfile", ()) if path != "none"),
        identities_only=first("identitiesonly") == "yes",
        identity_agent=expand(agent, tokens) if agent else None,
        user_known_hosts_files=_paths(first("userknownhostsfile"), tokens),
        global_known_hosts_files=_paths(first("globalknownhostsfile"), tokens),
        host_key_alias=setting("hostkeyalias"),
        strict_host_key_checking=first("stricthostkeychecking", "ask"),
        connect_timeout_s=float(timeout) if timeout else None,
        proxy_jump=setting("proxyjump"),
        proxy_command=setting("proxycommand"),
        address_family=first("addressfamily", "any"),
        bind_address=setting("bindaddress"),
    )


def _paths(value: str, tokens: dict[str, str]) -> tuple[str, ...]:
    """Return the files of one line; ssh prints them unquoted, so a path with a blank in it comes apart here too."""
    return tuple(expand(path, tokens) for path in value.split() if path not in ("none", "/dev/null"))


def tokens_of(address: str, hostname: str, port: str, user: str) -> dict[str, str]:
    """Return the percent tokens of ssh_config(5) that files and proxy commands may use."""
    local = socket.gethostname()
    return {
        "%%": "%",
        "%d": str(Path.home()),
        "%h": hostname,
        "%i": str(os.getuid()),
        "%j": "",
        "%k": hostname,
        "%L": local.partition(".")[0],
        "%l": local,
        "%n": address,
        "%p": port,
        "%r": user,
        "%u": getpass.getuser(),
    }


def expand(text: str, tokens: dict[str, str]) -> str:
    """Return ``text`` with ``~``, ``${NAME}`` and percent tokens put in; an unknown token stays as it is."""
    text = re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], ""), text)
    text = re.sub(r"%.", lambda token: tokens.get(token[0], token[0]), text)
    return str(Path(text).expanduser()) if text.startswith("~") else text


@dataclass(frozen=True)
class Jump:
    """One hop of a ProxyJump list, as written; the rest comes from ssh_config."""

    address: str
    user: str | None
    port: int | None


def jumps(proxy_jump: str) -> tuple[Jump, ...]:
    """Return the hops of ``[user@]host[:port],…`` (``ssh://`` allowed), the one nearest to us first."""
    return tuple(_jump(part.strip()) for part in proxy_jump.split(",") if part.strip())


def _jump(text: str) -> Jump:
    text = text.removeprefix("ssh://").rstrip("/")
    user, at, location = text.rpartition("@")
    match = re.fullmatch(r"\[(?P<v6>[^\]]+)\](?::(?P<p6>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?", location)
    if match is None:
        return Jump(location, user if at else None, None)
    port = match["p6"] or match["port"]
    return Jump(match["v6"] or match["host"], user if at else None, int(port) if port else None)


def configuration_file(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the ``-F FILE`` among ssh's arguments: the only one that OpenSSH hands on to its jump hosts."""
    for index, argument in enumerate(arguments):
        if argument == "-F" and index + 1 < len(arguments):
            return ("-F", arguments[index + 1])
        if argument.startswith("-F") and len(argument) > 2:
            return ("-F", argument[2:])
    return ()
