"""A generated secret is made once, whoever asks first, kept where only its owner reads it, and never by a plan."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestr.errors import InputError
from orchestr.inventory import Inventory, VaultKey, load_inventory, to_ansible_dict
from orchestr.redaction import redact
from orchestr.secret import REDACTED, Secret
from orchestr.vault.format import decrypt, encrypt

Load = Callable[..., Inventory]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load an inventory whose ``vars`` are given as text; no vault password unless one is given."""
    for name in ("ORCHESTR_VAULT_PASSWORD", "ORCHESTR_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)

    def call(variables: str = "p: !generated redis/password", name: str = "i", key: Any = None) -> Inventory:
        (tmp_path / f"{name}.yml").write_text(f"all:\n  hosts: {{h: }}\n  vars:\n    {variables}\n")
        return load_inventory(tmp_path / f"{name}.yml", vault_password=key)

    return call


def _text(inventory: Inventory, name: str = "p") -> str:
    value = inventory.scope("h").value(name)
    assert isinstance(value, Secret)
    return value.reveal()


def test_it_is_made_once(load: Load, tmp_path: Path) -> None:
    """The first run makes it, 0600 and out of git's sight; the next inventory in the directory has the same."""
    first = load()
    first.generated.begin_writing()
    text = _text(first)
    kept = tmp_path / ".orchestr/secrets/redis/password"
    assert (len(text), text.isalnum(), kept.read_text()) == (32, True, f"{text}\n")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o077 == 0
    assert (tmp_path / ".orchestr/.gitignore").read_text().endswith("\n*\n")
    assert [path.name for path in kept.parent.iterdir()] == ["password"]
    assert list(first.generated.notes()) == [
        "generated now, and kept beside the inventory in .orchestr/secrets: redis/password"
    ]
    second = load("q: !generated {name: redis/password}", "another")
    second.generated.begin_writing()
    assert _text(second, "q") == text
    assert list(second.generated.notes()) == []


def test_looking_writes_nothing(load: Load, tmp_path: Path) -> None:
    """Before writing begins a value is made up, the same each time; what a run then keeps is that."""
    inventory = load()
    text = _text(inventory)
    assert text == _text(inventory)
    assert not (tmp_path / ".orchestr").exists()
    assert list(inventory.generated.notes()) == ["not generated yet, run does it: redis/password"]
    inventory.generated.begin_writing()
    assert (tmp_path / ".orchestr/secrets/redis/password").read_text() == f"{text}\n"
    assert _text(inventory) == text


def test_length_and_characters(load: Load) -> None:
    """They are what the tag says."""
    text = _text(load("p: !generated {name: key, length: 200, characters: hex}"))
    assert len(text) == 200
    assert set(text) == set("0123456789abcdef")


def test_group_vars_share_it(load: Load, tmp_path: Path) -> None:
    """A tag in group_vars/all/x.yml means the file beside the inventory."""
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/x.yml").write_text("q: !generated redis/password\n")
    inventory = load()
    inventory.generated.begin_writing()
    assert _text(inventory, "p") == _text(inventory, "q")


def test_two_runs_at_once_agree(load: Load, tmp_path: Path) -> None:
    """However many runs make it at the same time, all of them have the one that is kept."""
    inventories = [load() for _ in range(8)]
    barrier, found = threading.Barrier(len(inventories)), []

    def use(inventory: Inventory) -> None:
        inventory.generated.begin_writing()
        barrier.wait()
        found.append(_text(inventory))

    threads = [threading.Thread(target=use, args=(each,)) for each in inventories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(inventories)
    assert {f"{text}\n" for text in found} == {(tmp_path / ".orchestr/secrets/redis/password").read_text()}


def test_it_is_encrypted_when_there_is_a_password(load: Load, tmp_path: Path) -> None:
    """With a vault password named it is kept as a vault text, and read with that password again."""
    inventory = load(key=VaultKey(lambda: "open sesame"))
    inventory.generated.begin_writing()
    text = _text(inventory)
    kept = (tmp_path / ".orchestr/secrets/redis/password").read_text()
    assert decrypt(kept, b"open sesame") == f"{text}\n".encode()
    assert _text(load(key=VaultKey(lambda: "open sesame"))) == text
    with pytest.raises(InputError, match="redis/password:1:1: the vault password is not the one"):
        _text(load(key=VaultKey(lambda: "open barley")))


def test_it_is_hidden(load: Load) -> None:
    """It is a Secret like every other: in the list, in what is made of it, in the last net."""
    inventory = load("p: !generated x\n    url: 'redis://:{{ p }}@h'")
    text = _text(inventory)
    assert to_ansible_dict(inventory)["_meta"]["hostvars"]["h"]["p"] == REDACTED
    assert _text(inventory, "url") == f"redis://:{text}@h"
    assert redact(f"it is {text}") == f"it is {REDACTED}"


WRONG = {
    "no name": ("p: !generated ''", 4, 8, "is not a valid name"),
    "a template": ("p: !generated '{{ inventory_hostname }}'", 4, 8, "is not a valid name"),
    "a way out": ("p: !generated ../../x", 4, 8, "is not a valid name"),
    "a hidden file": ("p: !generated a/.b", 4, 8, "is not a valid name"),
    "a list": ("p: !generated [a]", 4, 8, "is not a valid name"),
    "an unknown key": ("p: !generated {name: a, lenght: 9}", 4, 8, "did you mean 'length'?"),
    "too short": ("p: !generated {name: a, length: 7}", 4, 8, "from 8 to 1024, found 7"),
    "no number": ("p: !generated {name: a, length: long}", 4, 8, "found 'long'"),
    "unknown characters": ("p: !generated {name: a, characters: hexx}", 4, 8, "did you mean 'hex'?"),
    "otherwise": ("p: !generated a\n    q: !generated {name: a, length: 9}", 5, 8, "otherwise at"),
}


@pytest.mark.parametrize("name", WRONG)
def test_malformed(load: Load, name: str) -> None:
    """A tag that can't be right is an InputError at its place, when the inventory is read."""
    variables, line, column, said = WRONG[name]
    with pytest.raises(InputError) as caught:
        load(variables)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert said in str(caught.value)


DAMAGED = {
    "empty": (b"\n", 0o600, "is empty"),
    "others can read it": (b"text\n", 0o644, "mode 0644"),
    "not text": (b"\xff", 0o600, "not UTF-8"),
    "no password": (encrypt(b"x", b"y").encode(), 0o644, "no vault password was given"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_kept_is_never_replaced(load: Load, tmp_path: Path, name: str) -> None:
    """A kept secret that can't be used is an error that says so; it is not generated again."""
    content, mode, said = DAMAGED[name]
    path = tmp_path / ".orchestr/secrets/redis/password"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(mode)
    inventory = load()
    inventory.generated.begin_writing()
    with pytest.raises(InputError, match=said):
        _text(inventory)
    assert path.read_bytes() == content
