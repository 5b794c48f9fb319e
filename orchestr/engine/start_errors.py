"""Why an agent did not start, made out of what the host said instead of the agent's first words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestr.agent.secret import mask
from orchestr.errors import AgentError, LockedError

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings


def locked(host: str, holder: dict[str, Any]) -> LockedError:
    """Return the error for a host that another run holds, from what its holder wrote about itself."""
    who = holder.get("who", "somebody")
    run, since = holder.get("run", "?"), holder.get("since", "?")
    return LockedError(
        f"another run holds this host: {who}, run {run}, since {since}",
        host=host,
        next_step="wait for it to end, or stop it there; the lock goes with it",
    )


def no_agent(settings: ConnectionSettings, seen: bytes, exit_status: int | None, what: str) -> AgentError:
    """Return the error for a host where the agent did not start, from what was said instead."""
    said = seen.decode("utf-8", "replace").strip()[-2000:]
    if settings.become_password is not None:
        said = mask(said, [settings.become_password.reveal()])
    python = settings.python or "python3"
    is_python_2 = "Unknown option: -I" in said
    if is_python_2 or ("is too old" in said and "orchestr: python" in said):
        found = "2" if is_python_2 else said.rpartition("orchestr: python")[2].split()[0]
        return AgentError(
            f"{python} there is Python {found}, and 3.8 or newer is needed",
            stderr=said,
            next_step="install a newer one, name it in the inventory: ansible_python_interpreter: /usr/bin/python3.11",
        )
    if exit_status == 127 or "not found" in said or "No such file" in said:
        return AgentError(
            f"there is no {python} on the host",
            stderr=said,
            next_step="install it there: apt-get install -y python3-minimal (or set ansible_python_interpreter)",
        )
    if "password is required" in said or "no tty present" in said:
        return AgentError(
            f"sudo asks {settings.user or 'the user'} for a password",
            stderr=said,
            next_step="give ansible_become_password in the inventory (!vault or !env), or allow sudo without one",
        )
    return AgentError(f"the agent {what} (exit status {exit_status})", stderr=said)
