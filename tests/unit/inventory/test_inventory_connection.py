"""How a host is reached: every connection variable, its aliases, its types, and its errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestr.errors import InputError
from orchestr.inventory import ConnectionSettings, load_inventory
from orchestr.secret import Secret


def _connection(tmp_path: Path, variables: str, name: str = "web1.lan") -> ConnectionSettings:
    (tmp_path / "i.yml").write_text(
        f"all:\n  vars: {{x: 10.1.2.3, port_base: 2200}}\n  hosts:\n    {name}: {{{variables}}}\n"
    )
    return load_inventory(tmp_path / "i.yml").connection(name)


def test_defaults_leave_everything_to_ssh(tmp_path: Path) -> None:
    """Without variables the address is the name, and port, user and key are ssh's to choose."""
    assert _connection(tmp_path, "") == ConnectionSettings(address="web1.lan")


def test_no_variable_turns_off_the_check_of_host_keys(tmp_path: Path) -> None:
    """Ansible's variables that accept any host key change nothing of how a host is reached."""
    off = "ansible_ssh_host_key_checking: false, ansible_host_key_checking: false"
    assert _connection(tmp_path, off) == _connection(tmp_path, "")


HOME = str(Path.home())


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        ("ansible_host: 10.0.0.1", "address", "10.0.0.1"),
        ("ansible_ssh_host: 10.0.0.1", "address", "10.0.0.1"),
        ("ansible_host: '{{ x }}'", "address", "10.1.2.3"),
        ("ansible_port: 2222", "port", 2222),
        ("ansible_port: '2222'", "port", 2222),
        ("ansible_port: '{{ port_base + 22 }}'", "port", 2222),
        ("ansible_ssh_port: 2222", "port", 2222),
        ("ansible_user: ada", "user", "ada"),
        ("ansible_user: 1000", "user", "1000"),
        ("ansible_ssh_user: ada", "user", "ada"),
        ("ansible_ssh_private_key_file: ~/k", "key_file", f"{HOME}/k"),
        ("ansible_private_key_file: keys/k", "key_file", "keys/k"),
        ("ansible_password: p", "password", Secret("p")),
        ("ansible_ssh_pass: 1234", "password", Secret("1234")),
        ("ansible_become: true", "become", True),
        ("ansible_become: 'yes'", "become", True),
        ("ansible_become: '{{ 1 == 2 }}'", "become", False),
        ("ansible_become_user: app", "become_user", "app"),
        ("ansible_become_password: p", "become_password", Secret("p")),
        ("ansible_become_pass: p", "become_password", Secret("p")),
        ("ansible_connection: paramiko", "connection", "ssh"),
        ("ansible_connection: local", "connection", "local"),
        ("ansible_connection: memory", "connection", "memory"),
        ("ansible_python_interpreter: /usr/bin/python3.9", "python", "/usr/bin/python3.9"),
        ("ansible_python_interpreter: /usr/bin/env python3", "python", "/usr/bin/env python3"),
        ("ansible_python_interpreter: '{{ ansible_playbook_python }}'", "python", sys.executable),
        ("ansible_python_interpreter: auto_silent", "python", None),
        ("ansible_ssh_common_args: '-o \"A=b c\" -J x'", "ssh_common_args", ("-o", "A=b c", "-J", "x")),
        ("ansible_ssh_extra_args: -4", "ssh_extra_args", ("-4",)),
    ],
)
def test_variable_becomes_setting(tmp_path: Path, variables: str, field: str, value: object) -> None:
    """Each variable, and each of its other names, sets its field to a value of the right type."""
    assert getattr(_connection(tmp_path, variables), field) == value


def test_key_beside_the_inventory(tmp_path: Path) -> None:
    """The lab's way to name a key works: relative to the inventory's directory."""
    written = 'ansible_ssh_private_key_file: "{{ inventory_dir }}/../build/id_ed25519"'
    assert _connection(tmp_path, written).key_file == f"{tmp_path}/../build/id_ed25519"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ("ansible_port: '{{ x }}'", "from 1 to 65535"),
        ("ansible_become: '{{ x }}'", "true or false"),
        ("ansible_connection: '{{ x }}'", "is not supported"),
        ("ansible_host: '{{ [1] }}'", "must be text"),
        ("ansible_ssh_common_args: '-o \"open'", "split into words"),
        ("ansible_python_interpreter: /usr/bin/python3 'open", "ansible_python_interpreter can't be split into words"),
        ("ansible_user: '{{ usr }}'", "'usr' is not defined"),
    ],
)
def test_error_names_the_variable(tmp_path: Path, variables: str, words: str) -> None:
    """A value that only turns out wrong when rendered is reported at the variable's own line."""
    with pytest.raises(InputError) as caught:
        _connection(tmp_path, variables)
    assert caught.value.line == 4
    assert words in str(caught.value)


def test_many_hosts_share_what_their_groups_give(tmp_path: Path) -> None:
    """Five thousand hosts of one range hold one mapping of variables, not five thousand copies."""
    (tmp_path / "i.yml").write_text("all:\n  vars: {a: 1}\n  hosts:\n    n[0001:5000]:\n")
    hosts = load_inventory(tmp_path / "i.yml").hosts
    assert len(hosts) == 5000
    assert len({id(host.variables) for host in hosts.values()}) == 1


def test_project_root_is_found_upwards(tmp_path: Path) -> None:
    """The project is the nearest directory above the inventory that has playbooks or roles, else its own."""
    (tmp_path / "playbooks").mkdir()
    inner = tmp_path / "inventories" / "lab"
    inner.mkdir(parents=True)
    (inner / "i.yml").write_text("all: {hosts: {a: }}")
    assert load_inventory(inner / "i.yml").root == tmp_path
    (inner / "roles").mkdir()
    assert load_inventory(inner / "i.yml").root == inner
