"""The way to a host through other machines."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sshd_on_loopback import Sshd, StartSshd, free_port, public

from orchestr.errors import HostKeyError, UnreachableError
from orchestr.transport.connect import connect
from orchestr.transport.host_key_records import scan
from orchestr.transport.openssh_config import resolve
from orchestr.transport.ssh_route import route


def configure_jumps(target: Sshd, hops: dict[str, Sshd], jumps: str) -> None:
    """Let the target's ssh_config name the hops, each with its own port and key file."""
    for name, hop in hops.items():
        target.configure(f"Host {name}\n HostName 127.0.0.1\n Port {hop.port}\n IdentityFile {hop.user_key}\n")
        target.known_hosts.write_text(
            target.known_hosts.read_text() + f"[127.0.0.1]:{hop.port} {public(hop.host_key)}\n"
        )
    target.configure(f"Host 127.0.0.1\n ProxyJump {jumps}\n")


def test_two_hops_are_passed_in_the_order_written(start_sshd: StartSshd) -> None:
    """Each hop lets us on to the next one only, so any other order fails."""
    target = start_sshd()
    second = start_sshd(f"PermitOpen 127.0.0.1:{target.port}")
    first = start_sshd(f"PermitOpen 127.0.0.1:{second.port}")
    target.record()
    configure_jumps(target, {"first": first, "second": second}, "first,second")
    with closing(connect(target.settings())) as connection:
        channel = connection.start(["echo", "through"])
        assert channel.read(100, 10) == b"through\n"
    assert [server.log().count("Accepted publickey") for server in (first, second, target)] == [1, 1, 1]


def test_a_hop_with_an_unknown_key_is_refused(start_sshd: StartSshd) -> None:
    """Host keys are checked on the way too, and the hop is named."""
    target, hop = start_sshd(), start_sshd()
    configure_jumps(target, {"hop": hop}, "hop")
    target.known_hosts.write_text("")
    target.record()
    with pytest.raises(HostKeyError, match=f":{hop.port}.* is unknown"):
        connect(target.settings())


def test_a_hop_that_does_not_lead_on_is_said_to(start_sshd: StartSshd) -> None:
    """A refusal by the hop names hop and target."""
    target = start_sshd()
    hop = start_sshd("PermitOpen none")
    target.record()
    configure_jumps(target, {"hop": hop}, "hop")
    with pytest.raises(UnreachableError, match=f":{hop.port} does not connect on to 127.0.0.1 port {target.port}"):
        connect(target.settings())


def test_keys_are_scanned_through_hops(start_sshd: StartSshd) -> None:
    """orchestr trust reaches a host behind a bastion the same way."""
    target, hop = start_sshd(), start_sshd()
    configure_jumps(target, {"hop": hop}, "hop")
    assert [key.type for key in scan(target.settings(), 10)] == ["ssh-ed25519"]


def test_a_proxy_command_carries_the_connection(sshd: Sshd) -> None:
    """ProxyCommand runs with its tokens put in."""
    relay = sshd.folder / "relay.py"
    relay.write_text(
        "import socket, sys, threading, os\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): s.sendall(data)\n"
        "    os._exit(0)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536): os.write(1, data)\n"
    )
    sshd.configure(f"Host 127.0.0.1\n ProxyCommand python3 {relay} %h %p\n")
    with closing(connect(sshd.settings())) as connection:
        assert connection.start(["echo", "relayed"]).read(100, 10) == b"relayed\n"


def test_a_proxy_command_that_fails_is_quoted(sshd: Sshd) -> None:
    """What the command said before it died is in the error."""
    sshd.configure("Host 127.0.0.1\n ProxyCommand sh -c 'echo no way there >&2; exit 1'\n")
    with pytest.raises(UnreachableError, match="no way there"):
        connect(sshd.settings())


def test_a_circle_of_jumps_is_refused(tmp_path: Path) -> None:
    """A ProxyJump for every host, the jump host included, is an error and no endless loop."""
    config = tmp_path / "config"
    config.write_text("Host *\n ProxyJump bastion\n")
    arguments = ("-F", str(config))
    with pytest.raises(UnreachableError, match="circle"):
        route(resolve("web", None, None, arguments), arguments)


def test_the_first_hops_own_jump_is_followed(tmp_path: Path) -> None:
    """A bastion behind a bastion needs no list."""
    config = tmp_path / "config"
    config.write_text("Host web\n ProxyJump inner\nHost inner\n ProxyJump outer\n")
    arguments = ("-F", str(config))
    hops = route(resolve("web", None, None, arguments), arguments)
    assert [hop.name for hop in hops] == ["outer", "inner", "web"]


def test_the_target_may_be_an_ipv6_address(start_sshd: StartSshd) -> None:
    """An IPv6 literal is dialled, and its record is [address]:port."""
    port = free_port()
    server = start_sshd(f"ListenAddress [::1]:{port}")
    server.record(name=f"[::1]:{port}")
    with closing(connect(server.settings(address="::1", port=port))) as connection:
        assert connection.start(["echo", "six"]).read(100, 10) == b"six\n"
