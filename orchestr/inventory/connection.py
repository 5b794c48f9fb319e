"""Read a host's connection variables into `ConnectionSettings`."""

from __future__ import annotations

import os
import shlex
from typing import Any, cast

from orchestr.errors import InputError
from orchestr.inventory.marked import OMIT
from orchestr.inventory.position import Position, input_error, kind
from orchestr.inventory.settings import ConnectionKind, ConnectionSettings
from orchestr.inventory.variable_names import TEXT, address, become_method, connection_kind, flag, port_number
from orchestr.secret import Secret, redact, reveal
from orchestr.templating.values import Scope

# The same setting may have several names; as in Ansible's ssh plugin, the first one present decides.
_ADDRESS = ("ansible_host", "ansible_ssh_host")
_PORT = ("ansible_port", "ansible_ssh_port")
_USER = ("ansible_user", "ansible_ssh_user")
_KEY_FILE = ("ansible_ssh_private_key_file", "ansible_private_key_file")
_PASSWORD = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_BECOME_PASSWORD = ("ansible_become_password", "ansible_become_pass")
_FIND_PYTHON = ("auto", "auto_silent", "auto_legacy", "auto_legacy_silent")


def connection_settings(scope: Scope, host: str) -> ConnectionSettings:
    """Return the connection settings of ``host``; ``scope`` has its names. Raises InputError at a bad variable."""
    variables = _Variables(scope)
    try:
        return _settings(variables, host)
    except InputError as error:  # it may quote a password that was written in the wrong place
        error.message = redact(error.message, variables.opened)
        raise


def _settings(variables: _Variables, host: str) -> ConnectionSettings:
    become = variables.raw("ansible_become")
    become_method(variables.raw("ansible_become_method"), variables.position("ansible_become_method"))
    return ConnectionSettings(
        address=_address(variables, host),
        port=_port(variables),
        user=variables.text(*_USER),
        key_file=_expand_path(variables.text(*_KEY_FILE)),
        password=variables.secret(*_PASSWORD),
        become=flag("ansible_become", become, variables.position("ansible_become")),
        become_user=variables.text("ansible_become_user") or "root",
        become_password=variables.secret(*_BECOME_PASSWORD),
        connection=_connection(variables),
        python=_python(variables),
        ssh_common_args=variables.words("ansible_ssh_common_args"),
        ssh_extra_args=variables.words("ansible_ssh_extra_args"),
    )


class _Variables:
    """One host's variables, rendered only where a connection needs them."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.opened: list[str] = []

    def position(self, name: str) -> Position | None:
        return self._scope.position(name)

    def present(self, names: tuple[str, ...]) -> str | None:
        for name in names:
            if self._scope.has_variable(name):
                return name
        return None

    def raw(self, name: str) -> Any:
        """Return the rendered value, a Secret opened; None when the host has no such variable."""
        value = self._scope.value(name) if self._scope.has_variable(name) else None
        value = None if value is OMIT else value
        if isinstance(value, Secret):
            self.opened.append(value.reveal())
        return reveal(value)

    def text(self, *names: str) -> str | None:
        name = self.present(names)
        value = self.raw(name) if name else None
        if value is None or value == "":
            return None
        if isinstance(value, (dict, list, bool)):
            raise input_error(self.position(name or ""), f"{name} must be text, found {kind(value)}", next_step=TEXT)
        self._refuse_changed(name or "", value)
        return str(value)

    def _refuse_changed(self, name: str, value: Any) -> None:
        """Raise InputError where the text of a value would not be the written one; it may be a password."""
        written = self._scope.text(name)
        if written is not None and written != str(value):
            message = f"{name}: a text is expected, and YAML reads it as {kind(value)}"
            raise input_error(self.position(name), message, next_step="put quotes around it")

    def secret(self, *names: str) -> Secret | None:
        name = self.present(names)
        value = self._scope.value(name) if name else None
        if value is OMIT:
            return None
        if value is None or isinstance(value, Secret):
            return value
        self._refuse_changed(name or "", value)
        return Secret(str(value))

    def words(self, name: str) -> tuple[str, ...]:
        text = self.text(name)
        if not text:
            return ()
        try:
            return tuple(shlex.split(text))
        except ValueError as problem:
            what = f"{name} can't be split into words: {str(problem).lower()}"
            raise input_error(self.position(name), what, next_step="close the quotes, as in a shell") from None


def _address(variables: _Variables, host: str) -> str:
    name = variables.present(_ADDRESS)
    return (address(name, variables.raw(name), variables.position(name)) if name else None) or host


def _port(variables: _Variables) -> int | None:
    name = variables.present(_PORT)
    return port_number(name, variables.raw(name), variables.position(name)) if name else None


def _connection(variables: _Variables) -> ConnectionKind:
    name = "ansible_connection"
    return cast(ConnectionKind, connection_kind(variables.raw(name), variables.position(name)))


def _python(variables: _Variables) -> str | None:
    """Return the interpreter as it is written: a path, or a command whose words can be told."""
    name = "ansible_python_interpreter"
    value = variables.text(name)
    return value if variables.words(name) and value not in _FIND_PYTHON else None


def _expand_path(path: str | None) -> str | None:
    return os.path.expanduser(path) if path else None  # noqa: PTH111 - ssh_config wants the text, "./" kept
