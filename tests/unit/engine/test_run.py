"""The engine: order, barriers, failure budget, verdicts, what is sent and what is reported."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

import orchestr
from orchestr import events
from orchestr.errors import InputError
from orchestr.transport.memory import MemoryChannel, MemoryHost, memory_connector
from tests.unit.engine.conftest import Project

QUIET = """
from orchestr.resources.files import Directory

def deploy(host, params):
    yield Directory("/opt/quiet")
"""


def test_second_run_changes_nothing(project: Project) -> None:
    """A run converges: the next one finds everything as it should be and writes nothing."""
    assert [host.changed for host in project.run().hosts.values()] == [3, 3, 3, 3]
    writes = [host.writes for host in project.hosts.values()]
    result = project.run()
    assert result.exit_code == 0
    assert [(host.ok, host.changed) for host in result.hosts.values()] == [(3, 0)] * 4
    assert [host.writes for host in project.hosts.values()] == writes


def test_plan_writes_nothing_and_exits_3(project: Project) -> None:
    """A plan names what a run would change, changes none of it, and says so by its exit code."""
    result = project.run(check=True)
    assert result.exit_code == 3
    assert [change["name"] for change in result.hosts["a"].changes] == [
        "/opt/hello",
        "/opt/hello/word",
        "/opt/hello/token",
    ]
    assert all(host.writes == 0 for host in project.hosts.values())


def test_plan_after_run_exits_0(project: Project) -> None:
    """With nothing to change a plan exits 0."""
    project.run()
    assert project.run(check=True).exit_code == 0


def test_drift_is_named_exactly(project: Project) -> None:
    """A file edited and one chmodded by hand are two changes on that host, and none elsewhere."""
    project.run()
    project.hosts["b"].nodes["/opt/hello/word"].data = b"bye\n"
    project.hosts["b"].nodes["/opt/hello/token"].mode = 0o644
    result = project.run(check=True)
    assert {name: host.changed for name, host in result.hosts.items()} == {"a": 0, "b": 2, "c": 0, "d": 0}
    assert result.hosts["b"].changes[0]["diff"].splitlines()[-2:] == ["- bye", "+ hi"]
    assert result.hosts["b"].changes[1]["diff"] == "- mode: 0644\n+ mode: 0600"


def test_one_agent_start_and_one_request_per_host_and_run(project: Project) -> None:
    """However many plays, a host's agent is started once in a run."""
    project.write(
        "playbooks/site.yml",
        "- {name: one, hosts: all, roles: [hello]}\n- {name: two, hosts: all, roles: [hello]}\n",
    )
    project.run()
    assert [host.log.count(("start",)) for host in project.hosts.values()] == [1, 1, 1, 1]


