"""Names in known_hosts, as sshd(8) describes them."""

from __future__ import annotations

import pytest

from orchestr.transport.known_hosts import matches


@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        ("web1", "web1", True),
        ("web1", "web10", False),
        ("Web1", "web1", True),
        ("web1,10.0.0.1", "10.0.0.1", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", False),
        ("web?", "web7", True),
        ("web[12]", "web1", False),
        ("*.example.com,!bad.example.com", "bad.example.com", False),
        ("!bad.example.com", "good.example.com", False),
        ("[web1]:2222", "[web1]:2222", True),
        ("[web1]:2222", "web1", False),
        ("[*.example.com]:2222", "[a.example.com]:2222", True),
        ("|1|broken", "web1", False),
        # ssh-keygen -H of "web1.example.com"
        ("|1|8+8U7AhTMZhDmOlyYwYXwN0iWmE=|AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "web1.example.com", False),
    ],
)
def test_a_name_field_names_what_openssh_says(names: str, host: str, expected: bool) -> None:
    """Lists, wildcards, negation, ports and broken hashes match as in OpenSSH."""
    assert matches(names, host) is expected
