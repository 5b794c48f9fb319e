"""``orchestr secrets`` and ``ansible-vault`` read what the other writes; nothing is lost, and nothing shown unasked."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestr.transport.memory import MemoryHost
from tests.cli.conftest import CANARY, Orchestr
from tests.waiting import HANG_S

ANSIBLE_VAULT = Path(sys.executable).with_name("ansible-vault")
PLAIN = f"# kept\ntoken: {CANARY}\numlaut: ü\n"
Ansible = Callable[..., str]


@pytest.fixture
def ansible(project: Path) -> Ansible:
    """Run the real ansible-vault in the project's directory; return what it prints."""

    def call(*words: str, text: str = "") -> str:
        environment = {**os.environ, "ANSIBLE_HOME": str(project / ".ansible")}
        done = subprocess.run(
            [str(ANSIBLE_VAULT), *words], cwd=project, input=text, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture
def passwords(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two password files, ``old`` and ``new``; the environment names none."""
    for name in ("old", "new"):
        (project / name).write_text(f"the {name} password\n")
        (project / name).chmod(0o600)
    for variable in [name for name in os.environ if "VAULT" in name]:
        monkeypatch.delenv(variable)
    return project


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Put ``data`` where stdin is read."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("label", ["", "prod"])
def test_ansible_vault_reads_what_it_encrypts(
    orchestr: Orchestr, ansible: Ansible, passwords: Path, label: str
) -> None:
    """A file encrypted in place is opened by ansible-vault, with and without a vault id; its mode is kept."""
    option = ["--vault-id", f"{label}@old"] if label else ["--vault-password-file", "old"]
    path = _write(passwords / "vault.yml", PLAIN, 0o640)
    assert orchestr("secrets", "encrypt", "vault.yml", *option).code == 0
    header = path.read_text().partition("\n")[0]
    assert header == ("$ANSIBLE_VAULT;1.2;AES256;prod" if label else "$ANSIBLE_VAULT;1.1;AES256")
    assert path.stat().st_mode & 0o777 == 0o640
    assert ansible("view", *option, "vault.yml") == PLAIN
    assert sorted(each.name for each in passwords.iterdir() if each.name.startswith(".orchestr-")) == []


@pytest.mark.parametrize("label", ["", "prod"])
def test_it_decrypts_what_ansible_vault_writes(
    orchestr: Orchestr, ansible: Ansible, passwords: Path, label: str
) -> None:
    """view shows it, decrypt writes it; the decrypted file is the owner's alone, whatever its mode was."""
    option = ["--vault-id", f"{label}@old"] if label else ["--vault-password-file", "old"]
    path = _write(passwords / "vault.yml", PLAIN)
    ansible("encrypt", *option, "vault.yml")
    path.chmod(0o644)
    assert orchestr("secrets", "view", "vault.yml", *option).out == PLAIN
    assert orchestr("secrets", "decrypt", "--output", "-", "vault.yml", *option).out == PLAIN
    assert path.read_text() != PLAIN
    assert orchestr("secrets", "decrypt", "vault.yml", *option).code == 0
    assert (path.read_text(), path.stat().st_mode & 0o777) == (PLAIN, 0o600)


def test_one_value(orchestr: Orchestr, ansible: Ansible, passwords: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--string prints the YAML to paste: the inventory has the value, and ansible-vault opens its text."""
    typed(monkeypatch, f"{CANARY}\n".encode())
    said = orchestr("secrets", "encrypt", "--string", "app_token", "--vault-password-file", "old")
    assert said.code == 0
    assert CANARY not in said.out + said.err
    assert said.out.startswith("app_token: !vault |\n")
    indented = "".join(f"    {line}\n" for line in said.out.splitlines())
    _write(passwords / "inventories/v.yml", f"all:\n  hosts: {{h: }}\n  vars:\n{indented}")
    text = "".join(f"{line.strip()}\n" for line in said.out.splitlines()[1:])
    assert ansible("decrypt", "--vault-password-file", "old", "--output", "-", text=text).rstrip("\n") == CANARY
    found = orchestr("inventory", "inventories/v.yml", "--host", "h").out
    assert "$ANSIBLE_VAULT;1.1;AES256" in found


def test_the_environment_gives_the_password(
    orchestr: Orchestr, passwords: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ORCHESTR_VAULT_PASSWORD and the variables that name a file all do; the password itself is not passed on."""
    path = _write(passwords / "vault.yml", PLAIN)
    monkeypatch.setenv("ORCHESTR_VAULT_PASSWORD", "the old password")
    assert orchestr("secrets", "encrypt", "vault.yml").code == 0
    assert "ORCHESTR_VAULT_PASSWORD" not in os.environ
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(passwords / "old"))
    assert orchestr("secrets", "view", "vault.yml").out == PLAIN
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(passwords / "new"))
    monkeypatch.setenv("ANSIBLE_VAULT_IDENTITY_LIST", f"x@{passwords / 'old'}")
    assert orchestr("secrets", "view", "vault.yml").out == PLAIN
    assert PLAIN not in path.read_text()


def test_a_program_prints_the_password(orchestr: Orchestr, passwords: Path) -> None:
    """A password file that is executable is run; one named …-client is told the vault id."""
    _write(passwords / "ask-client", '#!/bin/sh\n[ "$1 $2" = "--vault-id prod" ] && echo "the old password"\n', 0o700)
    _write(passwords / "vault.yml", PLAIN)
    assert orchestr("secrets", "encrypt", "vault.yml", "--vault-id", "prod@ask-client").code == 0
    assert orchestr("secrets", "view", "vault.yml", "--vault-password-file", "old").out == PLAIN


def test_a_password_file_others_can_read_is_warned_of(orchestr: Orchestr, passwords: Path) -> None:
    """It is used, as by Ansible, with a warning that says what to type."""
    _write(passwords / "vault.yml", PLAIN)
    (passwords / "old").chmod(0o644)
    said = orchestr("secrets", "encrypt", "vault.yml", "--vault-password-file", "old")
    assert said.code == 0
    assert "warning: old: others can read" in said.err
    assert "chmod 600 old" in said.err


INVENTORY = """\
# a comment, and\ttabs behind it\r
all:
  hosts: {{h: }}
  vars:
    plain:   'kept as it is'   # also this
    one: !vault |
          {one}
    two: &two !vault |-   # a remark
      {two}

    list: [*two, "x"]
    three: !vault "{three}"
  # the end, without a newline"""


def _indented(text: str, depth: int) -> str:
    return text.rstrip("\n").replace("\n", "\n" + " " * depth)


@pytest.fixture
def site(passwords: Path, ansible: Ansible) -> Path:
    """An inventory with three values that ansible-vault encrypted, two of them with vault ids, written three ways."""
    from ansible.parsing.vault import VaultLib, VaultSecret

    library = VaultLib([("default", VaultSecret(b"the old password"))])
    labels = enumerate([None, "a", "b"])
    one, two, three = (library.encrypt(f"{CANARY}{n}", vault_id=label).decode() for n, label in labels)
    text = INVENTORY.format(one=_indented(one, 10), two=_indented(two, 6), three=three.replace("\n", "\\n"))
    path = passwords / "inventories/vaulted.yml"
    path.write_bytes(text.encode())
    return path


def _values(path: Path, password: str) -> list[str]:
    from orchestr.inventory import load_inventory

    scope = load_inventory(path, vault_password=lambda: password).scope("h")
    return [scope.value(name).reveal() for name in ("one", "two", "three")]


def test_rekey_of_values(orchestr: Orchestr, passwords: Path, site: Path) -> None:
    """Every !vault value gets the new password and keeps its vault id; all other bytes of the file stay."""
    before = site.read_bytes()
    said = orchestr("secrets", "rekey", str(site), "--vault-password-file", "old", "--new-vault-password-file", "new")
    assert said.code == 0, said.err
    assert "3 values" in said.err
    assert _values(site, "the new password") == [f"{CANARY}{n}" for n in range(3)]
    after = site.read_bytes()
    assert [line for line in after.split(b"\n") if b"VAULT" in line and b'"' not in line] == [
        line for line in before.split(b"\n") if b"VAULT" in line and b'"' not in line
    ]
    assert b";1.2;AES256;b\\n" in after
    hexadecimal = b"0123456789abcdef\n "
    assert _without(after, hexadecimal) == _without(before, hexadecimal)


def _without(data: bytes, characters: bytes) -> list[bytes]:
    """Return the lines that are not of these characters alone, nor a quoted vault text."""
    return [line for line in data.splitlines(True) if line.strip(characters) and b'"$' not in line]


def test_rekey_is_all_or_nothing(orchestr: Orchestr, ansible: Ansible, passwords: Path, site: Path) -> None:
    """When one of several files can't be opened, none is changed, and the error names the place."""
    other = _write(passwords / "other.yml", PLAIN)
    ansible("encrypt", "--vault-password-file", "new", "other.yml")
    before = site.read_bytes(), other.read_bytes()
    words = ["--vault-password-file", "old", "--new-vault-password-file", "new"]
    said = orchestr("secrets", "rekey", str(site), "other.yml", *words)
    assert said.code == 2
    assert "other.yml:1:1: the vault password is not the one" in said.err
    assert (site.read_bytes(), other.read_bytes()) == before


def test_rekey_puts_back_when_a_file_cannot_be_replaced(
    orchestr: Orchestr, passwords: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure after the first file was replaced puts that one back."""
    before = site.read_bytes()
    other = _write(passwords / "other.yml", "")
    other.write_bytes(before)
    real = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if target == other.resolve():
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    words = ["--vault-password-file", "old", "--new-vault-password-file", "new"]
    said = orchestr("secrets", "rekey", str(site), "other.yml", *words)
    assert said.code == 2
    assert "other.yml: can't be replaced: No space left" in said.err
    assert (site.read_bytes(), other.read_bytes()) == (before, before)
    assert not [path for path in passwords.rglob(".orchestr-*")]


def test_rekey_of_a_whole_file(orchestr: Orchestr, ansible: Ansible, passwords: Path) -> None:
    """ansible-vault opens it with the new password, under its new vault id."""
    path = _write(passwords / "vault.yml", PLAIN)
    ansible("encrypt", "--vault-id", "prod@old", "vault.yml")
    assert orchestr("secrets", "rekey", "vault.yml", "--vault-id", "old", "--new-vault-id", "live@new").code == 0
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;live\n")
    assert ansible("view", "--vault-id", "live@new", "vault.yml") == PLAIN


BAD = {
    "wrong password": (["view", "vault.yml", "--vault-password-file", "new"], "vault.yml:1:1: the vault password"),
    "no password": (["view", "vault.yml"], "vault.yml:1:1: this is encrypted with Ansible Vault and no vault password"),
    "several wrong": (["view", "vault.yml", "--vault-id", "a@new", "--vault-id", "b@new"], "(a, b)"),
    "cut": (["view", "cut.yml", "--vault-password-file", "old"], "cut.yml:1:1: the vault text is damaged"),
    "odd": (["view", "odd.yml", "--vault-password-file", "old"], "odd.yml:1:1: the vault text is damaged"),
    "header only": (["view", "header.yml", "--vault-password-file", "old"], "header.yml:1:1: the vault text is"),
    "old format": (["view", "ancient.yml", "--vault-password-file", "old"], "ancient.yml:1:1: unknown vault format"),
    "plain": (["view", "plain.yml", "--vault-password-file", "old"], "plain.yml:1:1: is not encrypted"),
    "binary": (["decrypt", "binary", "--vault-password-file", "old"], "binary: is not encrypted"),
    "twice": (["encrypt", "vault.yml", "--vault-password-file", "old"], "is encrypted already"),
    "no such file": (["encrypt", "plian.yml", "--vault-password-file", "old"], "no such file"),
    "no file": (["decrypt"], "no file was named"),
    "no such password file": (["view", "vault.yml", "--vault-password-file", "odl"], "no such vault password file"),
    "empty password file": (["view", "vault.yml", "--vault-password-file", "empty"], "the file is empty"),
    "malformed vault id": (["view", "vault.yml", "--vault-id", "@old"], "is not LABEL@SOURCE"),
    "two labels": (["encrypt", "plain.yml", "--vault-id", "a@old", "--vault-id", "b@new"], "--encrypt-vault-id LABEL"),
    "no such verb": (["encyrpt", "plain.yml"], "did you mean 'encrypt'?"),
    "no name": (["encrypt", "--string", "a b", "--vault-password-file", "old"], "'a b' is not a valid variable name"),
    "nothing in it": (
        ["rekey", "plain.yml", "--vault-password-file", "old", "--new-vault-password-file", "new"],
        "nothing in it is encrypted",
    ),
    "no new password": (["rekey", "vault.yml", "--vault-password-file", "old"], "no new vault password was given"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(orchestr: Orchestr, passwords: Path, name: str) -> None:
    """It ends with 2, one error with a place and a next step, also as JSON; no file is changed, no secret shown."""
    from orchestr.vault.format import encrypt

    whole = encrypt(PLAIN.encode(), b"the old password")
    for path, text in {
        "vault.yml": whole, "cut.yml": whole[:-90], "odd.yml": whole[:-2], "header.yml": whole.partition("\n")[0],
        "ancient.yml": "$ANSIBLE_VAULT;1.0;AES\n3132\n", "plain.yml": PLAIN, "empty": "\n",
    }.items():  # fmt: skip
        _write(passwords / path, text)
    (passwords / "binary").write_bytes(b"\xff\xfe\x00")
    before = {path: path.read_bytes() for path in passwords.iterdir() if path.is_file()}
    words, expected = BAD[name]
    said = orchestr("secrets", *words)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert expected in said.err
    assert "\n  → " in said.err
    assert CANARY not in said.out + said.err
    answer = json.loads(orchestr("secrets", *words, "--json").out)
    assert answer["exit"] == 2
    assert answer["error"]["message"]
    assert {path: path.read_bytes() for path in passwords.iterdir() if path.is_file()} == before


def _at_a_terminal(project: Path, *words: str, answers: str) -> tuple[int, str]:
    """Run a command line whose standard streams are a terminal; return its exit code and all that it shows there."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "orchestr", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=project, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        waiting = answers.splitlines()
        try:
            while data := os.read(ours, 4096):
                shown += data
                if waiting and shown.endswith(b": "):  # a question: echo is off by now
                    os.write(ours, waiting.pop(0).encode() + b"\n")
        except OSError:  # the other side is closed: this is how a terminal ends on Linux
            pass
        os.close(ours)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def test_a_person_is_asked(passwords: Path, ansible: Ansible) -> None:
    """At a terminal, with nothing else to go by: twice for what is encrypted with it, once to read."""
    _write(passwords / "vault.yml", PLAIN)
    code, shown = _at_a_terminal(passwords, "secrets", "encrypt", "vault.yml", answers="the old password\n" * 2)
    assert code == 0, shown
    assert (shown.count("Vault password"), "the old password" in shown) == (2, False)
    assert ansible("view", "--vault-password-file", "old", "vault.yml") == PLAIN
    code, shown = _at_a_terminal(passwords, "secrets", "view", "vault.yml", answers="the old password\n")
    assert (code, shown.count("Vault password"), PLAIN in shown) == (0, 1, True)
    words = ("secrets", "rekey", "vault.yml", "--vault-password-file", "old")
    code, shown = _at_a_terminal(passwords, *words, answers="one\nanother\n")
    assert (code, "the two passwords differ" in shown) == (2, True)
    assert ansible("view", "--vault-password-file", "old", "vault.yml") == PLAIN


def test_an_inventory_asks_once(passwords: Path, site: Path) -> None:
    """Several values, and -e, want one answer; --vault-id LABEL@prompt names the label."""
    words = ("plan", str(site), "-e", "x=1")
    (passwords / "roles/app/__init__.py").write_text("def deploy(host, params):\n    yield from ()\n")
    text = site.read_text().replace("{h: }", "{h: {ansible_connection: local, ansible_password: '{{ one }}{{ two }}'}}")
    site.write_text(text)
    code, shown = _at_a_terminal(passwords, *words, answers="the old password\n")
    assert (code, shown.count("Vault password")) == (0, 1), shown
    code, shown = _at_a_terminal(passwords, *words, "--vault-id", "a@prompt", answers="the old password\n")
    assert (code, shown.count("Vault password (a): ")) == (0, 1), shown


def test_nobody_answers(orchestr: Orchestr, vaulted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--ask-vault-pass with stdin at its end is bad input."""
    typed(monkeypatch, b"")

    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    said = orchestr("secrets", "view", "vault.yml", "--ask-vault-password")
    assert said.code == 2
    assert "no answer" in said.err


def _editor(monkeypatch: pytest.MonkeyPatch, project: Path, script: str) -> None:
    """Make $EDITOR a shell script; $1 is the file, and it notes where that is."""
    lines = f'#!/bin/sh\ndirname "$1" > {project}/where\nstat -c %a "$1" "$(dirname "$1")" > {project}/modes\n'
    _write(project / "editor", lines + script, 0o700)
    monkeypatch.setenv("EDITOR", f"{project}/editor")


@pytest.fixture
def vaulted(passwords: Path, ansible: Ansible, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that ansible-vault encrypted with a vault id, its password named by the environment."""
    path = _write(passwords / "vault.yml", PLAIN)
    ansible("encrypt", "--vault-id", "prod@old", "vault.yml")
    monkeypatch.setenv("ORCHESTR_VAULT_PASSWORD_FILE", str(passwords / "old"))
    return path


def test_edit(orchestr: Orchestr, ansible: Ansible, vaulted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the editor wrote is encrypted again under the same vault id; the copy was private and is gone."""
    project = vaulted.parent
    _editor(monkeypatch, project, 'echo "more: 1" >> "$1"; cp "$1" "$1.swp"\n')
    assert orchestr("secrets", "edit", "vault.yml").code == 0
    assert vaulted.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert ansible("view", "--vault-id", "prod@old", "vault.yml") == PLAIN + "more: 1\n"
    assert (project / "modes").read_text().split() == ["600", "700"]
    assert not Path((project / "where").read_text().strip()).exists()


@pytest.mark.parametrize(("script", "code"), [("true", 0), ('echo x > "$1"; exit 3', 1), ("kill -9 $$", 1)])
def test_edit_that_changes_nothing(
    orchestr: Orchestr, vaulted: Path, monkeypatch: pytest.MonkeyPatch, script: str, code: int
) -> None:
    """An editor that changes nothing, fails or is killed leaves the file byte for byte, and no copy."""
    before = vaulted.read_bytes()
    _editor(monkeypatch, vaulted.parent, script)
    said = orchestr("secrets", "edit", "vault.yml")
    assert said.code == code, said.err
    assert vaulted.read_bytes() == before
    assert not Path((vaulted.parent / "where").read_text().strip()).exists()


def test_edit_loses_nothing(orchestr: Orchestr, vaulted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody else changed the file meanwhile it stays theirs, and what was typed is kept, encrypted."""
    _editor(monkeypatch, vaulted.parent, f'echo "more: 1" >> "$1"; echo theirs > {vaulted}\n')
    said = orchestr("secrets", "edit", "vault.yml")
    assert said.code == 1
    assert "has changed since it was read" in said.err
    assert vaulted.read_text() == "theirs\n"
    kept = next((vaulted.parent / "state" / "edited").iterdir())
    assert str(kept) in said.err
    assert "$ANSIBLE_VAULT" in kept.read_text()
    assert orchestr("secrets", "view", str(kept)).out == PLAIN + "more: 1\n"


def test_edit_that_is_ended(vaulted: Path) -> None:
    """SIGTERM ends the editor and removes the copy; Ctrl-C is the editor's."""
    project = vaulted.parent
    fifo = project / "fifo"
    os.mkfifo(fifo)
    script = f"#!/bin/sh\ntrap 'exit 1' TERM\ntrap : INT\ndirname \"$1\" > {fifo}\nwhile :; do sleep 0.1; done\n"
    _write(project / "editor", script, 0o700)
    environment = {**os.environ, "EDITOR": str(project / "editor"), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "orchestr", "secrets", "edit", "vault.yml"]
    process = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE)
    directory = Path(fifo.read_text().strip())
    assert directory.is_dir()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG_S) == 130
    assert not directory.exists()


def test_edit_without_an_editor(orchestr: Orchestr, vaulted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EDITOR that does not exist is bad input."""
    monkeypatch.setenv("EDITOR", "no-such-editor -x")
    said = orchestr("secrets", "edit", "vault.yml")
    assert said.code == 2
    assert "editor not found: 'no-such-editor -x'" in said.err


@pytest.fixture
def generating(passwords: Path) -> Path:
    """The project's inventory with two generated secrets, one of which the role uses; return where they are kept."""
    from tests.cli.conftest import INVENTORY as SITE

    words = "app_token: !generated app/token\n    unused: !generated {name: unused, length: 64}"
    text = SITE.replace("  vars: {app_word: hello}\n", f"  vars:\n    {words}\n")
    _write(passwords / "inventories/site.yml", text)
    return passwords / "inventories/.orchestr/secrets"


def test_generate(orchestr: Orchestr, generating: Path) -> None:
    """--check lists what is missing; without it they are made, and made once."""
    words = ("secrets", "generate", "inventories/site.yml")
    said = orchestr(*words, "--check", "--json")
    assert (said.code, json.loads(said.out)["missing"]) == (3, ["app/token", "unused"])
    assert not generating.exists()
    said = orchestr(*words)
    assert said.code == 0
    assert said.out.count("generated") == 2
    texts = {path.name: path.read_text() for path in generating.rglob("*") if path.is_file()}
    assert {name: len(text) for name, text in texts.items()} == {"token": 33, "unused": 65}
    assert not [text for text in texts.values() if text.strip() in said.out + said.err]
    assert json.loads(orchestr(*words, "--json").out)["present"] == ["app/token", "unused"]
    assert {path.name: path.read_text() for path in generating.rglob("*") if path.is_file()} == texts


def test_a_run_generates_and_a_plan_does_not(
    orchestr: Orchestr, generating: Path, hosts: Mapping[str, MemoryHost]
) -> None:
    """plan says what a run would generate and writes nothing; run makes what it uses, once, and shows it nowhere."""
    said = orchestr("plan", "inventories/site.yml", "-v")
    assert said.code == 3
    assert "not generated yet, run does it: app/token" in said.out
    assert not generating.exists()
    said = orchestr("run", "inventories/site.yml", "-v")
    assert said.code == 0
    text = (generating / "app/token").read_text().strip()
    assert not (generating / "unused").exists()
    assert "generated now" in said.out
    assert text not in said.out + said.err
    assert hosts["10.0.0.1"].text("/opt/app/token") == text
    assert orchestr("plan", "inventories/site.yml").code == 0


def test_view_shows_the_values_of_a_yaml_file(orchestr: Orchestr, passwords: Path, site: Path) -> None:
    """A file whose values are encrypted one by one is printed with them in the clear, all else as it is."""
    before = site.read_text()
    shown = orchestr("secrets", "view", str(site), "--vault-password-file", "old")
    assert shown.code == 0, shown
    assert CANARY in shown.out
    assert "ANSIBLE_VAULT" not in shown.out
    assert site.read_text() == before
    plain = [line for line in before.splitlines() if "vault" not in line.lower() and not line.strip().isalnum()]
    assert [line for line in plain if line not in shown.out.splitlines()] == []


def test_decrypt_of_single_values_says_how_to_see_them(orchestr: Orchestr, passwords: Path, site: Path) -> None:
    """decrypt takes whole files; of one with !vault values it says what shows them."""
    refused = orchestr("secrets", "decrypt", str(site), "--vault-password-file", "old")
    assert refused.code == 2
    assert f"to see its !vault values: orchestr secrets view {site}" in refused.err


def test_view_of_nothing_encrypted(orchestr: Orchestr, passwords: Path) -> None:
    """A file without anything encrypted is bad input for view and decrypt alike."""
    _write(passwords / "plain.yml", "a: 1\n")
    for verb in ("view", "decrypt"):
        refused = orchestr("secrets", verb, "plain.yml", "--vault-password-file", "old")
        assert refused.code == 2
        assert "nothing in it is encrypted" in refused.err


def test_nothing_to_generate_is_said(orchestr: Orchestr, passwords: Path) -> None:
    """An inventory without !generated gets a sentence, not silence."""
    assert "Nothing to generate" in orchestr("secrets", "generate", "inventories/site.yml").out
