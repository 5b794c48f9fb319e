"""Why an agent did not start: each cause is named with its next step, on real processes with a sudo of our own."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from orchestr.engine import bundle
from orchestr.engine.privilege import agent_command
from orchestr.engine.session import Session, SessionOptions
from orchestr.engine.start_errors import no_agent
from orchestr.errors import AgentError
from orchestr.inventory import ConnectionSettings
from orchestr.secret import Secret
from orchestr.transport.local import LocalChannel, LocalConnection

TO_COMMAND = 'while [ "$1" != -- ]; do [ "$1" = -p ] && prompt=$2; shift; done; shift'


@pytest.fixture
def bin_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory of PATH: it has python3 and the commands of a test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    for name in ("sh", "cat", "sleep", "stty"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def settings(**changes: object) -> ConnectionSettings:
    values = {"address": "web", "connection": "local", "user": "deploy", "become": True, **changes}
    return ConnectionSettings(**values)  # type: ignore[arg-type]


def start(given: ConnectionSettings) -> Session:
    session = Session("web", given, lambda _: LocalConnection(), SessionOptions("run"))
    session.open()
    return session


def failure(given: ConnectionSettings) -> AgentError:
    with pytest.raises(AgentError) as caught:
        start(given)
    assert caught.value.next_step
    return caught.value


def test_no_sudo_is_named(bin_directory: Path) -> None:
    """Without sudo on the host the error says so, not that python is missing."""
    error = failure(settings())
    assert error.message == "there is no sudo on the host"
    assert "apt-get install -y sudo" in error.next_step


@pytest.mark.parametrize(
    ("words", "message", "step"),
    [
        ("sudo: a password is required", "sudo asks deploy for a password", "ansible_become_password"),
        ("sudo: interactive authentication is required", "sudo asks deploy for a password", "ansible_become_password"),
        ("sudo: Ein Passwort ist notwendig", "sudo asks deploy for a password", "ansible_become_password"),
        ("sudo: sorry, you must have a tty to run sudo", "demands a terminal (requiretty)", "!requiretty"),
        ("deploy is not in the sudoers file.", "does not allow deploy to become root", "visudo"),
        ("Sorry, user deploy is not allowed to execute 'x' as root on web.", "does not allow deploy", "visudo"),
        ("sudo: I'm sorry deploy. I'm afraid I can't do that", "does not allow deploy to become root", "visudo"),
        ("sudo: Account or password is expired, reset your password and try again", "has expired", "chage -l deploy"),
        ("sudo: account validation failure, is your account locked?", "has expired", "chage -l deploy"),
        ("/etc/sudoers:31:9: syntax error", "sudo on the host cannot read its own rules", "visudo -c"),
        ("sudo: /etc/sudo.conf must be owned by uid 0", "lacks the right to become root", "nosuid"),
        ('sudo: The "no new privileges" flag is set, which prevents sudo from', "lacks the right", "nosuid"),
        ("sudo: unknown user: root", "there is no user root on the host", "ansible_become_user"),
        ("sudo: unable to resolve host web", "does not find the address of the host's own name", "/etc/hosts"),
        ("sudo: cannot allocate memory", "sudo started nothing for deploy", "time sudo -n true"),
    ],
)
def test_each_refusal_of_sudo_is_named(bin_directory: Path, words: str, message: str, step: str) -> None:
    """sudo's words, of either implementation, decide; those of a noisy profile before them do not."""
    put(bin_directory, "sudo", f"echo {shlex.quote(words)} >&2; exit 1")
    error = failure(settings())
    assert message in error.message
    assert step in error.next_step
    assert words in error.stderr


def test_sudo_speaks_english(bin_directory: Path) -> None:
    """sudo runs with LC_ALL=C, whatever the language of the login."""
    put(bin_directory, "sudo", '[ "$LC_ALL" = C ] && echo "sudo: sorry, you must have a tty to run sudo"; exit 1')
    assert "requiretty" in failure(settings()).message


