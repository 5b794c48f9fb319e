"""The SSH transport against a whole machine: systemd, its own sshd, a private address."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from orchestr.errors import HostKeyError, UnreachableError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.transport.connect import connect
from orchestr.transport.host_key_records import scan

LAB = Path(__file__).resolve().parents[2] / "build" / "lab"
LAB1, LAB2 = "192.168.56.11", "192.168.56.12"


def settings(address: str = LAB1, *, known_hosts: Path = LAB / "known_hosts", config: str = "") -> ConnectionSettings:
    """Return the settings of a node; ``config`` is an ssh_config file instead of the user's own."""
    arguments = ("-F", config or "none", "-o", f"UserKnownHostsFile={known_hosts}")
    return ConnectionSettings(
        address, user="root", key_file=str(LAB / "id_ed25519"), ssh_common_args=arguments, connection="ssh"
    )


def test_a_command_runs_on_the_node(nodes: dict[str, str]) -> None:
    """Host key checked, key accepted, output and status brought back."""
    with closing(connect(settings())) as connection:
        channel = connection.start(["sh", "-c", "hostname; exit 3"])
        assert channel.read(100, 20) == b"lab1\n"
        assert channel.exit_status(10) == 3


def test_an_unknown_node_is_refused(nodes: dict[str, str], tmp_path: Path) -> None:
    """An empty known_hosts: refused, and orchestr trust named."""
    with pytest.raises(HostKeyError, match=r"orchestr trust INVENTORY --limit HOST"):
        connect(settings(known_hosts=tmp_path / "empty"))


def test_another_nodes_key_is_refused(nodes: dict[str, str], tmp_path: Path) -> None:
    """A key recorded for this address that is not its own: both fingerprints are shown."""
    [offered, *_] = scan(settings(), 20)
    impostor = tmp_path / "known_hosts"
    [other, *_] = scan(settings(LAB2), 20)
    impostor.write_text(f"{LAB1} {other.type} {other.base64}\n")
    with pytest.raises(HostKeyError) as caught:
        connect(settings(known_hosts=impostor))
    assert offered.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)


def test_megabytes_go_both_ways(nodes: dict[str, str]) -> None:
    """Ten megabytes each way at once over the node's real network."""
    sent = os.urandom(1024 * 1024) * 10
    with closing(connect(settings())) as connection:
        channel = connection.start(["head", "-c", str(len(sent))])
        writer = threading.Thread(target=channel.write, args=(sent,))
        writer.start()
        received = bytearray()
        while data := channel.read(1024 * 1024, 30):
            received += data
        writer.join(30)
        assert bytes(received) == sent


def test_one_node_leads_to_another(nodes: dict[str, str], tmp_path: Path) -> None:
    """ProxyJump: lab2 sees lab1 as the one who comes."""
    config = tmp_path / "ssh_config"
    known_hosts = LAB / "known_hosts"
    config.write_text(
        f"Host {LAB2}\n ProxyJump root@{LAB1}\n"
        f"Host *\n IdentityFile {LAB / 'id_ed25519'}\n UserKnownHostsFile {known_hosts}\n"
    )
    with closing(connect(settings(LAB2, config=str(config)), timeout_s=30)) as connection:
        channel = connection.start(["sh", "-c", 'echo "${SSH_CONNECTION%% *}"'])
        assert channel.read(100, 20).decode().strip() == LAB1


def test_a_port_behind_which_nothing_listens_is_unreachable(nodes: dict[str, str]) -> None:
    """A refused connection on a real address."""
    with pytest.raises(UnreachableError, match=r"refused the connection|did not answer"):
        connect(ConnectionSettings(LAB1, port=4, user="root", ssh_common_args=("-F", "none")), timeout_s=5)


def test_unknown_key_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    """A host nobody has vouched for is refused, its fingerprint shown, and the exact `orchestr trust` to type."""
    import orchestr

    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/site.yml").write_text("- {hosts: all, roles: [base]}\n")
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        "all:\n  vars:\n    ansible_user: root\n"
        f"    ansible_ssh_common_args: -o UserKnownHostsFile={tmp_path / 'none'} -o GlobalKnownHostsFile=/dev/null\n"
        "  hosts:\n    first: {ansible_host: 192.168.56.11}\n"
    )
    result = orchestr.plan(orchestr.load_inventory(inventory))
    error = result.hosts["first"].errors[0]
    assert result.exit_code == 4
    assert "SHA256:" in error["message"]
    assert f"orchestr trust {inventory} --limit first" in error["next_step"]
