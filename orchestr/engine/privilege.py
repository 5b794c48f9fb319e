"""The command that starts the agent: through the login shell, through sudo where the inventory says so, to python.

Each stage prints a mark on a line of its own when it is reached. So an error names the stage that failed, and the
output of a noisy profile is not taken for that of sudo or python.
"""

from __future__ import annotations

import secrets
import shlex
import time
from typing import TYPE_CHECKING

from orchestr.engine.preamble import PREAMBLE_LIMIT
from orchestr.engine.start_errors import MARKS, no_agent

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings
    from orchestr.transport.base import Channel

PROMPT_TIMEOUT_S = 30.0
# /bin/sh, for the login shell may be any: it gets words only, on one line (csh takes no other), without "!" (csh), and
# without a backslash before a backslash or quote (fish reads these, in single quotes too).
_SHELL = r'printf "\n%s\n" "$1"; shift; exec "$@"'
# The same for a python of the home, whose path from there is the next word.
_SHELL_AT_HOME = r'printf "\n%s\n" "$1"; python=$HOME/$2; shift 2; exec "$python" "$@"'
# sudo's words decide the error, so they must be the English ones; the agent gives its children a locale of its own.
_SHELL_BEFORE_SUDO = r'printf "\n%s\n" "$1"; shift; LC_ALL=C; export LC_ALL; exec "$@"'


def agent_command(settings: ConnectionSettings, loader: str) -> tuple[list[str], str]:
    """Return the argument list that starts the agent, and the password prompt to answer ("" when none will come)."""
    # -I: imports nothing from the directory the agent starts in, the login's, where a user may have put an os.py.
    # Emptying sys.path in the loader would be too late: python 3.13 imports linecache before it runs the text of -c.
    text = f"import os\nos.write(1,('%c{MARKS['python']}%c'%(10,10)).encode())\n{loader}"
    words = interpreter(settings)
    shell = _SHELL_AT_HOME if words[0].startswith("~/") else _SHELL
    python = [words[0].removeprefix("~/"), *words[1:], "-S", "-I", "-c", f"exec({text!r})"]
    if not settings.become:
        return ["/bin/sh", "-c", shell, "sh", MARKS["shell"], *python], ""
    prompt = "" if settings.become_password is None else f"orchestr-{secrets.token_hex(8)}:"
    sudo = ["sudo", *(["-S", "-p", prompt] if prompt else ["-n"]), "-H", "-u", settings.become_user or "root", "--"]
    as_user = ["/bin/sh", "-c", shell, "sh", MARKS["sudo"], *python]
    return ["/bin/sh", "-c", _SHELL_BEFORE_SUDO, "sh", MARKS["shell"], *sudo, *as_user], prompt


def interpreter(settings: ConnectionSettings) -> list[str]:
    """Return the words of the host's python: one path, or a command such as ``/usr/bin/env python3``."""
    return shlex.split(settings.python or "") or ["python3"]


def answer_password_prompt(channel: Channel, settings: ConnectionSettings, prompt: str, host: str) -> bytes:
    """Answer sudo's prompt once, and return the output until python runs, which alone may get the program.

    Raises AgentError, for a wrong password too: sudo then asks a second time.
    """
    assert settings.become_password is not None
    seen = b""
    is_answered = False
    give_up = time.monotonic() + PROMPT_TIMEOUT_S
    granted = f"\n{MARKS['python']}\n".encode()
    asked = prompt.encode()
    while granted not in seen:
        try:
            data = channel.read(4096, max(0.1, give_up - time.monotonic()))
        except TimeoutError:
            raise no_agent(settings, seen, None, f"did not start within {PROMPT_TIMEOUT_S:g} s", host=host) from None
        seen += data
        if seen.count(asked) > 1:
            raise no_agent(settings, seen, None, "did not start", host=host, is_password_wrong=True)
        if not data or len(seen) > PREAMBLE_LIMIT:
            is_wrong = is_answered and f"\n{MARKS['sudo']}\n".encode() not in seen
            raise no_agent(
                settings, seen, channel.exit_status(), "did not start", host=host, is_password_wrong=is_wrong
            )
        if asked in seen and not is_answered:
            channel.write(settings.become_password.reveal().encode("utf-8") + b"\n")
            is_answered = True
    return seen
