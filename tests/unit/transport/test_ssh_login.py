"""Logging in with the configured credentials, and nothing else."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sshd_on_loopback import ReluctantAgent, Sshd, StartSshd, fingerprint, hang_up, make_key, make_security_key

from orchestr.errors import HostKeyError, UnreachableError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.secret import Secret
from orchestr.transport import ssh_login
from orchestr.transport.connect import connect

StartAgent = Callable[..., Path]


def assert_let_in(settings: ConnectionSettings) -> None:
    with closing(connect(settings)) as connection:
        assert connection.start(["echo", "in"]).read(10, 10) == b"in\n"


def refused(settings: ConnectionSettings) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        connect(settings)
    assert not isinstance(caught.value, HostKeyError)
    return caught.value


@pytest.mark.parametrize("kind", ["user", "rsa", "ecdsa"])
def test_each_kind_of_key_logs_in(start_sshd: StartSshd, kind: str) -> None:
    """ed25519, RSA (by SHA-2) and ECDSA keys are accepted."""
    server = start_sshd(user_key=kind)
    server.record()
    assert_let_in(server.settings())


def test_a_wrong_key_is_named_with_the_user(sshd: Sshd, keys: dict[str, Path]) -> None:
    """The error names the user, the key, and the next command."""
    error = refused(sshd.settings(key_file=str(keys["other"]), user="root"))
    assert f"root@127.0.0.1:{sshd.port} refused the login" in str(error)
    assert f"{keys['other']} ({fingerprint(keys['other'])})" in str(error)
    assert f"ssh-copy-id -i {keys['other']} -p {sshd.port} root@127.0.0.1" in error.next_step


def test_a_wrong_user_is_refused_once(sshd: Sshd) -> None:
    """A refused login is not tried again: it would only feed fail2ban."""
    refused(sshd.settings(user="nobody-here"))
    assert sshd.log().count("Invalid user nobody-here") == 1


def test_a_missing_key_file_is_said_to_be_missing(sshd: Sshd) -> None:
    """A path that does not exist is named."""
    assert "/nowhere/key does not exist" in str(refused(sshd.settings(key_file="/nowhere/key")))


def test_a_broken_key_file_is_named(sshd: Sshd, tmp_path: Path) -> None:
    """A file that is no key gives one clear message."""
    broken = tmp_path / "broken"
    broken.write_text("not a key\n")
    assert f"the key file {broken} cannot be used" in str(refused(sshd.settings(key_file=str(broken))))


def test_an_encrypted_key_without_an_agent_names_ssh_add(
    start_sshd: StartSshd, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for a passphrase; the error names the next command."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = start_sshd(user_key="encrypted")
    server.record()
    error = refused(server.settings())
    assert "is encrypted" in str(error)
    assert error.next_step == f"ssh-add {keys['encrypted']}"


def test_an_encrypted_key_is_used_through_the_agent(
    start_sshd: StartSshd, keys: dict[str, Path], agent: StartAgent
) -> None:
    """The agent that holds the very key of the file signs for it."""
    server = start_sshd(user_key="encrypted")
    server.record()
    server.configure(f"IdentityAgent {agent(keys['other'], keys['encrypted'], passphrase='open sesame')}")
    assert_let_in(server.settings())
    assert "Failed publickey" not in server.log()


@pytest.fixture
def crowded_agent(agent: StartAgent, keys: dict[str, Path], tmp_path: Path) -> Path:
    """An agent with more keys than sshd allows tries; the right one comes last."""
    return agent(*(make_key(tmp_path / f"extra{number}") for number in range(7)), keys["user"])


def test_a_named_key_keeps_a_crowded_agent_out(sshd: Sshd, crowded_agent: Path) -> None:
    """With a key file in the inventory the agent's other keys are never offered."""
    sshd.configure(f"IdentityAgent {crowded_agent}")
    assert_let_in(sshd.settings())
    assert "Failed publickey" not in sshd.log()


def test_identities_only_picks_from_a_crowded_agent(sshd: Sshd, crowded_agent: Path, tmp_path: Path) -> None:
    """A public key file is enough to say which of the agent's keys is meant."""
    only_public = tmp_path / "chosen.pub"
    only_public.write_text(Path(f"{sshd.user_key}.pub").read_text())
    sshd.configure(f"IdentityAgent {crowded_agent}\nIdentityFile {only_public}\nIdentitiesOnly yes")
    assert_let_in(sshd.settings(key_file=None))