def test_a_noisy_sudo_that_works_is_no_obstacle(bin_directory: Path) -> None:
    """Warnings before the command runs are skipped."""
    put(bin_directory, "sudo", f'echo "sudo: unable to resolve host web" >&2\n{TO_COMMAND}\nexec "$@"')
    with closing(start(settings())) as session:
        assert session.facts


ASKS = 'printf %s "{before}$prompt{after}" >&2; read -r word'


@pytest.mark.parametrize(("before", "after"), [("", ""), ("[sudo: ", "] Password: ")], ids=["sudo", "sudo-rs"])
def test_a_password_is_given_once(bin_directory: Path, before: str, after: str) -> None:
    """The right password lets the agent start; a wrong one is named, and not given again."""
    ask = ASKS.format(before=before, after=after)
    put(bin_directory, "sudo", f'{TO_COMMAND}\n{ask}\n[ "$word" = good ] || {{ {ask}; exit 1; }}\nexec "$@"')
    with closing(start(settings(become_password=Secret("good")))) as session:
        assert session.facts
    error = failure(settings(become_password=Secret("canary-bad")))
    assert error.message == "sudo did not accept the password of deploy"
    assert "ansible_become_password" in error.next_step
    assert "canary-bad" not in f"{error} {error.stderr}"


class Flood:
    """A host that goes on printing, whatever it is asked."""

    def __init__(self) -> None:
        self.size = 0

    def start(self, command: Sequence[str]) -> Flood:
        return self

    def read(self, size: int, timeout_s: float | None = None) -> bytes:
        self.size += size
        assert self.size < 4 << 20, "without an end"
        return b"y\n" * (size // 2)

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def exit_status(self, timeout_s: float = 1.0) -> int | None:
        return None


@pytest.mark.parametrize("password", [None, Secret("good")], ids=["plain", "password"])
def test_a_host_that_prints_without_end_is_given_up(password: Secret | None) -> None:
    """It costs a megabyte of memory, also while sudo's prompt is waited for."""
    flood = Flood()
    session = Session("web", settings(become_password=password), lambda _: flood, SessionOptions("run"))
    with pytest.raises(AgentError, match="started no command"):
        session.open()


def test_a_good_password_of_a_user_without_rights_is_not_called_wrong(bin_directory: Path) -> None:
    """sudo asks first and says afterwards that the user is not in the sudoers file."""
    words = "deploy is not in the sudoers file."
    put(bin_directory, "sudo", f"{TO_COMMAND}\n{ASKS.format(before='', after='')}\necho '{words}' >&2; exit 1")
    error = failure(settings(become_password=Secret("good")))
    assert "does not allow deploy to become root" in error.message


def test_a_missing_python_under_sudo_is_named(bin_directory: Path) -> None:
    """sudo lets us in, and then there is no python3."""
    put(bin_directory, "sudo", f'{TO_COMMAND}\nexec "$@"')
    (bin_directory / "python3").unlink()
    error = failure(settings())
    assert error.message == "there is no python3 on the host"
    assert "apt-get install" in error.next_step


def test_an_interpreter_may_be_a_command(bin_directory: Path) -> None:
    """``/usr/bin/env python3`` is found as a shebang line would find it."""
    with closing(start(settings(become=False, python="/usr/bin/env python3"))) as session:
        assert session.facts
    (bin_directory / "python3").unlink()
    error = failure(settings(become=False, python="/usr/bin/env python3"))
    assert error.message == "there is no /usr/bin/env python3 on the host"


@pytest.mark.parametrize("become", [False, True])
def test_an_interpreter_may_be_in_the_home(
    bin_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, become: bool
) -> None:
    """``~/`` is the home of the user that runs the agent, as a shell has it."""
    put(bin_directory, "sudo", f'{TO_COMMAND}\nHOME={tmp_path}/home\nexec "$@"')
    monkeypatch.setenv("HOME", str(tmp_path / ("elsewhere" if become else "home")))
    (tmp_path / "home/own").mkdir(parents=True)
    (tmp_path / "home/own/python").symlink_to(sys.executable)
    with closing(start(settings(become=become, python="~/own/python"))) as session:
        assert session.facts
    assert failure(settings(become=become, python="~/none")).message == "there is no ~/none on the host"


def test_an_old_python_is_named(bin_directory: Path) -> None:
    """Python 2 knows no -I."""
    (bin_directory / "python3").unlink()
    put(bin_directory, "python3", 'echo "Unknown option: -I" >&2; exit 2')
    assert "is Python 2, and 3.8 or newer is needed" in failure(settings(become=False)).message


class LoginShell(LocalConnection):
    """A host whose login shell is another program than sh, with the output of a profile."""

    def __init__(self, script: str) -> None:
        super().__init__()
        self._script = script

    def start(self, command: Sequence[str]) -> LocalChannel:
        return super().start(["sh", "-c", self._script, "sh", shlex.join(command)])


def open_through(script: str, given: ConnectionSettings) -> Session:
    session = Session("web", given, lambda _: LoginShell(script), SessionOptions("run"))
    session.open()
    return session


def test_a_noisy_profile_does_not_decide_the_error(bin_directory: Path) -> None:
    """A profile's "command not found" is not python's."""
    put(bin_directory, "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    noise = 'echo "/home/deploy/.bashrc: line 1: nvm: command not found" >&2; printf "no end of line"; eval "$1"'
    with pytest.raises(AgentError, match="sudo asks deploy for a password") as caught:
        open_through(noise, settings())
    assert "nvm" not in caught.value.stderr
    with closing(open_through(noise, settings(become=False))) as session:
        assert session.facts


def test_a_login_shell_that_lets_nobody_in_is_named() -> None:
    """nologin's words, and the command that gives the user a shell."""
    with pytest.raises(AgentError, match="login shell of deploy refuses logins") as caught:
        open_through("echo 'This account is currently not available.'; exit 1", settings())
    assert caught.value.next_step == "set a login shell that runs commands: chsh -s /bin/sh deploy"


def test_a_profile_that_ends_the_login_is_named() -> None:
    """No stage was reached: the error names the login shell."""
    with pytest.raises(AgentError, match=r"login shell of deploy started no command: .*\(exit status 4\)"):
        open_through("exit 4", settings())


@pytest.mark.parametrize("become", [False, True])
def test_any_login_shell_understands_the_command(become: bool) -> None:
    """One line without "!": csh takes no line breaks in quotes, and expands "!" even there. fish reads some escapes."""
    command, _ = agent_command(settings(become=become), bundle.loader(1234))
    line = shlex.join(command)
    assert "\n" not in line
    assert "!" not in line
    assert "\\\\" not in line and "\\'" not in line


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (b"bash: line 1: sudo: command not found", 127, "there is no sudo"),
        (b"/home/deploy/.bashrc: line 1: nvm: command not found\nsudo: a password is required", 1, "asks deploy"),
        (b"Unmatched quote.\nimport: Command not found.", 1, "login shell of deploy did not understand"),
        (b"Password change required but no TTY available.", 1, "the password of deploy has expired"),
        (b"This service allows sftp connections only.", 1, "login of deploy is restricted"),
        (b"rbash: line 1: /bin/sh: restricted: cannot specify `/'", 1, "the login of deploy is restricted"),
        (b"This system is restricted to staff.", 1, "the login shell of deploy started no command"),
        (b"", None, "login shell of deploy started no command: it said nothing for 30 s"),
    ],
)
def test_words_before_any_stage_are_understood(words: bytes, status: int | None, message: str) -> None:
    """What a login shell says by itself, before the first mark."""
    event = "said nothing for 30 s" if status is None else "ended before it began"
    assert message in no_agent(settings(), words, status, event).message
