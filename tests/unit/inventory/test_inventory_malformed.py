"""Every way to write an inventory wrongly that we thought of: where, what, and which name was meant."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from orchestr.errors import InputError
from orchestr.inventory import load_inventory


class Malformed(NamedTuple):
    """A text, the place its error must name, words the message must have, and the name it must suggest."""

    text: str
    line: int | None
    column: int | None
    words: str
    suggestion: str | None = None


MALFORMED = {
    "empty": Malformed("", None, None, "is empty"),
    "only a comment": Malformed("# all:\n", None, None, "is empty"),
    "an empty mapping": Malformed("{}\n", None, None, "is empty"),
    "a list": Malformed("- web1\n- web2\n", 1, 1, "found a list"),
    "a text": Malformed("web1\n", 1, 1, "found text"),
    "a boolean": Malformed("false\n", 1, 1, "found a boolean"),
    "the INI format": Malformed("[web]\nweb1 ansible_host=1.2.3.4\n", None, None, "INI inventory"),
    "hosts at the top": Malformed("hosts:\n  web1:\n", 1, 1, "where group names are expected"),
    "a plugin's configuration": Malformed("plugin: aws_ec2\n", 1, 1, "inventory plugin"),
    "a misspelt hosts": Malformed("all:\n  hosst:\n    web1:\n", 2, 3, "unknown key 'hosst'", "hosts"),
    "a misspelt children": Malformed("all:\n  childern:\n    web:\n", 2, 3, "unknown key", "children"),
    "host without s": Malformed("web:\n  vars: {}\n  host:\n    a:\n", 3, 3, "unknown key 'host'", "hosts"),
    "var without s": Malformed("web:\n  var:\n    a: 1\n", 2, 3, "unknown key 'var'", "vars"),
    "a variable beside hosts": Malformed("all:\n  ansible_user: root\n", 2, 3, "go under 'vars:'"),
    "a host beside hosts": Malformed("all:\n  web1: {x: 1}\n", 2, 3, "hosts go under 'hosts:'"),
    "hosts as a list": Malformed("all:\n  hosts:\n    - web1\n", 3, 5, "must be a mapping, found a list"),
    "children as a list": Malformed("all:\n  children: [web]\n", 2, 13, "found a list"),
    "vars as a list": Malformed("all:\n  vars:\n  - a: 1\n", 3, 3, "'vars' of the group 'all'"),
    "vars as text": Malformed("all:\n  vars: a=1\n", 2, 9, "found text"),
    "a group as text": Malformed("all:\n  children:\n    web: web1\n", 3, 10, "the group 'web' must be a mapping"),
    "a host as text": Malformed("all:\n  hosts:\n    web1: 10.0.0.1\n", 3, 11, "mapping of variables or nothing"),
    "a numeric host": Malformed("all:\n  hosts:\n    10:\n", 3, 5, "name must be text, found a number"),
    "a boolean host": Malformed("all:\n  hosts:\n    yes:\n", 3, 5, "name must be text, found a boolean"),
    "a numeric group": Malformed("12:\n  hosts: {a: }\n", 1, 1, "group's name must be text"),
    "a numeric variable": Malformed("all:\n  vars:\n    8080: x\n", 3, 5, "variable's name must be text"),
    "two hosts in a key": Malformed("all:\n  hosts:\n    web1, web2:\n", 3, 5, "is not a valid host name"),
    "a range with a hyphen": Malformed("all:\n  hosts:\n    web[1-3]:\n", 3, 5, "expected [begin:end]"),
    "a range backwards": Malformed("all:\n  hosts:\n    web[3:1]:\n", 3, 5, "begins after its end"),
    "a range of unequal width": Malformed("all:\n  hosts:\n    web[01:100]:\n", 3, 5, "same length"),
    "a range never closed": Malformed("all:\n  hosts:\n    web[1:3:\n", 3, 5, "never closed"),
    "a range of words": Malformed("all:\n  hosts:\n    web[aa:bb]:\n", 3, 5, "neither a range of numbers"),
    "a range with step 0": Malformed("all:\n  hosts:\n    web[1:3:0]:\n", 3, 5, "the step '0'"),
    "a range too large": Malformed("all:\n  hosts:\n    w[1:999999999]:\n", 3, 5, "more than 100000 hosts"),
    "ranges too large together": Malformed("all:\n  hosts:\n    w[1:999]-[1:999]:\n", 3, 5, "more than 100000"),
    "a port by name": Malformed("all:\n  hosts:\n    a: {ansible_port: ssh}\n", 3, 23, "from 1 to 65535"),
    "a port too high": Malformed("all:\n  vars:\n    ansible_port: 65536\n", 3, 19, "found 65536"),
    "a boolean port": Malformed("all:\n  vars:\n    ansible_port: yes\n", 3, 19, "found True"),
    "a vague become": Malformed("all:\n  vars: {ansible_become: ture}\n", 2, 26, "true or false", "true"),
    "an unknown connection": Malformed(
        "all:\n  vars: {ansible_connection: locla}\n", 2, 30, "is not supported", "local"
    ),
    "an address that is a list": Malformed("all:\n  vars: {ansible_host: [a]}\n", 2, 24, "must be text"),
    "a misspelt connection variable": Malformed(
        "all:\n  vars: {ansible_prot: 22}\n", 2, 10, "says nothing about the connection", "ansible_port"
    ),
    "an address and a port": Malformed("all:\n  vars: {ansible_host: '10.0.0.1:22'}\n", 2, 24, "and ansible_port: 22"),
    "an address that YAML reads as a number": Malformed("all:\n  vars: {ansible_host: 10.1}\n", 2, 24, "put quotes"),
    "a URL as the address": Malformed("all:\n  vars: {ansible_host: 'ssh://a'}\n", 2, 24, "host name or an IP"),
    "a user in the address": Malformed("all:\n  vars: {ansible_host: root@a}\n", 2, 24, "host name or an IP"),
    "an option as the address": Malformed("all:\n  vars: {ansible_host: -oX=y}\n", 2, 24, "host name or an IP"),
    "an option as the host": Malformed("all:\n  hosts:\n    -oX=y:\n", 3, 5, "begins with '-'"),
    "a way to root we lack": Malformed("all:\n  vars: {ansible_become_method: su}\n", 2, 33, "known: sudo"),
    "a priority in words": Malformed("all:\n  vars: {ansible_group_priority: high}\n", 2, 34, "whole number"),
    "groups in a circle": Malformed("a:\n  children:\n    b:\nb:\n  children:\n    a:\n", 6, 5, "circle: a → b → a"),
    "a group in itself": Malformed("a:\n  children:\n    a:\n", 3, 5, "circle: a → a"),
    "all below a group": Malformed("a:\n  children:\n    all:\n", 3, 5, "circle: all → a → all"),
    "a key twice": Malformed("all:\n  hosts:\n    a: {x: 1, y: 2, x: 3}\n", 3, 21, "i.yml:3:9"),
    "a host twice": Malformed("all:\n  hosts:\n    web1:\n    web1:\n", 4, 5, "i.yml:3:5"),
    "a tab": Malformed("all:\n  hosts:\n\tweb1:\n", 3, 1, "a tab indents this line"),
    "a template without quotes": Malformed("all:\n  vars:\n    x: {{ y }}\n", 3, 8, "needs quotes"),
    "a template and more": Malformed("all:\n  vars:\n    x: {{ y }}/z\n", 3, 8, "needs quotes"),
    "a bracket never closed": Malformed("all:\n  vars:\n    x: {a: 1\n    y: 2\n", 4, 6, "column 8"),
    "a quote never closed": Malformed("all:\n  vars:\n    x: 'a\n    y: b\n", 3, 8, "never closed"),
    "two colons": Malformed("all:\n  vars:\n    x: a: b\n", 3, 9, "second ':'"),
    "a list as a key": Malformed("all:\n  vars:\n    ? [a]\n    : b\n", 3, 7, "a key must be plain text"),
    "an unknown alias": Malformed("all:\n  vars:\n    x: *no\n", 3, 8, "alias"),
    "a recursive alias": Malformed("all:\n  vars:\n    x: &a [*a]\n", 3, 8, "inside the very value"),
    "a merge of a number": Malformed("all:\n  vars:\n    <<: 1\n", 3, 9, "'<<' merges mappings"),
    "an unknown tag": Malformed("all:\n  vars:\n    x: !vualt |\n      abc\n", 3, 8, "unknown tag", "!vault"),
    "a Python tag": Malformed("all:\n  vars:\n    x: !!python/name:os.system\n", 3, 8, "unknown tag"),
    "a vault without header": Malformed("all:\n  vars:\n    x: !vault abc\n", 3, 8, "$ANSIBLE_VAULT"),
    "a vault of another kind": Malformed(
        "all:\n  vars:\n    x: !vault $ANSIBLE_VAULT;1.0;AES\n", 3, 8, "unknown vault format"
    ),
    "a command as text": Malformed("all:\n  vars:\n    x: !command pass show x\n", 3, 8, "takes a list"),
    "an env without name": Malformed("all:\n  vars:\n    x: !env\n", 3, 8, "takes one text"),
    "an impossible date": Malformed("all:\n  vars:\n    x: 2026-13-45\n", 3, 8, "reads as a date"),
    "two documents": Malformed("all:\n  hosts: {a: }\n---\nall:\n", 3, 1, "a second document"),
    "a control character": Malformed("all:\n  vars:\n    x: a\x01b\n", 3, 9, "control characters"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_error_names_place_and_meaning(name: str, tmp_path: Path) -> None:
    """The error says file, line, column, what is wrong, and the closest known name."""
    case = MALFORMED[name]
    path = tmp_path / "i.yml"
    path.write_text(case.text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_inventory(path)
    error = caught.value
    assert (error.file, error.line, error.column) == (str(path), case.line, case.column)
    assert case.words in str(error)
    assert error.suggestion == case.suggestion
    assert error.next_step or error.suggestion


def test_depth_without_end_is_an_error(tmp_path: Path) -> None:
    """Brackets without end are refused; where, only a PyYAML that counts them (6.0.4) tells."""
    path = tmp_path / "i.yml"
    path.write_text("all: " + "[" * 5000 + "]" * 5000)
    with pytest.raises(InputError, match="nested too deeply") as caught:
        load_inventory(path)
    assert caught.value.file == str(path) and caught.value.line in (None, 1)


def test_missing_file_names_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is not there is answered with the closest inventory that is."""
    (tmp_path / "inventories").mkdir()
    (tmp_path / "inventories" / "prod.yml").write_text("all: {}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load_inventory("inventories/prd.yml")
    assert caught.value.suggestion == "inventories/prod.yml"


def test_file_that_is_not_text(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an input error, not a traceback."""
    path = tmp_path / "i.yml"
    path.write_bytes(b"all:\n  vars: {x: \xff\xfe}\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_inventory(path)


def test_directory_without_inventories(tmp_path: Path) -> None:
    """An empty directory is an error that says which files are looked for."""
    with pytest.raises(InputError, match="no inventory files"):
        load_inventory(tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("- a\n", 1, 1, "expected a mapping of variables, found a list"),
        ("a: 1\na: 2\n", 2, 1, "written twice"),
        ("ansible_port: many\n", 1, 15, "from 1 to 65535"),
        ("a: [\n", 2, 1, "not valid YAML"),
    ],
)
def test_error_in_group_vars(tmp_path: Path, text: str, line: int, column: int, words: str) -> None:
    """A file of group_vars is checked as strictly, and the error names that file."""
    (tmp_path / "i.yml").write_text("web: {hosts: {a: }}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "web.yml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_inventory(tmp_path / "i.yml")
    assert caught.value.file == str(tmp_path / "group_vars" / "web.yml")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all: {vars: {ansible_sudo_pass: x}, hosts: {a: }}", "did you mean 'ansible_ssh_pass'?"),
        ("all: {vars: {ansible_users: [ann]}, hosts: {a: }}", "did you mean 'ansible_user'?"),
        ("all: {vars: {a-b: 22}, hosts: {a: }}", "not a valid variable name"),
        ("web-1: {hosts: {a: }}", "the group name 'web-1'"),
    ],
)
def test_odd_is_warned_of(tmp_path: Path, text: str, words: str) -> None:
    """What Ansible takes but was hardly meant is loaded, with a warning that names the place."""
    path = tmp_path / "i.yml"
    path.write_text(text)
    warnings = load_inventory(path).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}:1:")
    assert words in warnings[0]


def test_stranger_in_group_vars_is_warned_of(tmp_path: Path) -> None:
    """A file of group_vars for a group that is not there is read by nobody, which the user should know."""
    (tmp_path / "i.yml").write_text("livekit: {hosts: {a: }}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "livekti.yml").write_text("x: 1\n")
    assert "did you mean 'livekit'?" in load_inventory(tmp_path / "i.yml").warnings[0]
