"""Check a variable where it is written: its name, and the values of those that say how to connect."""

from __future__ import annotations

import re
from typing import Any

from orchestr.inventory.closest import closest
from orchestr.inventory.draft import Draft
from orchestr.inventory.marked import MarkedDict, UnsafeText
from orchestr.inventory.position import Position, input_error, kind, shown
from orchestr.secret import Secret

CONNECTION_KINDS = ("ssh", "local", "memory")
SSH_KINDS = ("ssh", "paramiko", "paramiko_ssh", "smart", "ansible.builtin.ssh", "ansible.builtin.paramiko_ssh")
LOCAL_KINDS = ("local", "ansible.builtin.local")
CONNECTION_VARIABLES = (
    "ansible_become", "ansible_become_method", "ansible_become_pass", "ansible_become_password",
    "ansible_become_user", "ansible_connection", "ansible_host", "ansible_password", "ansible_port",
    "ansible_private_key_file", "ansible_python_interpreter", "ansible_ssh_common_args", "ansible_ssh_extra_args",
    "ansible_ssh_host", "ansible_ssh_pass", "ansible_ssh_password", "ansible_ssh_port",
    "ansible_ssh_private_key_file", "ansible_ssh_user", "ansible_user",
)  # fmt: skip
_OTHER_ANSIBLE_VARIABLES = (
    "ansible_become_exe",
    "ansible_become_flags",
    "ansible_facts",
    "ansible_pipelining",
    "ansible_shell_executable",
    "ansible_shell_type",
    "ansible_ssh_executable",
    "ansible_ssh_host_key_checking",
    "ansible_ssh_pipelining",
    "ansible_ssh_retries",
    "ansible_ssh_timeout",
    "ansible_ssh_transfer_method",
    "ansible_ssh_use_tty",
    "ansible_timeout",
)
_FLAGS = ("ansible_become",)
_PORTS = ("ansible_port", "ansible_ssh_port")
_ADDRESSES = ("ansible_host", "ansible_ssh_host")
_HOST_AND_PORT = re.compile(r"(?P<host>[^:]+|\[.+\]):(?P<port>[0-9]+)")
TEXT = "write one value, in quotes if it does not look like text"
_SURELY_MEANT = 0.9  # likeness from which a name is a slip of the fingers, not somebody's own variable
_TRUE, _FALSE = ("yes", "true", "on", "y", "t", "1"), ("no", "false", "off", "n", "f", "0")


def check_variable(draft: Draft, name: Any, value: Any, container: MarkedDict) -> None:
    """Raise InputError when the variable ``name`` of ``container`` can't be right; warn when it looks wrong."""
    position = container.keys_at[name]
    if not isinstance(name, str):
        step = f"begin it with a letter; quotes make it text: '{shown(name)}'"
        raise position.error(f"a variable's name must be text, found {kind(name)} ({shown(name)})", next_step=step)
    if name in CONNECTION_VARIABLES:
        check_connection_value(name, value, container.values_at[name])
    elif not (name.isidentifier() and name.isascii()):
        draft.warn(position, f"{name!r} is not a valid variable name: letters, digits and '_' only")
    elif name.startswith("ansible_") and (meant := _meant_connection_variable(name)):
        if not isinstance(value, (dict, list)) and _is_slip(name, meant):
            step = f"write {meant}, or give a variable of your own another name"
            raise position.error(f"{name!r} says nothing about the connection", suggestion=meant, next_step=step)
        draft.warn(position, f"{name!r} says nothing about the connection; did you mean {meant!r}?")


def _meant_connection_variable(name: str) -> str | None:
    """Compare the part after ``ansible_``: the prefix alone makes any two such names alike."""
    if name in _OTHER_ANSIBLE_VARIABLES:
        return None
    meant = closest(name.removeprefix("ansible_"), (known.removeprefix("ansible_") for known in CONNECTION_VARIABLES))
    return meant and f"ansible_{meant}"


