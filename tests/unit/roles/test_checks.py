"""What the roles' checks understand: LiveKit's answers, its list of nodes, and what hosts tell of their ports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from orchestr.planning.role import load_role
from orchestr.resources.firewall.firewall import Rule
from orchestr.secret import Secret
from orchestr.verification.inside import is_insider
from tests.unit.roles.conftest import ROOT

# `livekit-server list-nodes` of v1.8 (cmd/server/commands.go with olekukonko/tablewriter), its middle columns left out.
REAL_LIST = """\
+-----------------+---------------+--------+------+-----------------+---------+---------------------+
|       ID        |  IP ADDRESS   | REGION | CPUS |    CPU USAGE    |  ROOMS  |     STARTED AT      |
|                 |               |        |      |    LOAD AVG     |         |     UPDATED AT      |
+-----------------+---------------+--------+------+-----------------+---------+---------------------+
| ND_9fXzVYhJqP3a | 203.0.113.12  |   eu   |    4 |          5.00 % |       2 | 2026-11-20 08:00:00 |
|    (SERVING)    |               |        |      |  0.10 0.20 0.30 |         | 2026-11-21 02:09:32 |
+-----------------+---------------+--------+------+-----------------+---------+---------------------+
| ND_2bKwRm8TcQ7d |  2001:db8::13 |        |    4 |          0.00 % |       0 | 2026-11-20 08:01:00 |
| (SHUTTING_DOWN) |               |        |      |  0.00 0.00 0.00 |         | 2026-11-21 02:09:31 |
+-----------------+---------------+--------+------+-----------------+---------+---------------------+
"""
STAND_INS_LIST = """\
+---------------------------+---------------+--------+---------+-------+---------------------+---------------------+
| ID                        | IP ADDRESS    | REGION | STATE   | ROOMS | STARTED AT          | UPDATED AT          |
+---------------------------+---------------+--------+---------+-------+---------------------+---------------------+
| ND_45483c6b7804 (SERVING) | 192.168.56.12 |        | SERVING | 0     | 2026-11-21 02:05:07 | 2026-11-21 02:09:32 |
+---------------------------+---------------+--------+---------+-------+---------------------+---------------------+
"""


def module(role: str, name: str) -> ModuleType:
    load_role(role, ROOT)
    return importlib.import_module(f"orchestr_roles.{role}.{name}")


@pytest.fixture
def tokens() -> Iterator[Any]:
    """LiveKit's side of access tokens, as the lab's stand-in checks them."""
    place = str(ROOT / "tests/lab/images/shared")
    sys.path.insert(0, place)
    yield importlib.import_module("tokens")
    sys.path.remove(place)


def shell(**answers: str) -> Any:
    """Return a host whose commands answer with a text, found by the command's first word."""

    def run(command: str, *arguments: str) -> Any:
        text = answers.get(command.split()[0], "")
        return SimpleNamespace(rc=0, stdout=text, stderr="")

    file = SimpleNamespace(content_string=answers.get("file", ""))
    return SimpleNamespace(run=run, check_output=lambda *words: run(*words).stdout, file=lambda path: file)


def field(number: int, content: bytes | str) -> bytes:
    """Return a field with a length in protobuf's wire format, shorter than 128 bytes."""
    data = content.encode() if isinstance(content, str) else content
    return bytes([number << 3 | 2, len(data)]) + data


def test_livekit_accepts_the_checks_tokens(tokens: Any) -> None:
    """A token the checks make lets exactly one identity into one room, and holds only with the right secret."""
    made = module("livekit", "joining").access_token("key", Secret("s" * 32), "room", "me")
    claims = tokens.verify(made, {"key": "s" * 32})
    assert (claims["sub"], claims["video"]) == ("me", {"room": "room", "roomJoin": True})
    assert claims["exp"] - claims["nbf"] < 300
    with pytest.raises(tokens.InvalidToken):
        tokens.verify(made, {"key": "x" * 32})


