"""A secret is a Secret from the moment it is read, is fetched when it is used, and hides what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib
from ansible.parsing.vault import VaultSecret as AnsibleSecret

from orchestr.errors import InputError
from orchestr.inventory import Inventory, load_inventory, resolve, to_ansible_dict
from orchestr.secret import REDACTED, Secret

CANARY = "canary-7f3a"
PASSWORD = "correct horse"


def _vault(text: str, label: str | None = None, password: str = PASSWORD) -> str:
    """Return ``text`` as ``ansible-vault`` encrypts it."""
    library = VaultLib([(label or "default", AnsibleSecret(password.encode()))])
    return str(library.encrypt(text, vault_id=label).decode())


def _inventory(tmp_path: Path, variables: str, password: Callable[[], str] | None = lambda: PASSWORD) -> Inventory:
    (tmp_path / "i.yml").write_text(f"all:\n  hosts: {{h: }}\n  vars:\n{variables}")
    return load_inventory(tmp_path / "i.yml", vault_password=password)


def _block(name: str, ciphertext: str) -> str:
    return f"    {name}: !vault |\n" + "".join(f"      {line}\n" for line in ciphertext.splitlines())


def _secret(inventory: Inventory, name: str) -> Secret:
    value = inventory.scope("h").value(name)
    assert isinstance(value, Secret)
    return value


@pytest.mark.parametrize("label", [None, "prod"])
@pytest.mark.parametrize("text", [CANARY, "ünï\ncode\n", "", "x" * 5000])
def test_vault_reads_what_ansible_vault_writes(tmp_path: Path, text: str, label: str | None) -> None:
    """Formats 1.1 and 1.2 decrypt to what was encrypted."""
    assert _secret(_inventory(tmp_path, _block("p", _vault(text, label))), "p").reveal() == text


def test_password_is_asked_for_once_and_only_when_needed(tmp_path: Path) -> None:
    """Loading asks for nothing; two values used twice ask once."""
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return PASSWORD

    inventory = _inventory(tmp_path, _block("a", _vault("1")) + _block("b", _vault("2")), ask)
    to_ansible_dict(inventory)
    inventory.scope("h").value("a")
    assert not asked
    assert [_secret(inventory, name).reveal() for name in "abab"] == ["1", "2", "1", "2"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-8], lambda text: text.replace("3", "zz"), lambda text: text[:90]]
)
def test_damaged_vault_is_an_input_error(tmp_path: Path, damage: Callable[[str], str]) -> None:
    """A vault text that was cut or changed is refused at its place, without showing anything of it."""
    inventory = _inventory(tmp_path, _block("p", damage(_vault(CANARY))))
    with pytest.raises(InputError) as caught:
        _secret(inventory, "p").reveal()
    assert (caught.value.line, caught.value.column) == (4, 8)
    assert CANARY not in str(caught.value)


def test_wrong_password(tmp_path: Path) -> None:
    """The wrong vault password is told as such, and not shown."""
    inventory = _inventory(tmp_path, _block("p", _vault(CANARY)), lambda: "battery staple")
    with pytest.raises(InputError, match="vault password is not the one") as caught:
        _secret(inventory, "p").reveal()
    assert "battery staple" not in str(caught.value)


@pytest.mark.parametrize("variable", ["ORCHESTR_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_PASSWORD_FILE"])
@pytest.mark.parametrize("executable", [False, True])
def test_password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, executable: bool) -> None:
    """The password comes from the file either variable names; an executable file is run, as Ansible does."""
    file = tmp_path / "password"
    file.write_text(f"#!/bin/sh\necho '{PASSWORD}'\n" if executable else f"{PASSWORD}\n")
    file.chmod(0o700 if executable else 0o600)
    monkeypatch.setenv(variable, str(file))
    assert _secret(_inventory(tmp_path, _block("p", _vault(CANARY)), None), "p").reveal() == CANARY


def test_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a password the error names the variable to set."""
    monkeypatch.delenv("ORCHESTR_VAULT_PASSWORD_FILE", raising=False)
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    with pytest.raises(InputError, match="ORCHESTR_VAULT_PASSWORD_FILE"):
        _secret(_inventory(tmp_path, _block("p", _vault(CANARY)), None), "p").reveal()


