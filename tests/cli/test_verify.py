"""verify: the roles' checks, over the run's own sessions."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

import orchestr as library
from orchestr.transport.memory import MemoryHost, MemorySystem, memory_connector
from tests.cli.conftest import CANARY, Orchestr

SITE = "inventories/site.yml"


@pytest.fixture(autouse=True)
def shell(hosts: Mapping[str, MemoryHost]) -> None:
    """The hosts' /bin/sh can do what the checks ask: cat a file."""

    def run(system: MemorySystem, words: tuple[str, ...], data: bytes) -> tuple[int, str, str]:
        path = words[-1].partition("cat ")[2]
        content = system.read_bytes(path)
        return (1, "", f"cat: {path}: No such file") if content is None else (0, content.decode(), "")

    for host in hosts.values():
        host.commands[("/bin/sh", "-c")] = run


def test_passing_checks_are_counted(orchestr: Orchestr) -> None:
    """After a run all checks of all hosts pass: one sentence, exit 0."""
    orchestr("run", SITE)
    outcome = orchestr("verify", SITE)
    assert outcome.code == 0
    assert "All 6 checks on 3 hosts passed." in outcome.out
    assert "passed" not in outcome.out.replace("hosts passed", "")


def test_a_failing_check_says_what_was_expected(orchestr: Orchestr, hosts: Mapping[str, MemoryHost]) -> None:
    """A failed check is one line with its claim, then what was found and where the check is."""
    orchestr("run", SITE)
    hosts["10.0.0.2"].nodes["/opt/app/word"].data = b"other\n"
    outcome = orchestr("verify", SITE)
    assert outcome.code == 1
    assert "failed       web2  app: The word is where the app reads it\n" in outcome.out
    assert "expected 'hello\\n', found 'other\\n'" in outcome.out
    assert "roles/app/verify.py:3" in outcome.out
    assert "1 check failed and 5 passed; look at web2." in outcome.out


def test_json_lists_every_check(orchestr: Orchestr, hosts: dict[str, MemoryHost]) -> None:
    """--json has each host's checks; a host that does not answer is unreachable and has none."""
    orchestr("run", SITE)
    del hosts["10.0.0.3"]
    outcome = orchestr("verify", SITE, "--json")
    found = json.loads(outcome.out)
    assert (outcome.code, found["exit"], found["verb"]) == (4, 4, "verify")
    assert found["hosts"]["web1"]["checks"] == [
        {"role": "app", "name": "test_word", "outcome": "passed", "message": ""},
        {"role": "app", "name": "test_it_knows_its_peers", "outcome": "passed", "message": ""},
    ]
    assert (found["hosts"]["db1"]["unreachable"], found["hosts"]["db1"]["checks"]) == (True, [])


def test_checks_print_nothing(orchestr: Orchestr, project: Path) -> None:
    """What a check prints, on import or in a test, does not reach stdout or stderr."""
    checks = project / "roles/app/verify.py"
    noise = "import sys\nprint('NOISE')\nprint('NOISE', file=sys.stderr)\ndef test_noise():\n    print('NOISE')\n"
    checks.write_text(noise)
    outcome = orchestr("verify", SITE, "-vv")
    assert outcome.code == 0
    assert "NOISE" not in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("source", "reason"),
    [("import no_such_module\n", "no_such_module"), ("import sys\nsys.exit(0)\n", "it ended the program: sys.exit(0)")],
    ids=["import", "exit"],
)
def test_checks_that_cannot_be_loaded(orchestr: Orchestr, project: Path, source: str, reason: str) -> None:
    """A verify.py with a mistake, or that ends the program, fails for the hosts it was for, and is named."""
    (project / "roles/app/verify.py").write_text(source)
    outcome = orchestr("verify", SITE)
    assert outcome.code == 1
    assert "failed       db1   the checks of the role app cannot be loaded" in outcome.out
    assert reason in outcome.out


def test_a_check_may_raise_or_skip(orchestr: Orchestr, project: Path) -> None:
    """An exception is a failure with its type; a skipped check is neither passed nor failed."""
    text = "import pytest\ndef test_raise():\n    {}['key']\ndef test_skip():\n    pytest.skip('not here')\n"
    (project / "roles/app/verify.py").write_text(text)
    found = json.loads(orchestr("verify", SITE, "-l", "db1", "--json").out)["hosts"]["db1"]["checks"]
    assert [(check["outcome"], check["message"]) for check in found] == [
        ("failed", "KeyError: 'key'"),
        ("skipped", "not here"),
    ]


def test_a_failing_check_shows_no_secret(orchestr: Orchestr, project: Path) -> None:
    """What a check compared is shown, but not a secret among it."""
    text = "def test_token(params):\n    assert params.token.reveal() == 'another'\n"
    (project / "roles/app/verify.py").write_text(text)
    outcome = orchestr("verify", SITE, "-l", "db1", "-vvv", "-e", f"app_token={CANARY}")
    assert "expected 'another', found '‹secret›'" in outcome.out
    assert CANARY not in outcome.out + outcome.err


def test_the_library_verifies_twice_and_from_a_thread(
    project: Path, hosts: Mapping[str, MemoryHost], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """verify prints nothing, heeds none of the user's pytest settings, and works again in a thread."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    (project / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    inventory = library.load_inventory(SITE)
    connector = memory_connector(hosts)
    library.run(inventory, connector=connector, journal=False)
    results = []

    def verify() -> None:
        results.append(library.verify(inventory, connector=connector, journal=False))

    verify()
    thread = threading.Thread(target=verify)
    thread.start()
    thread.join()
    assert [result.exit_code for result in results] == [0, 0]
    assert [sum(host.ok for host in result.hosts.values()) for result in results] == [6, 6]
    assert capsys.readouterr() == ("", "")


def test_a_change_of_the_checks_is_seen(orchestr: Orchestr, project: Path) -> None:
    """Checks edited between two verifications in one process are read anew."""
    orchestr("run", SITE)
    assert orchestr("verify", SITE).code == 0
    (project / "roles/app/verify.py").write_text("def test_never():\n    assert not 'as before'\n")
    assert orchestr("verify", SITE).code == 1


def test_a_check_that_cannot_read_the_output_of_a_command_shows_it(orchestr: Orchestr, project: Path) -> None:
    """The text is what somebody needs to see, not a ValueError alone."""
    file = project / "roles/app/verify.py"
    file.write_text("def test_counts(host):\n    assert int(host.run('cat /opt/app/word').stdout) == 1\n")
    orchestr("run", SITE)
    outcome = orchestr("verify", SITE, "--limit", "web1")
    assert outcome.code == 1
    assert "a command's output was not understood (ValueError: invalid literal for int()" in outcome.out
    assert "hello\n" in outcome.out.partition("ValueError")[2] and "verify.py:2" in outcome.out


def test_a_check_that_asks_for_an_unknown_argument_is_told_the_known_ones(orchestr: Orchestr, project: Path) -> None:
    """At its own line, with the name that was meant."""
    (project / "roles/app/verify.py").write_text("\n\ndef test_counts(hosst):\n    pass\n")
    outcome = orchestr("verify", SITE, "--limit", "web1")
    assert outcome.code == 1
    assert "the check asks for 'hosst', which there is not (did you mean 'host'?)" in outcome.out
    assert "there are: host, machine, params, peers, outside" in outcome.out
    assert "verify.py:3" in outcome.out
