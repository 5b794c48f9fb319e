"""The lab's stand-ins refuse what the real programs refuse, so a deployment that works on them works on those."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.planning.role import load_role

IMAGES = Path(__file__).resolve().parents[1] / "lab" / "images"
SECRET = "s" * 40
KEYS = f"keys:\n  APIdemo: {SECRET}\n"


@pytest.fixture(scope="module", autouse=True)
def stand_ins() -> Iterator[None]:
    """The stand-ins' sources are importable, as in their images."""
    places = [str(IMAGES / name) for name in ("shared", "livekit-standin", "webapp")]
    sys.path[:0] = places
    yield
    for place in places:
        sys.path.remove(place)


def load(text: str, **environment: str) -> Any:
    from livekit_standin.config import load

    return load(None, {"LIVEKIT_CONFIG": text, **environment})


def refusal(text: str, **environment: str) -> str:
    from livekit_standin.config import ConfigError

    with pytest.raises(ConfigError) as caught:
        load(text, **environment)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (KEYS + "webhoook:\n  api_key: x\n", "line 3: field webhoook not found"),
        (KEYS + "rtc:\n  tcp_port: 7881\n  port_range: 1-2\n", "line 5: field port_range not found"),
        (KEYS + "port: '7880'\n", "line 3: cannot unmarshal"),
        (KEYS + "port: 7880\nport: 7881\n", 'line 4: mapping key "port" already defined at line 3'),
        (KEYS + "rtc: 7881\n", "line 3: cannot unmarshal"),
        (KEYS + "webhook:\n  urls: http://one\n  api_key: APIdemo\n", "line 4: cannot unmarshal"),
        (KEYS + "webhook:\n  urls: [http://one]\n  api_key: APIother\n", "must be one of keys"),
        ("port: 7880\n", "one of key-file or keys must be provided"),
        (KEYS + "turn:\n  enabled: true\n  tls_port: 5349\n", "TURN domain required"),
        (KEYS + "rtc:\n  port_range_start: 60000\n  port_range_end: 50000\n", "invalid UDP port range"),
        (KEYS + "redis:\n  address: 192.168.56.12\n", "missing port in address"),
        (KEYS + "rtc:\n  use_external_ip: true\n", "could not resolve external IP"),
        (KEYS + "port: [\n", "could not parse config"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_line(text: str, problem: str) -> None:
    """Unknown and repeated keys, wrong kinds and contradictions keep the server from starting."""
    assert problem in refusal(text)


def test_every_problem_is_named_at_once() -> None:
    """A document with two mistakes is refused naming both."""
    message = refusal(KEYS + "prot: 1\nrtc:\n  tcp: 2\n")
    assert "field prot" in message
    assert "field tcp" in message


def test_the_environment_wins_over_the_file() -> None:
    """REDIS_HOST and NODE_IP from the environment replace what the YAML says."""
    text = KEYS + "redis:\n  address: one:6379\n  password: p\nrtc:\n  node_ip: 10.0.0.1\n"
    config = load(text, REDIS_HOST="two:6380", NODE_IP="10.0.0.2")
    assert (config.redis.address, config.redis.password, config.node_ip) == ("two:6380", "p", "10.0.0.2")


def test_the_guides_portless_redis_host_cannot_connect() -> None:
    """REDIS_HOST=localhost, as the guide's .env injects it, is a connection failure."""
    assert "missing port" in refusal(KEYS + "redis:\n  address: one:6379\n", REDIS_HOST="localhost")


def test_keys_of_the_environment_need_their_space() -> None:
    """LIVEKIT_KEYS is `key: secret`; without the space it is refused."""
    assert load("port: 7880", LIVEKIT_KEYS=f"APIenv: {SECRET}").keys == {"APIenv": SECRET}
    assert "including the space" in refusal("port: 7880", LIVEKIT_KEYS=f"APIenv:{SECRET}")


def test_short_secrets_are_reported_and_never_shown() -> None:
    """A secret under 32 characters is named by its key; the configuration's repr holds no secret."""
    config = load("keys:\n  APIdemo: short\n  APIlong: " + SECRET)
    assert config.short_keys == ["APIdemo"]
    assert "short" not in repr(config)


def test_a_token_holds_only_for_who_signed_it() -> None:
    """A token is refused under another secret, with a changed body, unsigned, and when it has expired."""
    import tokens

    token = tokens.sign("APIdemo", SECRET, {"sub": "ann"})
    assert tokens.verify(token, {"APIdemo": SECRET})["sub"] == "ann"
    header, body, signature = token.split(".")
    forged = tokens.sign("APIdemo", SECRET, {"sub": "eve"}).split(".")[1]
    for wrong in (f"{header}.{forged}.{signature}", f"{header}.{body}.", "x", ""):
        with pytest.raises(tokens.InvalidToken):
            tokens.verify(wrong, {"APIdemo": SECRET})
    with pytest.raises(tokens.InvalidToken, match="signature"):
        tokens.verify(token, {"APIdemo": SECRET[::-1] + "x"})
    with pytest.raises(tokens.InvalidToken, match="expired"):
        tokens.verify(tokens.sign("APIdemo", SECRET, {}, valid_for_s=-60), {"APIdemo": SECRET})


def webapp_answer(body: bytes, token: str) -> bytes:
    from http_messages import Request
    from webapp_standin.__main__ import WebApp

    app = WebApp("APIdemo", SECRET)
    sent = app.answer(Request("POST", "/api/webhook", {}, {"authorization": token}, body))
    kept = app.answer(Request("GET", "/api/events", {}, {}, b""))
    return sent + b"\n" + kept


def test_a_webhook_counts_only_with_a_token_that_covers_it() -> None:
    """What livekit sends is accepted and kept; the same token on another body is refused and not kept."""
    from livekit_standin import webhooks

    config = load(KEYS + "webhook:\n  urls: [http://one/api/webhook]\n  api_key: APIdemo\n")
    request = webhooks.signed_request(config, "http://one/api/webhook", {"event": "room_started"})
    body, token = bytes(request.data), request.get_header("Authorization")  # type: ignore[arg-type]
    accepted = webapp_answer(body, str(token))
    assert accepted.startswith(b"HTTP/1.1 200") and b"room_started" in accepted
    refused = webapp_answer(json.dumps({"event": "room_finished"}).encode(), str(token))
    assert refused.startswith(b"HTTP/1.1 401") and refused.endswith(b"[]")


async def cluster_of_two() -> tuple[Any, Any]:
    """Two serving nodes that share one store."""
    from livekit_standin.cluster import Cluster, new_node
    from livekit_standin.store import MemoryStore

    store = MemoryStore()
    nodes = [Cluster(store, new_node(f"10.0.0.{number}", "")) for number in (1, 2)]
    for node in nodes:
        await node.heartbeat()
    return nodes[0], nodes[1]


def run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def test_a_room_lives_on_one_node_whoever_asks() -> None:
    """Both nodes say the same home of a room; two rooms spread over two nodes."""

    async def scenario() -> None:
        one, two = await cluster_of_two()
        first, created = await one.pin("a")
        assert created
        assert await two.pin("a") == (first, False)
        assert (await two.pin("b"))[0].id != first.id

    run(scenario())


def test_a_draining_node_waits_for_its_participants_and_takes_no_new_rooms() -> None:
    """A drained node keeps its room until the last participant leaves; new rooms go elsewhere."""

    async def scenario() -> None:
        one, two = await cluster_of_two()
        home, _ = await one.pin("a")
        leaving, staying = (one, two) if home.id == one.node.id else (two, one)
        await staying.join("a", "ann")
        leaving.drain()
        await leaving.heartbeat()
        assert await leaving.has_participants()
        assert (await leaving.pin("b"))[0].id == staying.node.id
        assert (await staying.pin("c"))[0].id == staying.node.id
        assert await staying.part("a", "ann")
        assert not await leaving.has_participants()

    run(scenario())


def test_stun_answers_with_the_senders_address() -> None:
    """A binding request gets its own address back, xored as RFC 8489 says; other datagrams get nothing."""
    from livekit_standin.media import stun_answer

    identifier = bytes(range(12))
    answer = stun_answer(bytes.fromhex("000100002112a442") + identifier, ("192.0.2.1", 32853))
    assert answer is not None
    assert answer[8:20] == identifier
    # RFC 5769, section 2.2: the sample response's XOR-MAPPED-ADDRESS of 192.0.2.1:32853.
    assert answer[20:] == bytes.fromhex("002000080001a147e112a643")
    assert stun_answer(b"hello, this is no STUN at all", ("192.0.2.1", 1)) is None


def test_the_stand_ins_answer_to_a_join_is_read_as_the_real_ones() -> None:
    """The checks of the role understand it; names may be long."""
    from livekit_standin.server import join_response

    load_role("livekit", IMAGES.parents[2])
    joining = importlib.import_module("orchestr_roles.livekit.joining")
    answer = joining.parse_join(join_response("r" * 200, "ann", ["ann", "b" * 130], "ND_home"))
    assert (answer.others, answer.node) == (frozenset({"b" * 130}), "ND_home")
