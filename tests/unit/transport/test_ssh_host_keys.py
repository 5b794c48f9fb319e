"""A server proves to be the recorded one, or is refused."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sshd_on_loopback import Sshd, StartSshd, fingerprint, public

from orchestr.errors import HostKeyError, InputError
from orchestr.inventory.settings import ConnectionSettings
from orchestr.transport import trust
from orchestr.transport.connect import connect
from orchestr.transport.host_key_records import record, recorded, scan
from orchestr.transport.trust import HostKeys


def refused(settings: ConnectionSettings) -> str:
    """Return the text of the refusal."""
    with pytest.raises(HostKeyError) as caught:
        connect(settings)
    return str(caught.value)


def assert_accepted(settings: ConnectionSettings) -> None:
    with closing(connect(settings)):
        pass


def test_an_unknown_key_is_refused_with_its_fingerprint_and_the_way_out(start_sshd: StartSshd) -> None:
    """No record: the offered fingerprint is shown as ssh-keygen shows it, and orchestr trust is named."""
    server = start_sshd()
    text = refused(server.settings())
    assert fingerprint(server.host_key) in text
    assert "orchestr trust INVENTORY --limit HOST" in text
    assert server.known_hosts.read_text() == ""


def test_a_changed_key_is_refused_with_both_fingerprints(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """Another key on record: both fingerprints and file:line of the recorded one."""
    server = start_sshd()
    server.known_hosts.write_text("# a comment\n\n")
    server.record(keys["other"])
    text = refused(server.settings())
    assert "CHANGED" in text
    assert fingerprint(server.host_key) in text
    assert f"{fingerprint(keys['other'])} (ssh-ed25519) at {server.known_hosts}:3" in text
    assert "--replace" in text


def test_nothing_secret_is_sent_to_a_refused_server(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """The refusal comes before any login is tried."""
    server = start_sshd()
    server.record(keys["other"])
    refused(server.settings())
    assert "Accepted" not in server.log()
    assert "Failed" not in server.log()


def test_a_revoked_key_is_refused_even_when_it_is_recorded_too(sshd: Sshd) -> None:
    """@revoked wins."""
    sshd.record(name="*", marker="@revoked")
    assert "REVOKED" in refused(sshd.settings())


def test_a_certificate_authority_is_said_not_to_be_supported(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """@cert-authority does not make a host known, and the message says where the line is."""
    server = start_sshd()
    server.record(keys["other"], marker="@cert-authority")
    text = refused(server.settings())
    assert f"@cert-authority lines, here {server.known_hosts}:1, are not supported" in text


def test_hashed_records_are_read(sshd: Sshd) -> None:
    """A file that ssh-keygen -H hashed serves as well, and the name is not in it any more."""
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)], check=True, capture_output=True)
    assert "127.0.0.1" not in sshd.known_hosts.read_text()
    assert_accepted(sshd.settings())


def test_a_record_without_the_port_serves_only_while_none_has_it(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """As in OpenSSH: the same key under the bare name is enough, until a key is recorded under [name]:port."""
    server = start_sshd()
    server.record(name="127.0.0.1")
    assert_accepted(server.settings())
    server.record(keys["other"])
    assert "CHANGED" in refused(server.settings())


def test_a_record_for_another_port_does_not_serve(start_sshd: StartSshd) -> None:
    """[127.0.0.1]:1 says nothing about this port."""
    server = start_sshd()
    server.record(name="[127.0.0.1]:1")
    assert "is unknown" in refused(server.settings())


def test_the_recorded_type_is_asked_for(start_sshd: StartSshd) -> None:
    """A server with several keys of which we know the least preferred one is not taken for changed."""
    server = start_sshd(host_keys=("rsa", "ecdsa", "ed25519"))
    server.record(server.host_key)
    assert public(server.host_key).startswith("ssh-rsa")
    assert_accepted(server.settings())


def test_a_new_type_beside_recorded_ones_is_refused(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """A server that no longer has the recorded type has CHANGED, as OpenSSH has it; the recorded key is shown."""
    server = start_sshd()
    server.record(keys["ecdsa"])
    text = refused(server.settings())
    assert "has CHANGED" in text
    assert "--replace HOST" in text
    assert fingerprint(keys["ecdsa"]) in text


def test_host_key_alias_names_the_record(start_sshd: StartSshd) -> None:
    """HostKeyAlias of ssh_config is the name looked up, without a port."""
    server = start_sshd()
    server.configure("HostKeyAlias front-door")
    server.record(name="front-door")
    assert_accepted(server.settings())


def test_strict_checking_cannot_be_turned_off(start_sshd: StartSshd) -> None:
    """StrictHostKeyChecking no does not make an unknown key acceptable, nor is it recorded."""
    server = start_sshd()
    server.configure("StrictHostKeyChecking no")
    assert "is unknown" in refused(server.settings())
    assert server.known_hosts.read_text() == ""


def test_trust_scans_records_and_lets_in(start_sshd: StartSshd) -> None:
    """scan shows the server's keys, record writes it for ssh to read, and then the connection is accepted."""
    server = start_sshd(host_keys=("ed25519", "ecdsa", "rsa"))
    settings = server.settings()
    keys = scan(settings, 10)
    assert [key.type for key in keys] == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
    assert keys[0].fingerprint == fingerprint(server.host_key)
    assert record(settings, keys) == server.known_hosts
    assert [key.base64 for key in recorded(settings)] == [key.base64 for key in keys]
    find = ["ssh-keygen", "-f", str(server.known_hosts), "-F", f"[127.0.0.1]:{server.port}"]
    assert public(server.host_key) in subprocess.run(find, capture_output=True, text=True).stdout
    assert_accepted(settings)


