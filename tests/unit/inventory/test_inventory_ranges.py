"""Ranges in host names expand to what Ansible expands them to."""

from __future__ import annotations

import pytest
from ansible.parsing.utils.addresses import parse_address
from ansible.plugins.inventory import detect_range, expand_hostname_range
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orchestr.inventory.ranges import RangeError, expand, is_address, split_port

NUMBERS = st.builds(
    lambda begin, extra, width, step: f"[{begin:0{width}}:{begin + extra:0{width}}{step}]",
    st.integers(0, 120), st.integers(0, 12), st.integers(1, 4), st.sampled_from(["", ":1", ":2", ":7"]),
)  # fmt: skip
LETTERS = st.builds("[{}:{}]".format, st.sampled_from("abcxyzAB"), st.sampled_from("bcdzCZ"))
PIECES = st.one_of(st.sampled_from(["web", "-", ".lan", "_a", "0", "x9"]), NUMBERS, LETTERS)


def _as_ansible(written: str) -> tuple[list[str], int | None]:
    try:
        name, port = parse_address(written, allow_ranges=True)
    except Exception:
        name, port = written, None
    return (expand_hostname_range(name) if detect_range(name) else [name]), port


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, min_size=1, max_size=4), port=st.sampled_from(["", ":22", ":8080"]))
def test_expansion_agrees(pieces: list[str], port: str) -> None:
    """Any host name with ranges and a port gives Ansible's hosts in Ansible's order, or an error where it refuses."""
    written = "".join(pieces) + port
    try:
        expected = _as_ansible(written)
    except Exception:
        with pytest.raises(RangeError):
            expand(written)
        return
    assume(0 < len(expected[0]) < 20_000)
    assert expand(written) == expected


ADDRESSES = [
    "web1", "web1:22", "web_1", "_web", "web-", "-web", "a.b.c:1", "a..b", "10.0.0.1", "10.0.0.1:22", "10.0.0.[1:9]",
    "::1", "fe80::1", "[::1]:22", "[web]:22", "[web1]", "2001:db8::[1:f]", "web[1:3]", "web[1:3]:22", "web[1-3]:22",
    "web[a:c]x", "web[aa:bc]", "web db", "web:db", "web:22:22", "web[0]", "web[0:1:2]", "web[0:1:2:3]", "größe:22", "",
    "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "web.", "web[1:2]-", "::ffff:10.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("written", ADDRESSES)
def test_what_is_an_address_agrees(written: str) -> None:
    """A text is taken for one host, and for a host with a port, exactly where Ansible takes it so."""
    try:
        expected = parse_address(written, allow_ranges=True)
    except Exception:
        assert not is_address(written)
        assert split_port(written) == (written, None)
        return
    assert is_address(written)
    assert split_port(written) == expected
