"""How the agent becomes root: sudo without a password, or with one over stdin against a prompt nobody can guess."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from orchestr.agent.secret import mask
from orchestr.errors import AgentError

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Channel

PROMPT_TIMEOUT_S = 20.0
GRANTED = "orchestr-granted"


def agent_command(settings: ConnectionSettings, loader: str) -> tuple[list[str], str]:
    """Return the argument list that starts the agent, and the password prompt to answer ("" when none will come)."""
    # -I: imports nothing from the directory the agent starts in, the login's, where a user may have put an os.py.
    # Emptying sys.path in the loader would be too late: python 3.13 imports linecache before it runs the text of -c.
    python = [settings.python or "python3", "-S", "-I", "-c"]
    if not settings.become:
        return [*python, loader], ""
    user = settings.become_user or "root"
    if settings.become_password is None:
        return ["sudo", "-n", "-H", "-u", user, "--", *python, loader], ""
    prompt = f"orchestr-{secrets.token_hex(8)}:"
    # With a password the loader says first that it runs, so that the password never ends up as its input.
    granted = f"import os\nos.write(1,b'{GRANTED}\\n')\n" + loader
    return ["sudo", "-S", "-H", "-p", prompt, "-u", user, "--", *python, granted], prompt


def answer_password_prompt(channel: Channel, settings: ConnectionSettings, prompt: str, host: str) -> None:
    """Answer sudo's prompt once; return when the loader runs. Raises AgentError for a wrong password."""
    assert settings.become_password is not None
    seen = ""
    is_answered = False
    give_up = time.monotonic() + PROMPT_TIMEOUT_S
    while GRANTED + "\n" not in seen:
        try:
            data = channel.read(4096, max(0.1, give_up - time.monotonic()))
        except TimeoutError:
            raise AgentError("sudo did not answer within 20 s", host=host, stderr=seen[-500:]) from None
        seen += data.decode("utf-8", "replace")
        if seen.count(prompt) > 1 or (not data and is_answered):
            raise AgentError(
                f"sudo did not accept the password of {settings.user or 'the user'}",
                host=host,
                stderr=mask(seen.replace(prompt, ""), [settings.become_password.reveal()])[-500:].strip(),
                next_step="correct ansible_become_password in the inventory",
            )
        if not data:
            raise AgentError("sudo ended without asking for a password", host=host, stderr=seen[-500:].strip())
        if prompt in seen and not is_answered:
            channel.write(settings.become_password.reveal().encode("utf-8") + b"\n")
            is_answered = True
