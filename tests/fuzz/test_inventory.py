"""Inventories and variables: any text is an inventory whose values can be read, or an InputError."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from orchestr.errors import InputError
from orchestr.inventory import load_inventory
from orchestr.inventory.export import graph, to_ansible_dict
from orchestr.inventory.model import Inventory
from orchestr.inventory.position import Position
from orchestr.inventory.sources import SecretSources
from orchestr.secret import Secret
from orchestr.vault.key import VaultKey
from tests.fuzz.effort import altered, fuzz, read_within_limits, write

ROOT = Path(__file__).resolve().parents[2]
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SEEDS = [
    *(path.read_text() for path in sorted((ROOT / "inventories").glob("*.yml"))),
    "all:\n  vars: {a: 1, b: '{{ a }}'}\n  hosts:\n    h[1:3]: {ansible_host: 10.0.0.1, ansible_port: 22}\n",
    "all:\n  children:\n    web:\n      hosts: {a: , b: {x: [1, {y: z}]}}\n    db:\n      children: {web: }\n",
    "x: &x {a: 1}\nall: {vars: {<<: *x, b: !unsafe '{{', c: !env HOME}, hosts: {h: {ansible_become: yes}}}\n",
    '{"all": {"hosts": {"h": {"n": 1e3, "t": "\\ud83d\\ude00"}}}}',
]
WORDS = [
    ":", "- ", "\n  ", "{", "}", "[", "]", "*x", "&x ", "!vault", "!unsafe ", "!env ", "!generated ", "<<: ", "? ",
    "|\n", "'", '"', "#", "{{ ", " }}", "{% ", "hosts:", "children:", "vars:", "all", "[1:3]", "[a:z]", "[9:1]", "~",
    "0o7", "1_0", "2024-13-45", ".inf", "12:30", "!!binary ", "!!set ", "!!python/name:os.system", "ansible_host: ",
    "%YAML 9\n", "---\n", "...\n", "\\ud800", "$ANSIBLE_VAULT;1.1;AES256\n61", "group_names", "inventory_hostname",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _no_programs() -> Iterator[None]:
    """``!command`` runs programs; no text that a fuzzer makes may."""

    def refuse(self: SecretSources, argv: list[str], position: Position) -> Secret:
        raise position.error("no programs here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SecretSources, "command", refuse)
        yield


def _read_wholly(path: Path) -> Inventory:
    """Load an inventory, and read everything that can be read from it; each value may have an InputError of its own."""
    inventory = load_inventory(path, vault_password=VaultKey(ask=lambda: "fuzz"))
    inventory.select("all")
    graph(inventory)
    for read in (lambda: to_ansible_dict(inventory), *(_reader(inventory, name) for name in list(inventory.hosts)[:3])):
        try:
            read()
        except InputError as error:
            str(error)
    return inventory


def _reader(inventory: Inventory, name: str) -> Any:
    def read() -> None:
        inventory.connection(name)
        scope = inventory.scope(name)
        for variable in scope.written_names():
            try:
                scope.value(variable)
            except InputError as error:
                str(error)

    return read


@fuzz(altered(SEEDS, WORDS), examples=80)
def test_any_text_is_an_inventory_or_an_input_error(tmp_path: Path, text: str) -> None:
    """Real inventories with mistakes in them: any place, any kind."""
    path = write(tmp_path / "inventory.yml", text)
    read_within_limits(lambda: _read_wholly(path), InputError)


@fuzz(st.binary(max_size=60), examples=60)
def test_any_bytes_are_an_inventory_or_an_input_error(tmp_path: Path, data: bytes) -> None:
    """No text at all."""
    path = tmp_path / "inventory.yml"
    path.write_bytes(data)
    read_within_limits(lambda: _read_wholly(path), InputError)


VALUES = st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=8) | st.just("{{ b }}")
NAMES = st.sampled_from(["ansible_host", "ansible_port", "ansible_become", "ansible_connection", "a", "b"])
HOSTS = st.dictionaries(
    st.sampled_from(["h1", "web"]) | st.text(min_size=1), st.dictionaries(NAMES, VALUES), max_size=3
)


@fuzz(HOSTS, examples=100)
def test_json_is_read_as_it_was_written(tmp_path: Path, hosts: dict[str, dict[str, Any]]) -> None:
    """JSON is YAML: each value that is no template is read as the value that was written."""
    path = write(tmp_path / "inventory.json", json.dumps({"all": {"hosts": hosts}}))
    inventory = read_within_limits(lambda: _read_wholly(path), InputError)
    for name, variables in hosts.items() if inventory is not None else ():
        for variable, value in variables.items():
            if name in inventory.hosts:
                assert inventory.hosts[name].variables[variable] == value


INVENTORY = "all:\n  children:\n    web: {hosts: {web1: , web2: , 'fe80::1': }}\n    db: {hosts: {db1: }}\n"
TERMS = [
    "web",
    "db",
    "all",
    "*",
    "web*",
    ":",
    ",",
    "!",
    "&",
    "~",
    "[",
    "]",
    "0",
    "-1",
    "[0:1]",
    "~web(",
    "\\",
    "fe80::1",
]


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    return load_inventory(write(tmp_path_factory.mktemp("fuzz") / "inventory.yml", INVENTORY))


@fuzz(st.lists(st.sampled_from(TERMS) | st.text(max_size=3), max_size=6).map("".join), examples=100)
def test_any_pattern_selects_hosts_or_is_an_input_error(inventory: Inventory, pattern: str) -> None:
    """A pattern is also a regular expression (``~``): one that is malformed is refused as such."""
    for select in (lambda: inventory.select(pattern), lambda: inventory.select("all", limit=pattern)):
        selected = read_within_limits(select, InputError)
        assert {host.name for host in selected or ()} <= set(inventory.hosts)


def test_a_small_file_that_stands_for_a_huge_value(tmp_path: Path) -> None:
    """Aliases of aliases are one value each, however often they are named."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    text = "all:\n  vars:\n    " + "\n    ".join(lines) + "\n  hosts: {h: }\n"
    path = write(tmp_path / "inventory.yml", text)
    assert read_within_limits(lambda: load_inventory(path)).hosts
