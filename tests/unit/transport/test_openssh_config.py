"""What ssh_config says is taken from OpenSSH itself."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from orchestr.errors import UnreachableError
from orchestr.transport import openssh_config
from orchestr.transport.openssh_config import Jump, configuration_file, jumps, resolve


def write(path: Path, text: str) -> tuple[str, str]:
    """Write a configuration and return the arguments that choose it."""
    path.write_text(text)
    return ("-F", str(path))


def test_an_included_file_counts(tmp_path: Path) -> None:
    """Include, which paramiko ignores, is followed."""
    (tmp_path / "more").write_text("Host web\n HostName 10.1.2.3\n Port 2200\n User deploy\n")
    target = resolve("web", None, None, write(tmp_path / "config", f"Include {tmp_path}/more\n"))
    assert (target.hostname, target.port, target.user) == ("10.1.2.3", 2200, "deploy")


def test_the_inventory_wins_over_ssh_config(tmp_path: Path) -> None:
    """Port and user given are port and user used."""
    arguments = write(tmp_path / "config", "Host *\n Port 2200\n User deploy\n")
    target = resolve("web", 2022, "root", arguments)
    assert (target.port, target.user) == (2022, "root")


def test_match_blocks_apply_where_they_match(tmp_path: Path) -> None:
    """Match criteria are judged by OpenSSH: the other user's port is not ours."""
    arguments = write(tmp_path / "config", "Match user nobody\n Port 1\nMatch exec true\n Port 2200\n")
    assert resolve("web", None, "root", arguments).port == 2200


def test_proxy_jump_none_is_no_host(tmp_path: Path) -> None:
    """ProxyJump none means no jump."""
    arguments = write(tmp_path / "config", "Host *\n ProxyJump none\n")
    assert resolve("web", None, None, arguments).proxy_jump is None


def test_paths_and_tokens_are_expanded(tmp_path: Path) -> None:
    """~, %h, %r and ${NAME} in file names are put in."""
    text = "Host *\n User me\n IdentityFile ~/keys/%h-%r\n UserKnownHostsFile /x/%h\n IdentitiesOnly yes\n"
    target = resolve("web", None, None, write(tmp_path / "config", text))
    assert target.identity_files == (str(Path("~/keys/web-me").expanduser()),)
    assert target.user_known_hosts_files == ("/x/web",)
    assert target.identities_only


def test_a_wrong_option_is_one_clear_error(tmp_path: Path) -> None:
    """What ssh does not understand is reported with ssh's own words and where to correct it."""
    with pytest.raises(UnreachableError) as caught:
        resolve("web", None, None, write(tmp_path / "config", "Host *\n NoSuchOption yes\n"))
    assert "nosuchoption" in str(caught.value).lower()
    assert "ansible_ssh_common_args" in str(caught.value)


def test_ssh_is_asked_once_per_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same host and arguments cost one process, another user costs another."""
    asked: list[tuple[str, ...]] = []
    ask = openssh_config._ask

    def ask_and_note(host: str, command: tuple[str, ...]) -> str | None:
        asked.append(command)
        return ask(host, command)

    monkeypatch.setattr(openssh_config, "_ask", ask_and_note)
    arguments = write(tmp_path / "config", "")
    for user in ("a", "a", "b"):
        resolve("web", None, user, arguments)
    assert len(asked) == 2


def test_without_ssh_its_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the ssh program connects with OpenSSH's defaults."""
    monkeypatch.setenv("PATH", "/nonexistent")
    target = resolve("host-without-ssh", None, None, ())
    assert (target.hostname, target.port, target.user) == ("host-without-ssh", 22, getpass.getuser())
    assert target.user_known_hosts_files[0] == str(Path.home() / ".ssh/known_hosts")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bastion", [Jump("bastion", None, None)]),
        ("a,b:2222", [Jump("a", None, None), Jump("b", None, 2222)]),
        ("me@a:22, ssh://you@[::1]:2022/", [Jump("a", "me", 22), Jump("::1", "you", 2022)]),
        ("user@realm@host", [Jump("host", "user@realm", None)]),
    ],
)
def test_jumps_are_read_in_the_order_written(text: str, expected: list[Jump]) -> None:
    """A ProxyJump list comes apart into user, host and port, nearest first."""
    assert list(jumps(text)) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(("-F", "x"), ("-F", "x")), (("-v", "-Fx"), ("-F", "x")), (("-o", "User=a"), ())],
)
def test_only_the_configuration_file_is_handed_on(arguments: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """-F is what OpenSSH passes to jump hosts."""
    assert configuration_file(arguments) == expected
