"""The reason why an agent did not start, from the stage that the start reached and the host's words since then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestr.errors import AgentError, LockedError
from orchestr.redaction import redact

if TYPE_CHECKING:
    from orchestr.inventory import ConnectionSettings

#: The line that each stage of a start prints when it is reached, in their order.
MARKS = {"shell": "orchestr: the shell runs", "sudo": "orchestr: sudo let us in", "python": "orchestr: python runs"}
OUTPUT_LIMIT = 2000  # characters: the end of the host's output


def locked(host: str, holder: dict[str, Any]) -> LockedError:
    """Return the error for a host that another run holds; ``holder`` is that run's own record."""
    user = holder.get("who", "somebody")
    run, since = holder.get("run", "?"), holder.get("since", "?")
    return LockedError(
        f"another run holds this host: {user}, run {run}, since {since}",
        host=host,
        next_step="wait for it to end, or stop it there; the lock goes with it",
    )


class Cause(NamedTuple):
    """A cause of a failed start: the words it is known by, and the message and next step that go with it."""

    words: str
    message: str
    next_step: str


_PASSWORD = Cause(
    # the last ones are sudo's in other languages: not every sudo heeds LC_ALL
    r"password is required|interactive authentication is required|no tty present|terminal is required to read"
    r"|[Pp]asswort|mot de passe|contraseña|[Ss]enha|парол|hasło|密码|パスワード",
    "sudo asks {user} for a password",
    "type it when you run: -K, or set ansible_become_password in the inventory (!vault or !env)",
)
_WRONG_PASSWORD = Cause(
    "Sorry", "sudo did not accept the password of {user}", "correct ansible_become_password in the inventory"
)
_LOGIN_SHELL = "set a login shell that runs commands: chsh -s /bin/sh {user}"
_REFUSALS = (
    Cause(
        r"\bsudo: (?:command )?not found|sudo: No such file|sudo: Command not found",
        "there is no sudo on the host",
        "install it there: apt-get install -y sudo; or log in as root: ansible_user: root, ansible_become: false",
    ),
    Cause(
        r"must have a tty",
        "sudo on the host demands a terminal (requiretty), and there is none",
        "allow {user} to do without: echo 'Defaults:{user} !requiretty' > /etc/sudoers.d/orchestr (as root, there)",
    ),
    Cause(
        r"not in the sudoers file|is not allowed to (?:execute|run)|may not run sudo|I'm afraid I can't do that",
        "sudo on the host does not allow {user} to become {become_user}",
        "allow it there (visudo), or set ansible_user to a user that may",
    ),
    Cause(
        r"[Aa]ccount or password is expired|account has expired|account validation failure",
        "the account or password of {user} has expired on the host, says sudo",
        "see there, as root: chage -l {user}; a new password: passwd {user}",
    ),
    Cause(
        r"no valid sudoers sources|parse error in \S*sudoers|sudoers\S*:\d+:\d+: ",
        "sudo on the host cannot read its own rules",
        "see which line is wrong there, as root: visudo -c",
    ),
    Cause(
        r"effective uid is not 0|must be owned by uid 0|no new privileges",
        "sudo on the host lacks the right to become root",
        "see there: ls -l $(command -v sudo) shows root and -rwsr-xr-x, and its file system is mounted without nosuid",
    ),
    Cause(
        r"unknown user|user '?\S+'? not found|unknown uid",
        "there is no user {become_user} on the host",
        "correct ansible_become_user in the inventory",
    ),
)
_NO_ADDRESS = "it does not find the address of the host's own name"
_SLOW = Cause(  # a warning as well: a cause only where nothing else is one
    r"unable to resolve host",
    f"sudo started nothing for {{user}}: {_NO_ADDRESS}",
    'add the name there, as root: echo "127.0.1.1 $(hostname)" >> /etc/hosts',
)
_SUDO = (*_REFUSALS, _PASSWORD, _SLOW)
_PYTHON = (
    Cause(
        r"Unknown option: -I|orchestr: python \S+ is too old",
        "{python} on the host is Python {version}, and 3.8 or newer is needed",
        "install a newer one, name it in the inventory: ansible_python_interpreter: /usr/bin/python3.11",
    ),
    Cause(
        r"not found|No such file|cannot execute",
        "there is no {python} on the host",
        "install it there: apt-get install -y python3-minimal (or set ansible_python_interpreter)",
    ),
    Cause(
        r"[Pp]ermission denied",
        "{user} may not execute {python} on the host",
        "set ansible_python_interpreter to a python that it may execute, or correct the rights there",
    ),
)
_MISSING = Cause(".*", _PYTHON[1].message, _PYTHON[1].next_step)  # for exit status 127 with unknown words
_LOGIN = (
    Cause(
        r"Unmatched|Missing name for redirect|Illegal variable name",
        "the login shell of {user} did not understand the start command",
        _LOGIN_SHELL,
    ),
    Cause(r"not available|nologin", "the login shell of {user} refuses logins", _LOGIN_SHELL),
    Cause(
        r"[Pp]assword change required|required to change your password|password has expired",
        "the password of {user} has expired on the host, which lets nobody in before it is changed",
        "change it there: ssh -t {user}@{address}, or as root: passwd {user}",
    ),
    Cause(
        r": restricted: |restricted by rssh|sftp connections only|fatal: unrecognized command|git shell is not enabled",
        "the login of {user} is restricted to a few programs",
        "set ansible_user to a user with an ordinary shell; see ForceCommand in the host's sshd_config",
    ),
)