def _is_slip(name: str, meant: str) -> bool:
    import difflib

    return difflib.SequenceMatcher(None, name, meant).ratio() >= _SURELY_MEANT


def check_connection_value(name: str, value: Any, position: Position) -> None:
    """Raise InputError unless ``value`` is one ``name`` can have; templates are checked when rendered."""
    if isinstance(value, Secret) or is_template(value):
        return
    if name in _PORTS:
        port_number(name, value, position)
    elif name in _FLAGS:
        flag(name, value, position)
    elif name == "ansible_connection":
        connection_kind(value, position)
    elif name == "ansible_become_method":
        become_method(value, position)
    elif name in _ADDRESSES:
        address(name, value, position)
    elif isinstance(value, (dict, list)):
        raise position.error(f"{name} must be text, found {kind(value)}", next_step=TEXT)


def is_template(value: object) -> bool:
    """Return True if ``value`` is a text with Jinja2 in it."""
    return (
        isinstance(value, str)
        and not isinstance(value, UnsafeText)
        and any(mark in value for mark in ("{{", "{%", "{#"))
    )


def port_number(name: str, value: Any, position: Position | None) -> int | None:
    """Return ``value`` as a port, None for nothing; raises InputError at ``position``."""
    if value is None:
        return None
    text = "" if isinstance(value, bool) else shown(value).strip("'")
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    step = f"write: {name}: 22, or leave it out"
    raise input_error(position, f"{name} must be a number from 1 to 65535, found {shown(value)}", next_step=step)


def address(name: str, value: Any, position: Position | None) -> str | None:
    """Return ``value`` as the name or address ssh is to reach, None for nothing; raises InputError."""
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list, bool)):
        raise input_error(position, f"{name} must be text, found {kind(value)}", next_step=TEXT)
    text = str(value)
    if isinstance(value, float):
        raise input_error(position, f"{name} must be text, found the number {text}", next_step="put quotes around it")
    if match := _HOST_AND_PORT.fullmatch(text):
        step = f"{name}: {match['host'].strip('[]')}, and ansible_port: {match['port']}"
        raise input_error(position, f"{name} is a host without a port, found {shown(text)}", next_step=step)
    if text.startswith("-") or any(mark in text for mark in "/@") or text.split() != [text]:
        step = f"write the bare name or address: {name}: 10.0.0.1; the user is ansible_user"
        raise input_error(position, f"{name} must be a host name or an IP address, found {shown(text)}", next_step=step)
    return text


def become_method(value: Any, position: Position | None) -> None:
    """Raise InputError unless ``value`` is sudo, the only supported method."""
    if value not in (None, "sudo", "ansible.builtin.sudo"):
        what = f"ansible_become_method {shown(value)} is not supported; known: sudo"
        raise input_error(position, what, next_step="leave it out, and let ansible_user use sudo")


def flag(name: str, value: Any, position: Position | None) -> bool:
    """Return ``value`` as a boolean, reading the words Ansible reads; raises InputError at ``position``."""
    word = str(value).strip().lower()
    if value is None or word in _FALSE:
        return False
    if word in _TRUE:
        return True
    raise input_error(
        position,
        f"{name} must be true or false, found {shown(value)}",
        suggestion=closest(word, _TRUE + _FALSE),
        next_step=f"write: {name}: true",
    )


def connection_kind(value: Any, position: Position | None) -> str:
    """Return ``ssh``, ``local`` or, in tests, ``memory`` for the value of ``ansible_connection``; raises InputError."""
    if value is None or value in SSH_KINDS:
        return "ssh"
    if value in LOCAL_KINDS:
        return "local"
    if value in CONNECTION_KINDS:
        return str(value)
    raise input_error(
        position,
        f"ansible_connection {shown(value)} is not supported; known: ssh, local",
        suggestion=closest(str(value), ("local", *SSH_KINDS)),
        next_step="leave it out for ssh",
    )