def test_recording_twice_changes_nothing(start_sshd: StartSshd) -> None:
    """A key that is there already is not written again."""
    server = start_sshd()
    record(server.settings(), scan(server.settings(), 10))
    before = server.known_hosts.read_text()
    record(server.settings(), scan(server.settings(), 10))
    assert server.known_hosts.read_text() == before


def test_a_changed_key_is_replaced_only_when_asked(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """record refuses a change, replace=True makes it, and other hosts' lines stay as they are."""
    server = start_sshd()
    server.record(name="unrelated.example")
    server.known_hosts.write_text(server.known_hosts.read_text() + "# kept\n")
    server.record(keys["other"], name=f"[127.0.0.1]:{server.port},alias.example")
    offered = scan(server.settings(), 10)
    with pytest.raises(HostKeyError, match="CHANGED"):
        record(server.settings(), offered)
    record(server.settings(), offered, replace=True)
    assert_accepted(server.settings())
    lines = server.known_hosts.read_text().splitlines()
    assert lines[0].startswith("unrelated.example ")
    assert lines[1] == "# kept"
    assert public(keys["other"]) not in lines[2]


def test_a_new_file_is_private_and_relative_paths_are_ours(
    start_sshd: StartSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative UserKnownHostsFile lies under the current directory; 0600 in a directory made 0700."""
    server = start_sshd()
    monkeypatch.chdir(tmp_path)
    arguments = ("-F", str(server.ssh_config), "-o", "UserKnownHostsFile=made/known_hosts")
    settings = replace(server.settings(), ssh_common_args=arguments)
    record(settings, scan(settings, 10))
    assert (tmp_path / "made/known_hosts").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    assert_accepted(settings)


def test_a_stranger_with_another_type_of_key_is_no_new_key(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """A known host whose server offers none of its recorded keys: trust says CHANGED, and records nothing unasked."""
    server = start_sshd(host_keys=("rsa",))
    server.record(keys["ecdsa"])
    before = server.known_hosts.read_text()
    offered = scan(server.settings(), 10)
    seen = HostKeys("h", server.settings(), "h", tuple(offered), tuple(recorded(server.settings())))
    assert [seen.state_of(key) for key in offered] == ["CHANGED"]
    assert seen.to_record() == ()
    assert [key.location for key in seen.contradicted] == [f"{server.known_hosts}:1"]
    with pytest.raises(HostKeyError, match="CHANGED"):
        record(server.settings(), offered)
    assert server.known_hosts.read_text() == before
    assert trust.record(seen, replace=True) == str(server.known_hosts)
    assert_accepted(server.settings())


def test_a_further_type_beside_a_proven_key_is_new(start_sshd: StartSshd) -> None:
    """A server that proves itself by the recorded key may have its other keys recorded too, chosen by fingerprint."""
    server = start_sshd(host_keys=("ed25519", "rsa"))
    server.record()
    offered = tuple(scan(server.settings(), 10))
    seen = HostKeys("h", server.settings(), "h", offered, tuple(recorded(server.settings())))
    assert [seen.state_of(key) for key in offered] == ["on record", "new"]
    assert seen.to_record([offered[1].fingerprint]) == (offered[1],)


def test_replacing_keeps_rights_comments_and_other_hashed_hosts(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """ssh-keygen removes the key: a hashed file stays hashed, its mode stays, other hosts stay."""
    server = start_sshd()
    server.record(name="unrelated.example")
    server.record(keys["other"])
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(server.known_hosts)], check=True, capture_output=True)
    server.known_hosts.chmod(0o644)
    kept = server.known_hosts.read_text().splitlines()[0]
    record(server.settings(), scan(server.settings(), 10), replace=True)
    assert server.known_hosts.stat().st_mode & 0o777 == 0o644
    assert server.known_hosts.read_text().splitlines()[0] == kept
    assert_accepted(server.settings())


def test_a_line_for_many_hosts_is_not_removed(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """A contradicting line with a pattern is named with its location; nothing is changed."""
    server = start_sshd()
    server.record(keys["other"], name="[127.*]:*")
    before = server.known_hosts.read_text()
    with pytest.raises(HostKeyError, match="other hosts share the line") as caught:
        record(server.settings(), scan(server.settings(), 10), replace=True)
    assert f"remove line 1 of {server.known_hosts} by hand" in caught.value.next_step
    assert server.known_hosts.read_text() == before


def test_a_missing_ssh_keygen_is_named(
    start_sshd: StartSshd, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ssh-keygen no key is replaced; the error names the package to install."""
    server = start_sshd()
    server.record(keys["other"])
    offered = scan(server.settings(), 10)
    before = server.known_hosts.read_text()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no ssh-keygen on this machine") as caught:
        record(server.settings(), offered, replace=True)
    assert "apt-get install openssh-client" in caught.value.next_step
    assert server.known_hosts.read_text() == before


def test_a_file_that_ssh_keygen_refuses_is_named(start_sshd: StartSshd, keys: dict[str, Path]) -> None:
    """ssh-keygen's own words say why the file was not changed."""
    server = start_sshd()
    server.record(keys["other"])
    server.known_hosts.write_text(server.known_hosts.read_text() + "not a record\n")
    with pytest.raises(HostKeyError, match="invalid line"):
        record(server.settings(), scan(server.settings(), 10), replace=True)


def test_a_last_line_without_an_end_stays_whole(start_sshd: StartSshd) -> None:
    """A key is recorded on a line of its own."""
    server = start_sshd()
    server.known_hosts.write_text("# no end of line")
    record(server.settings(), scan(server.settings(), 10))
    assert server.known_hosts.read_text().splitlines()[0] == "# no end of line"
    assert_accepted(server.settings())


def test_options_that_turn_checking_off_are_said_to_have_no_effect(start_sshd: StartSshd) -> None:
    """StrictHostKeyChecking=no with UserKnownHostsFile=/dev/null: both are named, with the way out."""
    server = start_sshd()
    arguments = (*server.settings().ssh_common_args, "-o", "StrictHostKeyChecking=no")
    settings = replace(server.settings(), ssh_common_args=(*arguments, "-o", "UserKnownHostsFile=/dev/null"))
    text = refused(settings)
    assert "StrictHostKeyChecking no has no effect" in text
    assert "→ remove UserKnownHostsFile=/dev/null" in text
    with pytest.raises(HostKeyError, match="no file to record") as caught:
        record(settings, scan(settings, 10))
    assert "remove UserKnownHostsFile=/dev/null" in caught.value.next_step


def test_a_recorded_key_of_a_rare_type_is_asked_for(start_sshd: StartSshd, tmp_path: Path) -> None:
    """A host known by a key of a type that scan does not ask for by default is not called changed."""
    rare = tmp_path / "rare"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", str(rare)], check=True)
    server = start_sshd(f"HostKey {rare}")
    server.record(rare)
    offered = tuple(scan(server.settings(), 10))
    seen = HostKeys("h", server.settings(), "h", offered, tuple(recorded(server.settings())))
    assert [seen.state_of(key) for key in offered] == ["new", "on record"]