def test_file_encrypted_whole(tmp_path: Path) -> None:
    """Every text and number of an encrypted group_vars file is a Secret; names, booleans and nulls stay plain."""
    (tmp_path / "group_vars").mkdir()
    plain = f"pin: 0123\nnested: {{deep: [{CANARY}]}}\nflag: yes\nempty:\nuses: 'a{{{{ pin }}}}'\n"
    (tmp_path / "group_vars" / "all.yml").write_text(_vault(plain))
    inventory = _inventory(tmp_path, "    x: 1\n")
    variables = inventory.variables("h")
    assert variables["pin"] == Secret("0123")
    assert variables["nested"] == {"deep": [Secret(CANARY)]}
    assert (variables["flag"], variables["empty"], variables["x"]) == (True, None, 1)
    assert CANARY not in json.dumps(to_ansible_dict(inventory), default=repr)


def test_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``!env`` is the controller's variable when used; unset, the error names the closest that is set."""
    inventory = _inventory(tmp_path, "    p: !env ORCHESTR_CANARY\n")
    monkeypatch.setenv("ORCHESTR_CANARY", CANARY)
    assert _secret(inventory, "p").reveal() == CANARY
    monkeypatch.setenv("ORCHESTR_CANARI", "")
    monkeypatch.delenv("ORCHESTR_CANARY")
    with pytest.raises(InputError) as caught:
        _secret(_inventory(tmp_path, "    p: !env ORCHESTR_CANARY\n"), "p").reveal()
    assert (caught.value.line, caught.value.column) == (4, 8)
    assert caught.value.suggestion == "ORCHESTR_CANARI"


def test_file(tmp_path: Path) -> None:
    """``!file`` is relative to the file it is written in, and loses only its last newline."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "token").write_text(f"{CANARY}\n\n")
    inventory = _inventory(tmp_path, "    p: !file keys/token\n    q: !file keys/nothing\n")
    assert _secret(inventory, "p").reveal() == f"{CANARY}\n"
    with pytest.raises(InputError, match="No such file"):
        _secret(inventory, "q").reveal()


def test_command(tmp_path: Path) -> None:
    """``!command`` is what the program prints, run without a shell when used; failing, its stderr is told."""
    inventory = _inventory(
        tmp_path,
        "    p: !command [printf, '%s\\n', '$HOME;x']\n"
        "    q: !command [sh, -c, 'echo not today >&2; exit 3']\n    r: !command [/no/such/program]\n",
    )
    assert _secret(inventory, "p").reveal() == "$HOME;x"
    with pytest.raises(InputError, match=r"exited with 3: not today"):
        _secret(inventory, "q").reveal()
    with pytest.raises(InputError, match="No such file"):
        _secret(inventory, "r").reveal()


def test_secret_is_fetched_once(tmp_path: Path) -> None:
    """A password manager is asked once, however often its secret is used."""
    inventory = _inventory(
        tmp_path, "    p: !command [sh, -c, 'echo x >> asked; cat asked']\n    q: '{{ p }}{{ p }}'\n"
    )
    assert _secret(inventory, "q").reveal() == "xx"
    assert _secret(inventory, "p").reveal() == "x"


TEMPLATES = {
    "alone": ("{{ p }}", CANARY, REDACTED),
    "in a text": ("redis://:{{ p }}@host/{{ number }}", f"redis://:{CANARY}@host/7", f"redis://:{REDACTED}@host/7"),
    "through a variable": ("{{ url }}#x", f"a{CANARY}b#x", f"a{REDACTED}b#x"),
    "filtered": ("-{{ p | upper }}-", f"-{CANARY.upper()}-", f"-{REDACTED}-"),
    "encoded": ("{{ p | b64encode }}", "Y2FuYXJ5LTdmM2E=", REDACTED),
    "encoded in a text": ("u:{{ p | b64encode }}", "u:Y2FuYXJ5LTdmM2E=", f"u:{REDACTED}"),
    "from a mapping": ("{{ db.password }}!", f"{CANARY}!", f"{REDACTED}!"),
    "from a list": ("{{ all_of_them[0] }}", CANARY, REDACTED),
    "joined": ("{{ all_of_them | join(',') }}", f"{CANARY},plain", REDACTED),
    "in a loop": ("{% for each in all_of_them %}{{ each }}{% endfor %}", f"{CANARY}plain", f"{REDACTED}plain"),
    "set aside": ("{% set x = p %}v={{ x }}", f"v={CANARY}", f"v={REDACTED}"),
    "chosen by a statement": ("{% if p == 'canary-7f3a' %}yes{% endif %}", "yes", REDACTED),
    "counted by a loop": ("{% for letter in p %}{{ loop.index % 2 }}{% endfor %}.", "10101010101.", REDACTED),
    "as JSON": ("{{ db | to_json }}", f'{{"user": "ada", "password": "{CANARY}"}}', REDACTED),
    "from another host": ("{{ hostvars.h.p }}", CANARY, REDACTED),
    "from another host by key": ("{{ hostvars['h']['p'] | upper }}", CANARY.upper(), REDACTED),
    "its length": ("{{ p | length }}", "11", REDACTED),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_made_from_a_secret_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A template a secret took part in gives a Secret: the right text, and only its secret part hidden in a diff."""
    template, text, masked = TEMPLATES[name]
    monkeypatch.setenv("ORCHESTR_CANARY", CANARY)
    variables = (
        "    p: !env ORCHESTR_CANARY\n    number: 7\n    db: {user: ada, password: !env ORCHESTR_CANARY}\n"
        "    all_of_them: [!env ORCHESTR_CANARY, plain]\n    url: 'a{{ p }}b'\n"
    )
    secret = resolve(template, _inventory(tmp_path, variables).scope("h"))
    assert isinstance(secret, Secret)
    assert secret.reveal() == text
    assert secret.redacted() == masked
    assert str(secret) == repr(secret) == f"{secret}" == REDACTED


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ db.user }}", "ada"),
        ("{{ p is defined }}", True),
        ("{{ db }}", {"user": "ada", "password": Secret(CANARY)}),
        ("{{ {'k': p, 'n': number} }}", {"k": Secret(CANARY), "n": Secret("7")}),
        ("{{ all_of_them | length }}", 2),
        ("{{ number }}", 7),
    ],
)
def test_what_stands_beside_a_secret_stays_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, result: object
) -> None:
    """Reading past a secret makes nothing secret; a container made with one is secret in every text and number."""
    monkeypatch.setenv("ORCHESTR_CANARY", CANARY)
    variables = (
        "    p: !env ORCHESTR_CANARY\n    number: 7\n    db: {user: ada, password: !env ORCHESTR_CANARY}\n"
        "    all_of_them: [!env ORCHESTR_CANARY, plain]\n"
    )
    assert resolve(template, _inventory(tmp_path, variables).scope("h")) == result