def test_one_request_per_play_and_host(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks of a play reach a host in one request, and a resource's source is sent at most once."""
    sent: list[bytes] = []
    write = MemoryChannel.write

    def counting(channel: MemoryChannel, data: bytes) -> None:
        sent.append(data)
        write(channel, data)

    monkeypatch.setattr(MemoryChannel, "write", counting)
    project.write(
        "playbooks/site.yml",
        "- {name: one, hosts: a, roles: [hello]}\n- {name: two, hosts: a, roles: [hello]}\n",
    )
    project.run()
    assert len([data for data in sent if b'"type":"tasks"' in data]) == 2
    assert len([data for data in sent if b'"type":"modules"' in data]) == 1
    assert len(sent) == 4  # the program, two requests, the end


def test_unreachable_host_does_not_stop_the_others(project: Project) -> None:
    """A host that cannot be reached is reported with a next step; the others converge; exit 4."""
    del project.hosts["c"]
    result = project.run()
    assert result.exit_code == 4
    assert result.hosts["c"].unreachable
    assert result.hosts["c"].errors[0]["next_step"]
    assert [result.hosts[name].changed for name in "abd"] == [3, 3, 3]


def test_all_unreachable_still_reports(project: Project) -> None:
    """When no host answers the summary comes all the same."""
    project.hosts.clear()
    result = project.run()
    assert result.exit_code == 4
    assert isinstance(project.events[-1], events.RunFinished)
    assert set(result.hosts) == {"a", "b", "c", "d"}


def test_failed_task_skips_the_rest_of_its_host(project: Project) -> None:
    """After a failure a host's later tasks are skipped and say why; exit 1."""
    project.hosts["a"].add_file("/opt/hello", "in the way")
    result = project.run()
    assert result.exit_code == 1
    assert (result.hosts["a"].failed, result.hosts["a"].skipped) == (1, 2)
    assert "is a file, not a directory" in result.hosts["a"].errors[0]["message"]
    assert result.hosts["b"].changed == 3


@pytest.mark.parametrize(
    ("play", "ran"),
    [
        ("serial: 1", ["a"]),
        ("serial: 2, max_fail_percentage: 49", ["a", "b"]),
        ("serial: 2, max_fail_percentage: 50", ["a", "b", "c", "d"]),
        ('serial: [1, "50%"], any_errors_fatal: true', ["a"]),
        ("serial: 4, any_errors_fatal: true", ["a", "b", "c", "d"]),
    ],
)
def test_failure_budget(project: Project, play: str, ran: list[str]) -> None:
    """A batch over the failure budget ends the run before the next batch; unreachable counts as failed."""
    del project.hosts["a"]
    project.write("playbooks/site.yml", f"- {{name: hello, hosts: all, roles: [hello], {play}}}\n")
    result = project.run()
    batches = [name for event in project.of(events.BatchStarted) for name in event.hosts]
    assert batches == ran
    touched = [name for name in "bcd" if result.hosts[name].changed]
    assert touched == [name for name in ran if name != "a"]


def test_a_failed_host_takes_no_part_in_later_plays(project: Project) -> None:
    """Between plays stands a barrier: who failed before it does not go on."""
    project.write(
        "playbooks/site.yml",
        "- {name: one, hosts: a, roles: [hello]}\n- {name: two, hosts: 'a:b', roles: [hello], vars: {hello_word: x}}\n",
    )
    project.hosts["a"].add_file("/opt/hello", "in the way")
    project.write(
        "playbooks/site.yml",
        "- {name: one, hosts: 'a:b', roles: [hello]}\n- {name: two, hosts: 'a:b', roles: [hello]}\n",
    )
    result = project.run()
    assert result.hosts["a"].failed == 1
    assert (result.hosts["b"].changed, result.hosts["b"].ok) == (3, 3)


def test_locked_host_exits_5_and_says_who(project: Project) -> None:
    """A host that another run holds is named with its holder, and nothing is changed anywhere."""
    project.hosts["b"].holder = {"who": "li@desk", "run": "r7", "since": "noon"}
    result = project.run()
    assert result.exit_code == 5
    assert "li@desk, run r7" in result.hosts["b"].errors[0]["message"]
    assert all(host.changed == 0 for host in result.hosts.values())
    assert project.run(check=True).exit_code == 3


def test_secret_reaches_only_its_file(project: Project) -> None:
    """The token is in its file and nowhere else: no event, no result, no journal line."""
    result = project.run()
    assert project.hosts["a"].text("/opt/hello/token") == "canary-hello"
    seen = json.dumps(result.to_json()) + "".join(repr(event) for event in project.events)
    for path in Path(os.environ["ORCHESTR_STATE"]).rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0
            seen += path.read_text()
    assert "canary" not in seen


def test_limit_and_tags_narrow_the_run(project: Project) -> None:
    """--limit chooses hosts, --tags roles; what is left out is not connected to."""
    result = project.run(limit="b:c")
    assert list(result.hosts) == ["b", "c"]
    assert project.hosts["a"].log == []
    project.write("roles/quiet/__init__.py", QUIET)
    project.write("playbooks/site.yml", "- {name: hello, hosts: all, roles: [hello, quiet]}\n")
    assert [host.ok + host.changed for host in project.run(skip_tags=["hello"]).hosts.values()] == [1, 1, 1, 1]


def test_no_connection_before_everything_is_valid(project: Project) -> None:
    """A wrong parameter of the last host stops the run before the first connection."""
    project.write(
        "inventories/all.yml",
        "all:\n  vars: {hello_token: t}\n  hosts:\n    a:\n    b:\n      hello_wort: x\n",
    )
    connected: list[str] = []

    def refuse(settings: object) -> None:
        connected.append("x")
        raise AssertionError

    with pytest.raises(InputError) as caught:
        project.run(connector=refuse)
    assert connected == []
    assert (caught.value.line, caught.value.suggestion) == (6, "hello_word")


def test_outcomes_reach_later_plays(project: Project) -> None:
    """What a task publishes can be read by a role of a later play, on another host."""
    project.write(
        "roles/source/__init__.py",
        '"""Publish a word."""\n'
        "from .resources import Source\n"
        "def deploy(host, params):\n"
        "    yield Source('/opt/word', content='from ' + host.name)\n",
    )
    project.write(
        "roles/source/resources.py",
        "from dataclasses import dataclass\n"
        "from orchestr.resources.files import File\n"
        "from orchestr.agent.resource import registered\n"
        "@dataclass(frozen=True)\n"
        "@registered('test_source')\n"
        "class Source(File):\n"
        "    def outcome(self, reader):\n"
        "        return {'word': reader.read_text(self.path)}\n",
    )
    project.write(
        "roles/sink/__init__.py",
        '"""Use the word."""\n'
        "from orchestr.resources.files import File\n"
        "def deploy(host, params):\n"
        "    word = host.group('all')[0].outcome('test_source:/opt/word')['word']\n"
        "    yield File('/opt/heard', content=word)\n",
    )
    project.write("playbooks/site.yml", "- {hosts: a, roles: [source]}\n- {hosts: b, roles: [sink]}\n")
    project.write("inventories/all.yml", "all:\n  hosts:\n    a:\n    b:\n")
    assert project.run().exit_code == 0
    assert project.hosts["b"].text("/opt/heard") == "from a"


def test_a_broken_role_fails_its_host_with_the_place(project: Project) -> None:
    """An exception in a role is that host's failure, told with where it came from; the run ends in order."""
    project.write(
        "roles/hello/__init__.py",
        '"""Broken on b."""\n'
        "from orchestr.planning.role import Params as Base\n"
        "from orchestr.resources.files import File\n"
        "from orchestr.planning.role import SecretText\n"
        "class Params(Base):\n    token: SecretText\n"
        "def deploy(host, params):\n"
        "    if host.name == 'b':\n        raise KeyError(params.token.reveal())\n"
        "    yield File('/opt/x', content='x')\n",
    )
    result = project.run()
    assert result.exit_code == 1
    assert "KeyError" in result.hosts["b"].errors[0]["message"]
    assert "canary" not in json.dumps(result.to_json()) + repr(project.events)
    assert result.hosts["a"].changed == 1


def test_works_twice_and_from_a_thread(project: Project) -> None:
    """The library keeps no state between runs and does not need the main thread."""
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(project.run(check=True).exit_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert codes == [3, 3]


def test_prints_nothing(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    """A library prints nothing by itself."""
    project.run()
    assert capfd.readouterr() == ("", "")


def test_many_hosts_at_once(new_project: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More hosts than forks all get their turn."""
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    project = Project(tmp_path / "many", tuple(f"h{n}" for n in range(80)))
    result = project.run(forks=5)
    assert {name: host.errors for name, host in result.hosts.items() if host.errors} == {}
    assert result.exit_code == 0
    assert {host.changed for host in result.hosts.values()} == {3}


def test_public_names_resolve() -> None:
    """Every public name can be had from the package."""
    for name in orchestr.__all__:
        assert getattr(orchestr, name) is not None


def test_memory_hosts_by_address() -> None:
    """The memory connector knows hosts by the inventory's address."""
    assert memory_connector({"x": MemoryHost()})


def test_two_projects_with_a_role_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each project gets its own role, modules inside it included, in one process."""
    monkeypatch.setenv("ORCHESTR_STATE", str(tmp_path / "state"))
    for word in ("first", "second", "first"):
        project = Project(tmp_path / word, ("a",))
        project.write("roles/hello/words.py", f"WORD = '{word}'\n")
        project.write(
            "roles/hello/__init__.py",
            '"""Say it."""\n'
            "from orchestr.resources.files import File\n"
            "from .words import WORD\n"
            "def deploy(host, params):\n"
            "    yield File('/opt/word', content=WORD)\n",
        )
        project.write("inventories/all.yml", "all: {hosts: {a: }}\n")
        project.run()
        assert project.hosts["a"].text("/opt/word") == word


def test_limit_reads_a_file_as_ansible_does(project: Project, tmp_path: Path) -> None:
    """--limit @file names hosts line by line."""
    (tmp_path / "some").write_text("b\nd\n")
    assert list(project.run(limit=f"@{tmp_path / 'some'}").hosts) == ["b", "d"]


def test_extra_variables_win_over_the_playbooks(project: Project) -> None:
    """What is given on the command line wins over vars in the playbook."""
    project.write("playbooks/site.yml", "- {name: one, hosts: a, vars: {hello_word: play}, roles: [hello]}\n")
    inventory = orchestr.load_inventory(project.root / "inventories/all.yml", extra_vars={"hello_word": "extra"})
    orchestr.run(inventory, connector=memory_connector(project.hosts))
    assert project.hosts["a"].text("/opt/hello/word") == "extra\n"
