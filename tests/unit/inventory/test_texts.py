"""Texts that YAML reads as something else: kept as written, or refused where they are written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import Field

from orchestr.cli.given import Options
from orchestr.cli.variables import extra_variables
from orchestr.errors import InputError
from orchestr.inventory import load_inventory
from orchestr.inventory.texts import check_texts
from orchestr.planning.params import Params, SecretText, resolve_params
from orchestr.planning.playbook import Play, RoleUse
from orchestr.planning.role import Role

CHANGED = ["1.10", "0022", "1_000_000", "NO", "on", "Yes", "0xFF", "1:30", "+0200", "1.0e+3", "0.10", "~"]
CHANGED += ["0.1234567890123456789", "2024-01-02", "null", "True", ".inf"]
KEPT = ["80", "0049123", "true", "false", "1.5", "-3", "12345678901234567890123", "1e3"]
KEPT += ["text", "'1.10'", "'NO'", "{{ 1 }}"]


def _value(tmp_path: Path, written: str) -> tuple[object, Path]:
    path = tmp_path / "i.yml"
    path.write_text(f"all:\n  hosts:\n    h:\n      env:\n        deep: [{{KEY: {written}}}]\n")
    return load_inventory(path).variables("h")["env"], path


@pytest.mark.parametrize("written", CHANGED)
def test_a_text_that_would_change_is_refused(tmp_path: Path, written: str) -> None:
    """Where text is meant, a value that would come out otherwise is refused at its place, with the quotes to write."""
    value, path = _value(tmp_path, written)
    with pytest.raises(InputError) as caught:
        check_texts(value)
    assert (caught.value.file, caught.value.line, caught.value.column) == (str(path), 5, 22)
    assert caught.value.next_step == f"put quotes around it: '{written}'"


@pytest.mark.parametrize("written", KEPT)
def test_a_text_that_stays_is_taken(tmp_path: Path, written: str) -> None:
    """Numbers and booleans that are written as they come out are texts too, and quotes always help."""
    check_texts(_value(tmp_path, f'"{written}"' if "{" in written else written)[0])


class _AppParams(Params):
    env: dict[str, str | int | float | bool] = Field(default_factory=dict)
    port: int = 0


def test_a_role_gets_its_texts_as_written(tmp_path: Path) -> None:
    """A parameter that takes texts and numbers alike is checked; one that takes numbers is not."""
    role = Role("app", tmp_path, SimpleNamespace(Params=_AppParams))  # type: ignore[arg-type]
    (tmp_path / "i.yml").write_text("all: {hosts: {h: {app_port: 0x10, app_env: {VERSION: 1.10}}}}")
    with pytest.raises(InputError, match=r"YAML reads 1\.10 as a number: 1\.1"):
        _params(role, tmp_path)
    (tmp_path / "i.yml").write_text("all: {hosts: {h: {app_port: 0x10, app_env: {VERSION: '1.10'}}}}")
    assert _params(role, tmp_path) == _AppParams(env={"VERSION": "1.10"}, port=16)


class _Named(Params):
    label: str = ""
    port: str | int = 80
    users: tuple[str, ...] = ()
    token: SecretText | None = None


@pytest.mark.parametrize(
    ("variables", "name", "quoted"),
    [
        ("app_label: 1.10", "app_label", "'1.10'"),
        ("app_label: 2024-01-02", "app_label", "'2024-01-02'"),
        ("app_label: NO", "app_label", "'NO'"),
        ("app_users: [bob, 0022]", "app_users[1]", "'0022'"),
        ("app_port: 0022", "", "'0022'"),
        ("app_port: 1_000", "", "'1_000'"),
    ],
)
def test_a_name_is_a_text(tmp_path: Path, variables: str, name: str, quoted: str) -> None:
    """Where only a text is taken, or a text as well, the advice has the quotes around the text as it is written."""
    role = Role("app", tmp_path, SimpleNamespace(Params=_Named))  # type: ignore[arg-type]
    for text in (f"all: {{hosts: {{h: {{{variables}}}}}}}", f"all: {{hosts: {{h: }}, vars: {{{variables}}}}}"):
        (tmp_path / "i.yml").write_text(text)
        with pytest.raises(InputError) as caught:
            _params(role, tmp_path)
        assert caught.value.line == 1 and name in caught.value.message
        assert caught.value.next_step == f"put quotes around it: {quoted}"


def test_an_unquoted_secret_is_not_shown(tmp_path: Path) -> None:
    """A token of digits only is to be quoted as well, and the message does not have it."""
    role = Role("app", tmp_path, SimpleNamespace(Params=_Named))  # type: ignore[arg-type]
    (tmp_path / "i.yml").write_text("all: {hosts: {h: {app_token: 12345678}}}")
    with pytest.raises(InputError) as caught:
        _params(role, tmp_path)
    assert caught.value.next_step == "put quotes around it" and "12345678" not in str(caught.value)


def test_group_vars_and_extra_variables_know_their_texts(tmp_path: Path) -> None:
    """A top-level value keeps its text from group_vars/ and from -e, also when a play or a role gives it."""
    (tmp_path / "i.yml").write_text("all: {hosts: {h: }}")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("version: 1.10\n")
    assert load_inventory(tmp_path / "i.yml").scope("h").text("version") == "1.10"
    given = extra_variables(Options(extra_vars=("version=1.10", "{level: 0022}", "mode: 0o17")))
    assert (given["version"], given["level"]) == ("1.10", 18)
    scope = load_inventory(tmp_path / "i.yml", extra_vars=given).scope("h")
    assert (scope.text("version"), scope.text("level"), scope.text("mode")) == (None, "0022", None)


def _params(role: Role, directory: Path) -> Params:
    return resolve_params(role, RoleUse("app"), Play("p", "all", ()), load_inventory(directory / "i.yml"), "h")


@pytest.mark.parametrize(("name", "quoted"), [("no", "'no'"), ("012", "'012'"), ("1.10", "'1.10'"), ("~", "'~'")])
@pytest.mark.parametrize("place", ["all: {{children: {{{}: {{}}}}}}", "all: {{hosts: {{{}: {{}}}}}}"])
def test_the_advice_for_a_name_is_the_name(tmp_path: Path, place: str, name: str, quoted: str) -> None:
    """A group or host called no, or 012, is to be quoted as it is written, not as YAML reads it."""
    (tmp_path / "i.yml").write_text(place.format(name))
    with pytest.raises(InputError, match="must be text") as caught:
        load_inventory(tmp_path / "i.yml")
    assert caught.value.next_step == f"put quotes around it: {quoted}"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"\\ud83d\\ude00"', "😀"),
        ('"a\\uD83D\\uDE00\\ud83d\\ude01b"', "a😀😁b"),
        ('"\\\\ud83d\\\\ude00"', "\\ud83d\\ude00"),
        ('"\\u4f60\\/"', "你/"),
    ],
)
def test_json_is_read_as_json(tmp_path: Path, written: str, value: str) -> None:
    """A character that JSON writes as two escapes is one character."""
    (tmp_path / "i.yml").write_text(f'{{"all": {{"hosts": {{"h": {{"x": {written}, "y": 1}}}}}}}}')
    inventory = load_inventory(tmp_path / "i.yml")
    assert inventory.variables("h") == {"x": value, "y": 1}


@pytest.mark.parametrize("name", ["ansible_user", "ansible_password", "ansible_become_password", "ansible_ssh_user"])
def test_how_to_connect_is_a_text(tmp_path: Path, name: str) -> None:
    """A user or password of digits is taken as written, or refused; it is not shown."""
    (tmp_path / "i.yml").write_text(f"all: {{hosts: {{h: {{{name}: 1234}}}}}}")
    assert "1234" in str(vars(load_inventory(tmp_path / "i.yml").connection("h"))) or "password" in name
    (tmp_path / "i.yml").write_text(f"all: {{hosts: {{h: {{{name}: 007_1}}}}}}")
    with pytest.raises(InputError) as caught:
        load_inventory(tmp_path / "i.yml").connection("h")
    assert caught.value.line == 1 and caught.value.next_step == "put quotes around it"
    assert "57" not in caught.value.message and "007_1" not in caught.value.message


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ("version: 1.10, image: 'app:{{ version }}'", "1.10"),
        ("version: 0022, image: 'app:{{version}}-x'", "0022"),
        ("version: 1_000, image: ['app:{{- version -}}']", "1_000"),
        ("version: 1.10, tag: '{{ version }}', image: {a: 'app:{{ tag }}'}", "1.10"),
    ],
)
def test_a_number_in_a_text_is_as_it_is_written(tmp_path: Path, variables: str, text: str) -> None:
    """A text made with a number that YAML reads otherwise is refused at the number."""
    (tmp_path / "i.yml").write_text(f"all: {{hosts: {{h: {{{variables}}}}}}}")
    with pytest.raises(InputError, match="a text is made with version") as caught:
        load_inventory(tmp_path / "i.yml").scope("h").value("image")
    assert (caught.value.line, caught.value.next_step) == (1, f"put quotes around it: '{text}'")


@pytest.mark.parametrize(
    ("variables", "value"),
    [
        ("version: '1.10', image: 'app:{{ version }}'", "app:1.10"),
        ("port: 80, image: 'app:{{ port }}'", "app:80"),
        ("version: 1.10, image: '{{ version }}'", 1.1),
        ("version: 1.10, image: 'v{{ version * 2 }}'", "v2.2"),
        ("flag: yes, image: 'v{{ flag }}'", "vTrue"),
        ("image: '{% for v in [1] %}v{{ v }}{% endfor %}', v: 0022", "v1"),
    ],
)
def test_other_values_in_a_text_are_taken(tmp_path: Path, variables: str, value: object) -> None:
    """A number that is written as it stands in the text, one alone, and one that is calculated with."""
    (tmp_path / "i.yml").write_text(f"all: {{hosts: {{h: {{{variables}}}}}}}")
    assert load_inventory(tmp_path / "i.yml").scope("h").value("image") == value