def no_agent(
    settings: ConnectionSettings,
    seen: bytes,
    exit_status: int | None,
    event: str,
    *,
    host: str = "",
    is_password_wrong: bool = False,
) -> AgentError:
    """Return the error for a host where no agent started; ``seen`` is all that came instead of its first words.

    ``event`` says how the start ended, for a cause that is not known: "ended before it began".
    """
    stage, output = _reached(seen)
    output = _without_prompt(redact(output))[-OUTPUT_LIMIT:]
    names = {
        "user": settings.user or "the user",
        "become_user": settings.become_user or "root",
        "python": settings.python or "python3",
        "version": _version_in(output),
        "address": settings.address,
    }
    if is_password_wrong and not _matching(_REFUSALS, output):
        cause = _WRONG_PASSWORD
    else:
        cause = _matching(_candidates(stage, settings, exit_status), output) or _unknown(stage, settings, event)
    is_known = bool(cause.words)
    status = "" if is_known or exit_status is None else f" (exit status {exit_status})"
    message = cause.message.format(**names) + status
    return AgentError(message, host=host, stderr=output, next_step=cause.next_step.format(**names))


def reason_for_slow_sudo(output: bytes) -> str:
    """Return why sudo took long, from its output before it let us in; without any, how to find out."""
    text = _without_prompt(redact(output.decode("utf-8", "replace")))
    if re.search(_SLOW.words, text):
        return f"{_NO_ADDRESS}; {_SLOW.next_step}"
    last = text.splitlines()[-1:]
    return last[0][-OUTPUT_LIMIT:] if last else "try it there: time sudo -n true; LDAP and sssd are common causes"


def _without_prompt(text: str) -> str:
    return re.sub(r"orchestr-[0-9a-f]{16}:", "", text).strip()


def _reached(seen: bytes) -> tuple[str, str]:
    """Return the last stage reached, "" before the first, and the text since then."""
    text = "\n" + seen.decode("utf-8", "replace").replace("\r\n", "\n")
    for stage in reversed(MARKS):
        _, mark, after = text.rpartition(f"\n{MARKS[stage]}\n")
        if mark:
            return stage, after.strip()
    return "", text.strip()


def _candidates(stage: str, settings: ConnectionSettings, exit_status: int | None) -> Sequence[Cause]:
    """Return the causes that may end a start after ``stage``; all of them when no stage was reached."""
    if stage == "python":
        return _PYTHON[:1]
    if stage == "sudo" or (stage == "shell" and not settings.become):
        return (*_PYTHON, _MISSING) if exit_status == 127 else _PYTHON
    if stage == "shell":
        return _SUDO
    missing = (_MISSING,) if exit_status == 127 and not settings.become else ()
    return (*_LOGIN, *(_SUDO if settings.become else ()), *_PYTHON[:1], *(_PYTHON[1:] if missing else ()), *missing)


def _matching(causes: Sequence[Cause], output: str) -> Cause | None:
    return next((cause for cause in causes if re.search(cause.words, output)), None)


def _unknown(stage: str, settings: ConnectionSettings, event: str) -> Cause:
    """Return the cause for unknown output, named after the stage."""
    if stage == "shell" and settings.become:
        step = "try it there, as {user}: time sudo -n true; a host name that does not resolve, LDAP or sssd delay sudo"
        return Cause("", f"sudo started nothing for {{user}}: it {event}", step)
    if stage == "python":
        return Cause("", f"the agent {event}", "look at the output above, and at memory and limits on the host")
    if stage == "":
        step = "try: ssh {user}@{address} true; look for a shell such as /bin/false, ForceCommand, a profile that exits"
        return Cause("", f"the login shell of {{user}} started no command: it {event}", step)
    return Cause("", f"the agent {event}", "try it there: {python} -c 'print(1)'")


def _version_in(output: str) -> str:
    version = re.search(r"orchestr: python (\S+) is too old", output)
    return version[1] if version else "2"