def test_identities_only_leaves_the_rest_of_the_agent_alone(
    sshd: Sshd, keys: dict[str, Path], agent: StartAgent
) -> None:
    """IdentitiesOnly: a key that only the agent has is not offered, even if it would be let in."""
    sshd.configure(f"IdentityAgent {agent(keys['user'])}\nIdentityFile {keys['other']}\nIdentitiesOnly yes")
    error = refused(sshd.settings(key_file=None))
    assert fingerprint(keys["user"]) not in str(error)


def test_too_many_keys_of_an_agent_are_explained(sshd: Sshd, crowded_agent: Path) -> None:
    """sshd's "Too many authentication failures" is quoted, and the cure named."""
    sshd.configure(f"IdentityAgent {crowded_agent}\nIdentityFile none")
    error = refused(sshd.settings(key_file=None))
    assert "Too many authentication failures" in str(error)
    assert "ansible_ssh_private_key_file" in error.next_step


def test_an_agent_alone_is_enough(sshd: Sshd, keys: dict[str, Path], agent: StartAgent) -> None:
    """Without any key file the agent's keys are tried."""
    sshd.configure(f"IdentityAgent {agent(keys['other'], keys['user'])}\nIdentityFile none")
    assert_let_in(sshd.settings(key_file=None))


def test_a_dead_agent_is_no_obstacle_for_a_password(sshd: Sshd, tmp_path: Path) -> None:
    """The agent that does not answer is mentioned, and the server's methods; the password never is."""
    sshd.configure(f"IdentityAgent {tmp_path}/no-agent\nIdentityFile none")
    error = refused(sshd.settings(key_file=None, password=Secret("correct horse")))
    assert "does not answer" in str(error)
    assert "tried the password" in str(error)
    assert "the server accepts: publickey" in str(error)
    assert "correct horse" not in str(error)


def test_nothing_to_log_in_with_is_said(sshd: Sshd) -> None:
    """No key, no agent, no password: the error says so instead of blaming the server."""
    sshd.configure("IdentityAgent none\nIdentityFile none")
    assert "no key, agent or password is configured" in str(refused(sshd.settings(key_file=None)))


@pytest.fixture
def reluctant(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Run agents that refuse their first key, or fall silent at it; returns the socket."""
    agents: list[ReluctantAgent] = []

    def run(*held: Path, is_silent: bool = False) -> Path:
        address = tmp_path / f"reluctant{len(agents)}.sock"
        agents.append(ReluctantAgent(address, held, is_silent=is_silent))
        threading.Thread(target=agents[-1].serve, daemon=True).start()
        return address

    yield run
    for one in agents:
        hang_up(one.server)


def test_an_agent_that_refuses_one_key_is_asked_for_the_next(
    sshd: Sshd, keys: dict[str, Path], reluctant: Callable[..., Path]
) -> None:
    """The user says no to one key (ssh-add -c), and the next one is tried, as OpenSSH does."""
    sshd.configure(f"IdentityAgent {reluctant(keys['other'], keys['user'])}\nIdentityFile none")
    assert_let_in(sshd.settings(key_file=None))


def test_an_agent_that_refuses_its_only_key_is_named(
    sshd: Sshd, keys: dict[str, Path], reluctant: Callable[..., Path]
) -> None:
    """When nothing is left, the error says which key was not used and why."""
    sshd.configure(f"IdentityAgent {reluctant(keys['user'])}\nIdentityFile none")
    error = refused(sshd.settings(key_file=None))
    assert f"({fingerprint(keys['user'])}) was not used: key cannot be used for signing" in str(error)


def test_an_agent_that_falls_silent_is_given_up(
    sshd: Sshd, keys: dict[str, Path], reluctant: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late answer would be taken for the next one's, so nothing more is asked of that agent."""
    monkeypatch.setattr(ssh_login, "AGENT_TIMEOUT_S", 0.3)
    agent = reluctant(keys["other"], keys["user"], is_silent=True)
    sshd.configure(f"IdentityAgent {agent}\nIdentityFile none")
    error = refused(sshd.settings(key_file=None))
    assert "was not used: timed out" in str(error)
    assert fingerprint(keys["user"]) not in str(error)


def test_a_security_key_beside_a_usable_key_is_skipped(sshd: Sshd, keys: dict[str, Path], tmp_path: Path) -> None:
    """A FIDO key's file is passed over, and the next IdentityFile logs in."""
    token = make_security_key(tmp_path / "id_ed25519_sk")
    sshd.configure(f"IdentityAgent none\nIdentityFile {token}\nIdentityFile {keys['user']}")
    assert_let_in(sshd.settings(key_file=None))


def test_a_security_key_alone_is_named(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIDO key works through an agent only; the error says how to add it."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    token = make_security_key(tmp_path / "id_ed25519_sk")
    error = refused(sshd.settings(key_file=str(token)))
    assert f"the key file {token} is a key on a security token (FIDO)" in str(error)
    assert error.next_step == f"ssh-add {token}"


def test_an_agent_with_a_security_key_is_asked_for_the_others(
    sshd: Sshd, keys: dict[str, Path], reluctant: Callable[..., Path], tmp_path: Path
) -> None:
    """IdentitiesOnly with the token's file and another: the encrypted or absent one is no obstacle."""
    token = make_security_key(tmp_path / "id_ed25519_sk")
    sshd.configure(f"IdentityAgent {reluctant(keys['other'], keys['user'])}\nIdentityFile {token}")
    assert_let_in(sshd.settings(key_file=None))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "user"])
