"""The parts of paramiko that nobody promised us: a new version that changes one fails here, with the part's name."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko import common
from paramiko.agent import AgentSSH
from paramiko.auth_handler import AuthHandler
from paramiko.auth_strategy import AuthStrategy
from paramiko.buffered_pipe import BufferedPipe
from paramiko.packet import Packetizer
from paramiko.transport import ChannelMap

from orchestr.transport import paramiko_internals
from orchestr.transport.paramiko_internals import EagerAuthHandler, SshTransport

ROOT = Path(__file__).resolve().parents[3]
TRANSPORT = ROOT / "orchestr" / "transport"
SEE = f"paramiko {paramiko.__version__} changed this: adapt orchestr/transport/paramiko_internals.py, then setup.cfg"


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (paramiko.Transport, "_send_user_message", ["self", "data"]),
        (paramiko.Transport, "_parse_disconnect", ["self", "m"]),
        (paramiko.Transport, "auth_publickey", ["self", "username", "key", "event"]),
        (paramiko.Transport, "_parse_channel_open_success", ["self", "m"]),  # a test of ours looks at its moment
        (Packetizer, "complete_handshake", ["self"]),
        (ChannelMap, "values", ["self"]),
        (AuthHandler, "_request_auth", ["self"]),
        (AuthHandler, "_parse_service_accept", ["self", "m"]),
        (AuthHandler, "auth_publickey", ["self", "username", "key", "event"]),
        (AuthHandler, "wait_for_response", ["self", "event"]),
        (AuthStrategy, "authenticate", ["self", "transport"]),
        (AgentSSH, "_connect", ["self", "conn"]),
        (AgentSSH, "_close", ["self"]),
        (BufferedPipe, "set_event", ["self", "event"]),
    ],
    ids=lambda value: value.__name__ if inspect.isclass(value) else value if isinstance(value, str) else "",
)
def test_a_part_takes_the_arguments_we_give(owner: type, name: str, expected: list[str]) -> None:
    """Each method we override or call is there, with the parameters it had."""
    assert hasattr(owner, name), f"{owner.__name__}.{name} is gone. {SEE}"
    assert parameters(getattr(owner, name)) == expected, f"{owner.__name__}.{name} takes others. {SEE}"


class NoSocket:
    """Enough of a socket to make a transport."""

    def settimeout(self, timeout_s: float) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def transport() -> SshTransport:
    return SshTransport(NoSocket())


def test_channels_are_listed_in_the_order_of_their_opening(transport: SshTransport) -> None:
    """The channel that is being opened is the last one of the transport's."""
    channels = [paramiko.Channel(number) for number in range(3)]
    for number, channel in enumerate(channels):
        transport._channels.put(number, channel)  # type: ignore[attr-defined]
    assert transport._channels.values()[-1] is channels[-1], SEE  # type: ignore[attr-defined]


def test_a_channel_that_says_nothing_is_running() -> None:
    """A channel's fields have the meaning that our functions give them."""
    channel = paramiko.Channel(0)
    arrival = paramiko_internals.arrival_event(channel)
    assert not paramiko_internals.has_ended(channel), SEE
    assert not paramiko_internals.is_open(channel), SEE
    assert paramiko_internals.exit_status(channel) is None, SEE
    channel.in_buffer.feed(b"x")
    assert arrival.is_set(), SEE


def test_an_ended_channel_tells_its_status(transport: SshTransport) -> None:
    """exit_status waits for the server's exit-status request."""
    channel = paramiko.Channel(0)
    channel.transport = transport
    message = paramiko.Message()
    message.add_string("exit-status")
    message.add_boolean(False)
    message.add_int(3)
    message.rewind()
    channel._handle_request(message)  # type: ignore[attr-defined]
    assert paramiko_internals.has_ended(channel), SEE
    assert paramiko_internals.exit_status(channel) == 3, SEE


def test_the_servers_last_words_are_kept(transport: SshTransport) -> None:
    """paramiko hands a disconnect message to the method that we override."""
    message = paramiko.Message()
    message.add_int(2)
    message.add_string("Too many authentication failures")
    message.rewind()
    transport._parse_disconnect(message)
    assert transport.disconnect_reason == "Too many authentication failures", SEE
    assert "self._parse_disconnect(m)" in inspect.getsource(paramiko.Transport.run), SEE


def test_the_login_follows_its_request_at_once(transport: SshTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call sends the request for the login service and the login; the server's grant then does nothing."""
    sent: list[bytes] = []
    monkeypatch.setattr(transport, "_send_message", lambda message: sent.append(message.asbytes()[:1]))
    handler = EagerAuthHandler(transport)
    handler.username, handler.auth_method = "root", "none"
    handler._request_auth()
    expected = [common.cMSG_SERVICE_REQUEST, common.cMSG_USERAUTH_REQUEST]
    assert sent == expected, SEE
    handler._parse_service_accept(paramiko.Message())
    assert sent == expected, SEE


def test_closing_ends_the_handshake_timer(transport: SshTransport) -> None:
    """close() cancels the timer that start_handshake() started; it would hold up the program's exit."""
    transport.packetizer.start_handshake(60)
    timer = transport.packetizer._Packetizer__timer  # type: ignore[attr-defined]
    transport.close()
    timer.join(5)
    assert not timer.is_alive(), SEE


USERS = sorted(
    path for path in TRANSPORT.glob("*.py") if "paramiko" in path.read_text() and path.stem != "paramiko_internals"
)
OURS = {"_end"}  # a private name of our own class, used on another of its instances


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.stem)
def test_no_other_module_reaches_into_paramiko(path: Path) -> None:
    """Undocumented attributes are used in paramiko_internals.py alone."""
    undocumented = {"in_buffer", "eof_received", "exit_status", "status_event", "packetizer"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Attribute) or re.match(r"self$|cls$|self\.target", ast.unparse(node.value)):
            continue
        is_private = re.match(r"_[a-z]", node.attr) and node.attr not in OURS
        is_ours = ast.unparse(node.value) == "paramiko_internals"
        assert is_ours or not (is_private or node.attr in undocumented), f"{path.name}:{node.lineno} {node.attr}"


def test_the_version_of_paramiko_is_bounded() -> None:
    """setup.cfg names the first version that was not tried, and the installed one is below it."""
    bounds = re.search(r"paramiko>=([\d.]+),<(\d+)", (ROOT / "setup.cfg").read_text())
    assert bounds, "setup.cfg has no upper bound for paramiko"
    assert int(paramiko.__version__.split(".")[0]) < int(bounds[2])