def test_the_real_servers_answer_to_a_join_is_understood() -> None:
    """From LiveKit's protobuf come who else is in the room and the node it lives on; other fields are passed over."""
    participant = field(1, "PA_1") + field(2, "me")
    other = field(1, "PA_2") + field(2, "somebody") + b"\x18\x01"  # state: JOINED, a number
    server = b"\x08\x00" + field(2, "1.8.4") + b"\x18\x0f" + field(5, "ND_home")
    join = field(1, field(1, "RM_1")) + field(2, participant) + field(3, other) + b"\x30\x01\x51" + b"\xff" * 8
    message = field(1, join + field(12, server))
    answer = module("livekit", "joining").parse_join(message)
    assert (answer.others, answer.node) == (frozenset({"somebody"}), "ND_home")


def test_a_join_hands_out_turn_servers_with_credentials() -> None:
    """Each ICE server has its URLs; a credential is not shown."""
    turn = field(1, "turn:10.0.0.1:3478?transport=udp") + field(1, "turns:t.example:443")
    turn += field(2, "me") + field(3, "pw")
    join = field(5, turn) + field(5, field(1, "stun:a.example"))
    first, second = module("livekit", "joining").parse_join(field(1, join)).ice_servers
    assert (first.urls, first.username) == (("turn:10.0.0.1:3478?transport=udp", "turns:t.example:443"), "me")
    assert first.credential.reveal() == "pw" and "pw" not in repr(first)
    assert (second.urls, second.username) == (("stun:a.example",), "")


@pytest.mark.parametrize("message", [field(8, "leave"), b"\x0a\x7fshort", b"\x0b", b"\xff" * 11])
def test_anything_else_is_no_answer_to_a_join(message: bytes) -> None:
    """Another message, and one that ends too early, are refused instead of read as an empty room."""
    with pytest.raises(ValueError):
        module("livekit", "joining").parse_join(message)


def test_a_list_of_nodes_is_understood_as_the_real_server_prints_it() -> None:
    """Cells that span two lines still give each node its own state and its own times."""
    first, second = module("livekit", "verify").parse_nodes(REAL_LIST)
    assert (first.id, first.address, first.state) == ("ND_9fXzVYhJqP3a", "203.0.113.12", "SERVING")
    assert (second.address, second.state) == ("2001:db8::13", "SHUTTING_DOWN")
    assert [str(node.updated_at) for node in (first, second)] == ["2026-11-21 02:09:32", "2026-11-21 02:09:31"]


def test_a_list_of_nodes_on_single_lines_is_understood() -> None:
    """The same from a table with one line per node."""
    (node,) = module("livekit", "verify").parse_nodes(STAND_INS_LIST)
    assert (node.address, node.state, str(node.updated_at)) == ("192.168.56.12", "SERVING", "2026-11-21 02:09:32")


def test_a_list_of_nodes_with_other_bars_is_understood() -> None:
    """LiveKit 1.13 draws its table with lines of Unicode."""
    bars = str.maketrans({"|": "│", "-": "─", "+": "┼"})
    lines = [line.translate(bars) if line[0] == "+" else line.replace("|", "│") for line in REAL_LIST.splitlines()]
    table = "\n".join(lines)
    assert module("livekit", "verify").parse_nodes(table) == module("livekit", "verify").parse_nodes(REAL_LIST)


def test_a_list_of_nodes_says_how_busy_a_node_is() -> None:
    """In both drawings; of several entries with one address the newest counts, whichever comes first."""
    load_of = module("livekit", "resources").load_of
    rows = [line.split("|") for line in REAL_LIST.splitlines()]
    cells = {2: "CLIENTS", 3: "TRACKS IN/OUT", 5: "5", 6: "1 / 2", 8: "0", 9: "0 / 0"}
    for number, text in cells.items():
        rows[number - 1].insert(7, f" {text} ")
    table = "\n".join("|".join(row) for row in rows)
    assert load_of(table, "203.0.113.12") == load_of(table.replace("|", "│"), "203.0.113.12") == (2, 5, 3)
    assert load_of(table, "2001:db8::13") == (0, 0, 0)
    again = table.replace("2001:db8::13", "203.0.113.12 ")
    assert load_of(again, "203.0.113.12") == (2, 5, 3)
    assert load_of(again.replace("02:09:31", "02:09:33"), "203.0.113.12") == (0, 0, 0)
    assert load_of(table, "192.0.2.1") is load_of("", "192.0.2.1") is load_of("no | table", "192.0.2.1") is None