def test_a_key_in_pkcs8_format_logs_in(start_sshd: StartSshd, keys: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """The format of openssl genpkey, which paramiko does not read, is read for it."""
    server = start_sshd(user_key=kind)
    server.record()
    key = serialization.load_ssh_private_key(keys[kind].read_bytes(), None)
    file = tmp_path / "pkcs8"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    assert_let_in(server.settings(key_file=str(file)))


def test_a_public_key_is_called_that(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """KEY.pub named as the key: the error names the private one."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    error = refused(sshd.settings(key_file=f"{sshd.user_key}.pub"))
    assert "is a public key" in str(error)
    assert "encrypted" not in str(error)
    assert error.next_step == f"name the private key: {sshd.user_key}"


def test_a_key_of_putty_is_called_that(sshd: Sshd, tmp_path: Path) -> None:
    """A .ppk file: the error names the command that converts it."""
    file = tmp_path / "key.ppk"
    file.write_text("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n")
    error = refused(sshd.settings(key_file=str(file)))
    assert "PuTTY" in str(error)
    assert error.next_step.startswith(f"puttygen {file}")


def test_an_encrypted_key_beside_a_usable_one_is_skipped(
    sshd: Sshd, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked for its passphrase; the next IdentityFile logs in."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    sshd.configure(f"IdentityFile {keys['encrypted']}\nIdentityFile {keys['user']}")
    assert_let_in(sshd.settings(key_file=None))


def _ec_key(curve: ec.EllipticCurve) -> bytes:
    pem, traditional = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return ec.generate_private_key(curve).private_bytes(pem, traditional, serialization.NoEncryption())


def _cut(file: Path) -> bytes:
    first, *_, last = file.read_bytes().splitlines(keepends=True)
    return first + b"b3BlbnNzaC1rZXktdjEA\n" + last


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda keys: _ec_key(ec.SECP256K1()), "of a kind that SSH does not have"),
        (lambda keys: _cut(keys["user"]), "cannot be used"),
        (lambda keys: b"", "it is not a private key"),
        (lambda keys: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "it is not a private key"),
        (lambda keys: bytes(range(256)), "it is not a private key"),
    ],
    ids=["curve", "cut", "empty", "certificate", "binary"],
)
def test_a_file_that_no_key_can_be_made_of_is_named_and_passed_over(
    sshd: Sshd, keys: dict[str, Path], tmp_path: Path, make: Callable[[dict[str, Path]], bytes], reason: str
) -> None:
    """Alone it is named with its reason; before a usable key it is no obstacle."""
    file = tmp_path / "odd"
    file.write_bytes(make(keys))
    sshd.configure(f"IdentityAgent none\nIdentityFile {file}\nIdentityFile {keys['user']}")
    error = refused(sshd.settings(key_file=str(file)))
    assert f"the key file {file}" in str(error) and reason in str(error)
    assert "encrypted" not in str(error) and str(file) in error.next_step
    assert_let_in(sshd.settings(key_file=None))


def test_a_fifo_as_a_key_is_not_waited_for(sshd: Sshd, tmp_path: Path) -> None:
    """Nobody writes into it, and nobody knows when it ends."""
    fifo = tmp_path / "key"
    os.mkfifo(fifo)
    assert "not a regular file" in str(refused(sshd.settings(key_file=str(fifo))))


def test_a_key_after_its_curves_parameters_logs_in(start_sshd: StartSshd, tmp_path: Path) -> None:
    """As openssl ecparam -genkey writes it, and ssh-keygen reads it."""
    file, curve = tmp_path / "ec", ec.SECP256R1()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    file.write_bytes(parameters + _ec_key(curve))
    file.chmod(0o600)
    public_key = subprocess.run(["ssh-keygen", "-yf", str(file)], check=True, capture_output=True, text=True).stdout
    (tmp_path / "ec.pub").write_text(public_key)
    server = start_sshd(user_key="user")
    server.record()
    (server.folder / "authorized_keys").write_text(public_key)
    assert_let_in(server.settings(key_file=str(file)))
