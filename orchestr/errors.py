"""Every error orchestr raises, and the exit code each stands for.

    OrchestrError                    1   something failed
    ├── InputError                   2   an inventory, playbook, parameter or option is wrong: where, why, closest name
    ├── HostError                    1   one host's machinery broke (carries host, task, stderr tail)
    │   ├── UnreachableError         4   no connection, no login, connection lost
    │   │   └── HostKeyError         4   host key unknown or changed: both fingerprints, `orchestr trust`
    │   └── AgentError               1   connected, but the agent could not start or broke the protocol
    └── LockedError                  5   another run holds the host: names it

A task that fails is an event, not an exception; exceptions are for broken input or broken machinery.
"""

from __future__ import annotations

from pathlib import Path

EXIT_DONE, EXIT_FAILED, EXIT_INPUT, EXIT_CHANGES, EXIT_UNREACHABLE, EXIT_LOCKED, EXIT_INTERRUPTED = (
    0,
    1,
    2,
    3,
    4,
    5,
    130,
)


class OrchestrError(Exception):
    """Base of all; ``next_step`` is the next thing for the user to type or change."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.next_step}" if self.next_step else self.message


class InputError(OrchestrError):
    """Something the user wrote is wrong: ``file:line:column: message``, with the closest known name."""

    exit_code = EXIT_INPUT

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        column: int | None = None,
        suggestion: str | None = None,
        next_step: str = "",
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.file = str(file) if file is not None else None
        self.line = line
        self.column = column
        self.suggestion = suggestion

    def __str__(self) -> str:
        location = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{location}: {self.message}" if location else self.message
        if self.suggestion:
            text += f" (did you mean {self.suggestion!r}?)"
        return f"{text}\n  → {self.next_step}" if self.next_step else text


class HostError(OrchestrError):
    """One host's machinery broke; ``stderr`` is the tail of the other side's output."""

    def __init__(self, message: str, *, host: str = "", stderr: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.host = host
        self.stderr = stderr


class UnreachableError(HostError):
    """No connection, no login, or the connection was lost."""

    exit_code = EXIT_UNREACHABLE


class HostKeyError(UnreachableError):
    """The host's key is unknown or has changed; the message shows the fingerprints."""


class AgentError(HostError):
    """The host was reached, but the agent could not start there or broke the protocol."""


class LockedError(HostError):
    """Another run holds the lock of this host; the message says whose."""

    exit_code = EXIT_LOCKED