@pytest.mark.parametrize("text", ["", "no nodes yet", REAL_LIST.replace("(SERVING)", "")])
def test_a_list_of_nodes_of_another_shape_is_a_failed_check_with_its_text(text: str) -> None:
    """No exception about the check's own code."""
    shown = r"is not understood: (nothing was printed|no nodes yet|.*203\.0\.113\.12)"
    with pytest.raises(AssertionError, match=shown):
        module("livekit", "verify").parse_nodes(text)


def test_datagrams_are_counted_whether_or_not_somebody_listens() -> None:
    """What arrives is what was taken in plus what nobody waited for (proc(5), /proc/net/snmp)."""
    text = (
        "Tcp: RtoAlgorithm RtoMin\nTcp: 1 200\n"
        "Udp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 40 2 1 99\n"
        "UdpLite: InDatagrams NoPorts\nUdpLite: 7 7\n"
    )
    assert module("livekit", "verify").datagram_count(shell(file=text)) == 42


def test_ports_on_loopback_need_no_rule() -> None:
    """Of what listens, and of what containers publish, loopback is left out; ranges are taken apart."""
    verify = module("firewall", "verify")
    listening = (
        "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\n"
        "LISTEN 0 128 127.0.0.1:8080 0.0.0.0:*\n"
        "LISTEN 0 128 [::1]:631 [::]:*\n"
        "LISTEN 0 128 *:443 *:*\n"
    )
    assert verify.listening_ports(shell(ss=listening)) == {22, 443}
    published = (
        "0.0.0.0:8091->80/tcp, :::8091->80/tcp\n"
        "127.0.0.1:8080->8080/tcp\n"
        "10.0.0.2:9000-9002->9000-9002/tcp, 0.0.0.0:53->53/udp\n6379/tcp\n"
    )
    assert verify.published_ports(shell(docker=published)) == {8091, 9000, 9001, 9002}


def controller(address: str, *own: str) -> Any:
    """Return a machine that the controller has reached from an address."""
    return SimpleNamespace(
        facts={"ssh_connection": f"{address} 50000 10.0.0.2 22" if address else "", "addresses": own}
    )


def test_a_rule_for_others_does_not_let_us_in() -> None:
    """A port is let in for the controller when a rule covers it and its sources cover the controller."""
    is_let_in, us = module("firewall", "verify").is_let_in, controller("198.51.100.7")
    rules = (Rule(80), Rule("9000:9010", sources=("198.51.100.0/24",)), Rule(6379, sources=("10.0.0.3",)))
    more = (Rule(25, action="deny"), Rule(5000, "udp"))
    found = {port: is_let_in(port, us, (*rules, *more)) for port in (80, 9005, 6379, 25, 5000, 81)}
    assert found == {80: True, 9005: True, 6379: False, 25: False, 5000: False, 81: False}


@pytest.mark.parametrize(
    ("machine", "sources", "inside"),
    [
        (controller("198.51.100.7", "10.0.0.2"), ("10.0.0.0/8",), False),
        (controller("10.0.0.9", "10.0.0.2"), ("10.0.0.0/8",), True),
        (controller("10.0.0.2", "10.0.0.2"), (), True),
        (controller(""), (), True),
    ],
)
def test_who_is_let_in_cannot_look_from_outside(machine: Any, sources: tuple[str, ...], inside: bool) -> None:
    """A controller among the sources, or on the machine itself, is not outside."""
    assert is_insider(machine, sources) is inside
