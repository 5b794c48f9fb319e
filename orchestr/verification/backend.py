"""testinfra's commands, carried by the agent's session of the run: one connection per host, its key verified."""

from __future__ import annotations

import itertools
import shlex
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
import testinfra.backend  # type: ignore[import-untyped]  # it has annotations, but no marker that says so
from testinfra.backend.base import BaseBackend, CommandResult  # type: ignore[import-untyped]
from testinfra.host import Host  # type: ignore[import-untyped]

from orchestr import events
from orchestr.agent.resource import Task
from orchestr.errors import HostError
from orchestr.resources.commands import Command

if TYPE_CHECKING:
    from orchestr.engine.fleet import Fleet
    from orchestr.events import Consumer

COMMAND_TIMEOUT_S = 60.0
_current: ContextVar[Sessions] = ContextVar("orchestr_sessions")


class Sessions:
    """The sessions that checks may use; ``host("lk1")`` is testinfra's Host for one of them."""

    def __init__(self, fleet: Fleet, emit: Consumer) -> None:
        self._fleet, self._emit = fleet, emit
        self._hosts: dict[str, Host] = {}
        self._count = itertools.count(1)
        self.printed = ""  # by the last command

    def use(self) -> None:
        """Make these the sessions that ``testinfra.get_host("orchestr://NAME")`` finds in this thread."""
        testinfra.backend.BACKENDS["orchestr"] = f"{__name__}.{OrchestrBackend.__name__}"
        _current.set(self)

    def host(self, name: str) -> Host:
        """Return testinfra's Host, the same one each time, so that its findings are kept."""
        if name not in self._hosts:
            backend = OrchestrBackend(name, sessions=self)
            self._hosts[name] = Host(backend)
            backend.set_host(self._hosts[name])
        return self._hosts[name]

    def run(self, name: str, argv: tuple[str, ...]) -> dict[str, Any]:
        """Run a command on a host and return exit, stdout and stderr; skip the check when the host is lost."""
        session = self._fleet.session(name)
        if session is None:
            pytest.skip(f"{name} is not connected")
        outcome: dict[str, Any] = {}

        def take(message: dict[str, Any]) -> None:
            if message["type"] == "result":
                outcome.update(message.get("outcome") or {"error": message.get("error", {})})

        command = Command(argv, stream=False, check_exit=False)
        task = Task(command, timeout_s=COMMAND_TIMEOUT_S, id=f"check:{next(self._count)}")
        try:
            session.run_tasks([task], check=False, on_message=take)
        except HostError as error:
            self._fleet.drop(name)
            self._emit(events.HostUnreachable(name, error.message, error.next_step, error.stderr, error.exit_code))
            pytest.skip(f"{name} was lost")
        if "exit" not in outcome:
            raise RuntimeError(f"{shlex.join(argv)}: {outcome.get('error', {}).get('message', 'it gave no result')}")
        self.printed = str(outcome["stdout"] or outcome["stderr"])
        return outcome


class OrchestrBackend(BaseBackend):  # type: ignore[misc]  # its base is untyped, see above
    """``orchestr://NAME``: a host of the inventory that is being verified."""

    NAME = "orchestr"

    def __init__(self, hostname: str, *args: Any, sessions: Sessions | None = None, **kwargs: Any) -> None:
        super().__init__(hostname, *args, **kwargs)
        self._sessions = sessions if sessions is not None else _current.get()

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        text = self.get_command(command, *args)
        done = self._sessions.run(self.hostname, ("/bin/sh", "-c", text))
        return self.result(int(done["exit"]), text.encode(), str(done["stdout"]), str(done["stderr"]))

    def get_encoding(self) -> str:
        """The agent decodes as UTF-8 already; asking the host for its locale would cost a command."""
        return "utf-8"