REACHING = [
    "{% for each in [] + all_of_them %}{{ each.reveal() }}{% endfor %}",
    "{{ ([] + all_of_them) | map(attribute='_text') | list }}",
    "{{ ([] + all_of_them) | map('string') | list }}",
    "{{ ([] + all_of_them) | string }}",
]


@pytest.mark.parametrize("template", REACHING)
def test_template_cannot_reach_into_the_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    """Where a template gets hold of the Secret itself, neither its methods nor its fields give the text away."""
    monkeypatch.setenv("ORCHESTR_CANARY", CANARY)
    scope = _inventory(tmp_path, "    all_of_them: [!env ORCHESTR_CANARY]\n").scope("h")
    try:
        assert CANARY not in repr(resolve(template, scope))
    except InputError as problem:
        assert CANARY not in str(problem)


def test_no_secret_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON list shows a vault value's ciphertext and hides every other secret."""
    monkeypatch.setenv("ORCHESTR_CANARY", CANARY)
    ciphertext = _vault(CANARY)
    inventory = _inventory(tmp_path, "    p: !env ORCHESTR_CANARY\n    l: [!file x]\n" + _block("v", ciphertext))
    variables = to_ansible_dict(inventory)["_meta"]["hostvars"]["h"]
    assert variables == {"p": REDACTED, "l": [REDACTED], "v": {"__ansible_vault": ciphertext}}
    assert CANARY not in repr(inventory) + repr(inventory.hosts["h"]) + repr(inventory.variables("h"))


FAILING = [
    "{{ p | int + p.missing }}",
    "{{ p | from_json }}",
    "{{ {}[p] }}",
    "{{ p | b64decode }}",
    "{{ 'a' | hash(p) }}",
]


@pytest.mark.parametrize("template", FAILING)
def test_error_in_a_template_hides_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    """A template that fails on a secret does not tell it."""
    monkeypatch.setenv("ORCHESTR_CANARY", CANARY)
    inventory = _inventory(tmp_path, f"    p: !env ORCHESTR_CANARY\n    x: {json.dumps(template)}\n")
    with pytest.raises(InputError) as caught:
        inventory.scope("h").value("x")
    assert caught.value.line == 5
    assert CANARY not in str(caught.value)
