"""What ssh_config says is taken from OpenSSH itself."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestr.errors import InputError, UnreachableError
from orchestr.transport import openssh_config
from orchestr.transport.openssh_answers import Answer
from orchestr.transport.openssh_config import Jump, configuration_file, jumps, resolve


def write(path: Path, text: str) -> tuple[str, str]:
    """Write a configuration and return the arguments that choose it."""
    path.write_text(text)
    return ("-F", str(path))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The command of every ``ssh -G`` that is started."""
    started: list[tuple[str, ...]] = []
    ask = openssh_config.ask

    def ask_and_note(host: str, command: tuple[str, ...]) -> Answer:
        started.append(command)
        return ask(host, command)

    monkeypatch.setattr(openssh_config, "ask", ask_and_note)
    return started


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


def test_ssh_is_asked_once_per_question(tmp_path: Path, processes: list[tuple[str, ...]]) -> None:
    """The same host and arguments cost one process, another user costs another."""
    arguments = write(tmp_path / "config", "")
    for user in ("a", "a", "b"):
        resolve("web", None, user, arguments)
    assert len(processes) == 2


def test_a_machine_without_ssh_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ssh program the user's settings are unknown: one error, before any connection."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InputError, match="no ssh on this machine") as caught:
        resolve("host-without-ssh", None, None, ())
    assert "apt-get install openssh-client" in caught.value.next_step


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("any", None)),
        (("-4",), ("inet", None)),
        (("-o", "AddressFamily=inet6", "-o", "BindAddress=::1"), ("inet6", "::1")),
    ],
)
def test_the_address_family_and_our_own_address_are_read(
    arguments: tuple[str, ...], expected: tuple[str, str | None]
) -> None:
    """AddressFamily and BindAddress of ssh_config, and their short options."""
    target = resolve("host-with-family", None, None, ("-F", "none", *arguments))
    assert (target.address_family, target.bind_address) == expected


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
    """OpenSSH passes -F to jump hosts."""
    assert configuration_file(arguments) == expected


def test_hosts_that_ssh_config_cannot_tell_apart_share_one_process(
    tmp_path: Path, processes: list[tuple[str, ...]]
) -> None:
    """Twenty-four hosts asked for at the same time cost one ssh, and every host gets its own name and address back."""
    (tmp_path / "more").write_text("# Host web\nHost *\n IdentitiesOnly yes\n HashKnownHosts yes\n")
    arguments = write(tmp_path / "config", f"Include {tmp_path}/more\nHost *\n Port 2200\n")
    names = [f"web{number}.example" for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        targets = list(pool.map(lambda name: resolve(name, None, "shared", arguments), names))
    assert len(processes) == 1
    assert [(target.name, target.hostname) for target in targets] == [(name, name) for name in names]
    assert {(target.port, target.identities_only) for target in targets} == {(2200, True)}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("Host b\n Port 2200\n", ()),
        ("Host * !a\n Port 2200\n", ()),
        ("match originalhost b\n Port 2200\n", ()),
        ("HostName %h.example\n", ()),
        ("Include {folder}/more\n", ()),
        ("", ("-o", "HostName=other")),
        ("", ("-o", "UserKnownHostsFile=/x/%h")),
        ("LogLevel QUIET\n", ("-q",)),
    ],
)
def test_hosts_that_something_may_tell_apart_are_asked_for_one_by_one(
    tmp_path: Path, processes: list[tuple[str, ...]], text: str, arguments: tuple[str, ...]
) -> None:
    """A setting that depends on the address, also in an included file or argument, makes ssh answer for each host."""
    (tmp_path / "more").write_text("Host=b\n Port 2200\n")
    chosen = write(tmp_path / "config", text.replace("{folder}", str(tmp_path)))
    for name in ("a", "b"):
        target = resolve(name, None, None, (*chosen, *arguments))
        alone = subprocess.run(["ssh", "-G", *chosen, *arguments, name], capture_output=True, text=True, check=True)
        assert f"hostname {target.hostname}\n" in alone.stdout
        assert f"port {target.port}\n" in alone.stdout
    assert len(processes) == 2


@pytest.mark.parametrize("address", ["Web.Example", "::1", "deploy@web", "web%h"])
def test_an_address_that_ssh_would_change_is_its_own_question(
    tmp_path: Path, processes: list[tuple[str, ...]], address: str
) -> None:
    """Capitals, IPv6, a user or a token in the address: ssh itself is asked."""
    arguments = write(tmp_path / "config", "")
    resolve("plain", None, None, arguments)
    resolve(address, None, None, arguments)
    assert len(processes) == 2
