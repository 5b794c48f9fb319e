"""Templates give what Ansible's give; what is undefined, circular or malformed is an error at its place."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from orchestr.errors import InputError
from orchestr.inventory import Inventory, Position, load_inventory, resolve

VARIABLES: dict[str, Any] = {
    "i": 5, "s": "txt", "n": None, "t": True, "l": [1, 2], "d": {"a": 1, "b": [3]}, "e": "", "f": 1.5, "num": "123",
    "day": datetime.date(2026, 1, 2),
}  # fmt: skip
TEMPLATES = [
    "{{ i }}", " {{ i }}", "{{ i }} ", "{{ i }}{{ n }}", "{{ n }}", "a{{ n }}", "{{ i }}\n", "{{ s }}\n", "{{ s }}\n\n",
    "{{ l }}\n", "{{ l }}", "x{{ l }}", "x{{ t }}", "x{{ d }}", "{{ num }}", "{{ num }}{{ num }}", "{{ i ~ '' }}",
    "{% if t %}{{ i }}{% endif %}", "{% if t %}{{ i }}{% endif %}\n", "{% if not t %}a{% endif %}", "{{ '{' }}{",
    "{% for x in l %}{{ x }}{% endfor %}", "{% for x in l %}{{ x }},{% endfor %}", "{# c #}", "{# c #}{{ i }}",
    "{{ e }}", "{{ i }}{# c #}", "{% set q = 3 %}{{ q }}", "a\n{% if t %}\nb\n{% endif %}\nc\n", "{{ d.a }}",
    "{{ d['b'] }}",
    "{{ s | upper }}", "{{ i + f }}", "{{ day }}", "{{ day }}x", "{{ '{{ i }}' }}", "{{ nope | default('z') }}",
    "{{ nope.x.y | default('z') }}", "{{ d.zz | default(4) }}", "{{ l | join(',') }}", "{{ 'yes' | bool }}",
    "{{ l | to_json }}", "{{ d | to_nice_json }}", "{{ d | dict2items }}", "{{ d | combine({'c': 2}) }}",
    "{{ s | b64encode }}", "{{ 'dHh0' | b64decode }}", "{{ 'a/b.c' | basename }}", "{{ 'a/b.c' | dirname }}",
    "{{ t | ternary('x', 'y') }}", "{{ 'abc' | regex_replace('b(.)', 'X\\\\1') }}", "{{ 'abc' | regex_search('b.') }}",
    "{{ l | map('string') }}", "{{ l | select }}", "{{ d.items() }}", "{{ d.keys() }}", "x{{ l | map('string') }}",
    "{{ range(3) | list }}", "{{ l | map('string') | list }}", "{{ d.items() | list }}", "{{ d.keys() | list }}",
    "{{ [1, 2] + l }}", "{{ {'a': i} }}", "{{ (1, 2) }}", "{{ s is defined }}", "{{ nope is defined }}", "{{ not t }}",
    "{{ d | to_yaml }}", "{{ d | to_nice_yaml }}", "{{ 'a b' | quote }}", "{{ 'x' | hash('sha256') }}",
    "{{ l | first }}", "{{ 'a\\\\b' }}", "{{ 'a\\nb' }}\\n",
    "{{ lookup('env', 'ORCHESTR_TEST_SET') }}", "{{ lookup('env', 'ORCHESTR_TEST_UNSET') }}", "{{ i > 3 and t }}",
    "{{ lookup('env', 'ORCHESTR_TEST_UNSET', default='q') }}", "{{ [{'key': 1, 'value': 2}] | items2dict }}",
    "{{ d | combine({'a': {'x': 1}}, recursive=True) }}", "{{ '{\"a\": 1}' | from_json }}", "{{ 'a: 1' | from_yaml }}",
]  # fmt: skip


@pytest.fixture(scope="module")
def ansible() -> Any:
    """Ansible's own templating over the same variables."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

    return Templar(loader=DataLoader(), variables=VARIABLES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_result_agrees(template: str, ansible: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template gives the value Ansible gives, of the same type."""
    from ansible.template import trust_as_template

    monkeypatch.setenv("ORCHESTR_TEST_SET", "from the environment")
    monkeypatch.delenv("ORCHESTR_TEST_UNSET", raising=False)
    expected, result = ansible.template(trust_as_template(template)), resolve(template, VARIABLES)
    assert (result, repr(result)) == (expected, repr(expected))


INVENTORY = """
all:
  vars:
    domain: example.org
    url: "https://{{ host }}/"
    host: "{{ inventory_hostname_short }}.{{ domain }}"
    ports: {http: "{{ base + 80 }}", nested: [{deep: "{{ base }}"}]}
    base: 8000
    unsafe: !unsafe "{{ base }}"
    uses_unsafe: "{{ unsafe }}"
    from_env: "{{ lookup('env', 'ORCHESTR_TEST_SET') }}"
    peers: "{{ groups.web | map('extract', hostvars, 'address') | list }}"
    first_peer: "{{ hostvars[groups['web'][0]].address }}"
    names: "{{ group_names | join('+') }}"
    where: "{{ inventory_dir }}|{{ inventory_file }}"
    typo: "{{ domian }}"
    uses_typo: "{{ typo | default('fallback') }}"
    needs_typo: "{{ typo }}"
    lost: "{{ ports.htp }}"
    circle_a: "{{ circle_b }}"
    circle_b: "x{{ circle_a }}"
    around: "{{ hostvars.w2.back }}"
    broken: "{{ a b }}"
    filtered: "{{ base | to_jsn }}"
    division: "{{ base / 0 }}"
    deep: {list: [ok, "{{ missing }}"]}
    deep_map: {inner: {key: "{{ missing }}"}}
    pieces: "{{ '{' }}{ base }{{ '}' }}"
    escape: "{{ ''.__class__.__mro__ }}"
    other_lookup: "{{ lookup('pipe', 'id') }}"
  children:
    web:
      hosts:
        w1.lan: {address: "10.0.0.{{ number }}", number: 1}
        w2: {address: 10.0.0.2, back: "{{ hostvars['w1.lan'].around }}"}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """An inventory whose variables refer to each other, rightly and wrongly."""
    (tmp_path / "i.yml").write_text(INVENTORY)
    return load_inventory(tmp_path / "i.yml")


def _line(text: str) -> int:
    return 1 + next(index for index, line in enumerate(INVENTORY.splitlines()) if line.strip().startswith(text))


def test_variables_refer_to_each_other(inventory: Inventory) -> None:
    """A variable is rendered through as many others as it takes, for each host by its own."""
    assert inventory.scope("w1.lan").value("url") == "https://w1.example.org/"
    assert inventory.scope("w2").value("url") == "https://w2.example.org/"


def test_containers_are_rendered_through(inventory: Inventory) -> None:
    """Templates inside mappings and lists are rendered, numbers staying numbers."""
    assert inventory.scope("w2").value("ports") == {"http": 8080, "nested": [{"deep": 8000}]}


def test_unsafe_is_never_rendered(inventory: Inventory) -> None:
    """An unsafe text keeps its braces, also when it comes through another variable."""
    assert inventory.scope("w2").value("unsafe") == "{{ base }}"
    assert inventory.scope("w2").value("uses_unsafe") == "{{ base }}"


def test_what_comes_from_outside_is_data(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Braces in an environment variable are not rendered, not even when the result is resolved once more."""
    monkeypatch.setenv("ORCHESTR_TEST_SET", "{{ base }}")
    scope = inventory.scope("w2")
    assert resolve(scope.value("from_env"), scope) == "{{ base }}"
    assert resolve(scope.value("pieces"), scope) == "{{ base }}"


def test_magic_names(inventory: Inventory) -> None:
    """Groups, other hosts' variables and the inventory's place are there without being written."""
    scope = inventory.scope("w2")
    assert scope.value("first_peer") == "10.0.0.1"
    assert scope.value("peers") == ["10.0.0.1", "10.0.0.2"]
    assert scope.value("names") == "web"
    assert scope.value("where") == f"{inventory.path.parent}|{inventory.path}"


def test_overlay_wins_and_extra_variables_win_over_it(tmp_path: Path) -> None:
    """A role's variables override the inventory's, extra variables override both."""
    (tmp_path / "i.yml").write_text("all: {vars: {a: inventory, b: inventory, c: '{{ a }}{{ b }}'}, hosts: {h: }}")
    scope = load_inventory(tmp_path / "i.yml", extra_vars={"b": "extra"}).scope(
        "h", {"a": "play", "b": "play"}, {"a": "role"}
    )
    assert scope.value("c") == "roleextra"


@pytest.mark.parametrize(
    ("name", "line_of", "words", "suggestion"),
    [
        ("typo", "typo:", "'domian' is not defined", "domain"),
        ("needs_typo", "typo:", "'domian' is not defined", "domain"),
        ("lost", "lost:", "no 'htp'", "http"),
        ("circle_a", "circle_a:", "circle: circle_a → circle_b → circle_a", None),
        ("broken", "broken:", "malformed template", None),
        ("filtered", "filtered:", "no filter 'to_jsn'", "to_json"),
        ("division", "division:", "division by zero", None),
        ("deep", "deep:", "'missing' is not defined", None),
        ("escape", "escape:", "unsafe", None),
        ("other_lookup", "other_lookup:", "lookup 'pipe' is not supported", None),
    ],
)
def test_error_stands_at_its_template(
    inventory: Inventory, name: str, line_of: str, words: str, suggestion: str | None
) -> None:
    """What goes wrong is reported at the variable whose template it is, with the name that was meant."""
    with pytest.raises(InputError) as caught:
        inventory.scope("w2").value(name)
    assert (caught.value.file, caught.value.line) == (str(inventory.path), _line(line_of))
    assert words in str(caught.value)
    assert caught.value.suggestion == suggestion


def test_circle_through_another_host(inventory: Inventory) -> None:
    """A circle that leads through another host's variables is found too."""
    with pytest.raises(InputError, match="circle"):
        inventory.scope("w1.lan").value("around")


def test_default_covers_what_needs_the_undefined(inventory: Inventory) -> None:
    """A variable that needs an undefined one counts as undefined itself, so ``default`` applies."""
    assert inventory.scope("w2").value("uses_typo") == "fallback"


@pytest.mark.parametrize("name", ["deep", "deep_map"])
def test_column_of_a_nested_template(inventory: Inventory, name: str) -> None:
    """Deep inside a value, the error names the line and column of the very template."""
    with pytest.raises(InputError) as caught:
        inventory.scope("w2").value(name)
    line = INVENTORY.splitlines()[_line(f"{name}:") - 1]
    assert caught.value.column == line.index('"{{') + 1


def test_broken_variable_harms_nobody_else(inventory: Inventory) -> None:
    """Variables are rendered when asked for: a broken one does not keep the others from being used."""
    rendered = inventory.scope("w2").variables()
    assert "typo" in rendered
    assert rendered["domain"] == "example.org"
    with pytest.raises(InputError):
        rendered["typo"]


def test_error_without_inventory_takes_the_position_given() -> None:
    """``resolve`` on a plain mapping reports where its caller says the value was written."""
    with pytest.raises(InputError) as caught:
        resolve("{{ prot }}", {"port": 1}, Position("site.yml", 7, 9))
    assert str(caught.value).startswith("site.yml:7:9: ")
    assert caught.value.suggestion == "port"


def test_position_of_a_nested_value(inventory: Inventory) -> None:
    """The place of any value inside a variable can be asked for; leaving the value, the nearest is told."""
    line = INVENTORY.splitlines()[_line("ports:") - 1]
    assert inventory.position("w2", "ports", "http") == Position(
        str(inventory.path), _line("ports:"), line.index('"{{') + 1
    )
    deep = inventory.position("w2", "ports", "nested", 0, "deep")
    assert deep is not None
    assert deep.column == line.rindex('"{{') + 1
    assert inventory.position("w2", "ports", "nope", "deeper") == inventory.position("w2", "ports")
    assert inventory.position("w2", "nothing") is None


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """Importing the package loads neither Jinja2, PyYAML nor cryptography; an inventory without templates no Jinja2."""
    import subprocess
    import sys

    code = (
        "import sys, tempfile, pathlib; from orchestr.inventory import load_inventory\n"
        "assert not {'jinja2', 'yaml', 'cryptography'} & set(sys.modules)\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'i.yml'; path.write_text('all: {hosts: {h: {ansible_port: 22}}}')\n"
        "load_inventory(path).connection('h'); assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
