"""known_hosts: any file gives its well-formed lines; what `record` adds is read back, and nothing else is lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

from hypothesis import strategies as st

from orchestr.errors import HostKeyError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.transport import known_hosts
from orchestr.transport.host_key_records import record
from orchestr.transport.known_hosts import OfferedKey
from tests.fuzz.effort import altered, fuzz, read_within_limits, write

KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"\0\0\0 " + b"k" * 32).decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"\0\0\0 " + b"o" * 32).decode()
SEEDS = [
    f"web1,10.0.0.1 ssh-ed25519 {KEY} a comment\n[web2]:2222 ssh-rsa {OTHER}\n",
    f"# comment\n\n@revoked * ssh-ed25519 {OTHER}\n@cert-authority *.example.org ssh-ed25519 {KEY}\n",
    f"|1|8+8U7AhTMZhDmOlyYwYXwN0iWmE=|AAAAAAAAAAAAAAAAAAAAAAAAAAA= ssh-ed25519 {KEY}\n",
]
WORDS = [
    "@",
    "*",
    "?",
    "!",
    ",",
    "|1|",
    "[",
    "]:22",
    " ",
    "\t",
    "\n",
    "=",
    "AAAA",
    "ssh-ed25519 ",
    "#",
    "web1",
    "*a" * 20,
]
HOSTS = st.sampled_from(["web1", "[web2]:2222", "10.0.0.1", "a" * 60, "WEB1", "fe80::1%eth0", "ü"]) | st.text(
    max_size=8
)


@fuzz(altered(SEEDS, WORDS), HOSTS, examples=100)
def test_any_file_gives_its_well_formed_lines(text: str, host: str) -> None:
    """Each key has a fingerprint, and each line's names can be compared with any host."""
    keys = read_within_limits(lambda: list(known_hosts.parse("known_hosts", text)))
    for key in keys:
        assert key.fingerprint.startswith("SHA256:") and 1 <= key.line <= text.count("\n") + 1
        read_within_limits(lambda key=key: known_hosts.matches(key.names, host))


@fuzz(altered(SEEDS, WORDS), examples=100)
def test_a_line_ends_at_a_line_feed_only(text: str) -> None:
    """As in OpenSSH: no other character of a comment begins a line, or it could bring a key with it."""
    whole = {(key.line, key.base64) for key in known_hosts.parse("f", text)}
    lines = text.split("\n")
    one_by_one = {(number, key.base64) for number, line in enumerate(lines, 1) for key in known_hosts.parse("f", line)}
    assert whole == one_by_one


@fuzz(altered(SEEDS, WORDS), examples=15)
def test_a_recorded_key_is_read_back_and_the_file_is_kept(tmp_path: Path, text: str) -> None:
    """Whatever stood in the file before, also a last line without its end."""
    path = write(tmp_path / "known_hosts", text)
    before = path.read_bytes()
    settings = ConnectionSettings("new.example.org", ssh_common_args=("-F", "none", "-o", f"UserKnownHostsFile={path}"))
    offered = OfferedKey("ssh-ed25519", KEY, known_hosts.fingerprint(KEY))
    if read_within_limits(lambda: record(settings, [offered]), HostKeyError) is None:
        return
    assert path.read_bytes().startswith(before)
    added = known_hosts.read([str(path)])
    assert any(key.base64 == KEY and known_hosts.matches(key.names, "new.example.org") for key in added)
    path.unlink()


@fuzz(st.text(min_size=1, max_size=8), st.binary(min_size=1, max_size=20), examples=60)
def test_a_hashed_name_matches_its_host_alone(host: str, salt: bytes) -> None:
    """As ``ssh-keygen -H`` writes it."""
    name = host.lower().encode("utf-8", "surrogatepass")
    digest = hmac.new(salt, name, hashlib.sha1).digest()
    hashed = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    try:
        host.encode()
    except UnicodeEncodeError:
        return
    assert known_hosts.matches(hashed, host)
    assert not known_hosts.matches(hashed, host + "x")


def test_a_comment_brings_no_key_with_it() -> None:
    """A line separator of Unicode, or a carriage return, ends no line of OpenSSH's."""
    for separator in ("\u2028", "\x0b", "\x85", "\r"):
        [key] = known_hosts.parse("known_hosts", f"web1 ssh-ed25519 {KEY} note{separator}web2 ssh-ed25519 {OTHER}\n")
        assert key.names == "web1"
