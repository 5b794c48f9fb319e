"""Which hosts a play means, and how it wants them reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestr import events
from orchestr.engine import bundle
from orchestr.errors import InputError
from orchestr.planning.plan import PlanContext
from orchestr.planning.role import load_role
from orchestr.transport.memory import memory_connector
from tests.unit.engine.conftest import Project

BOOK = "playbooks/site.yml"


@pytest.mark.parametrize("pattern", ["web:!a", "web:&all", "web:redis:!a"])
def test_what_is_left_of_an_absent_group_is_nobody(project: Project, pattern: str) -> None:
    """``web:!a`` where there is no web is no host; it does not turn into every host but a."""
    project.write(BOOK, f"- hosts: b\n  roles: [hello]\n- name: web\n  hosts: '{pattern}'\n  roles: [hello]\n")
    result = project.run()
    assert list(result.hosts) == ["b"]
    assert [play.hosts for play in project.of(events.PlayStarted)] == [("b",)]


def test_only_narrowing_means_all(project: Project) -> None:
    """A pattern written as ``!a`` is all hosts but a, as in Ansible."""
    project.write(BOOK, "- hosts: '!a'\n  roles: [hello]\n")
    assert list(project.run().hosts) == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("written", "become"), [("become: true", True), ("become: false", False), ("order: inventory", False)]
)
def test_a_play_becomes_root(project: Project, written: str, become: bool) -> None:
    """``become`` of a play counts for its hosts where the inventory says nothing."""
    project.write(BOOK, f"- hosts: a\n  roles: [hello]\n  {written}\n- hosts: b\n  roles: [hello]\n")
    assert _became(project) == {"a": become, "b": False}


def test_the_inventory_knows_better_than_the_play(project: Project) -> None:
    """``ansible_become`` in the inventory wins over a play's ``become``, as in Ansible."""
    project.write(BOOK, "- hosts: a\n  roles: [hello]\n  become: true\n")
    project.write("inventories/host_vars/a.yml", "ansible_become: false\n")
    assert _became(project) == {"a": False}


def test_plays_must_agree_to_become(project: Project) -> None:
    """Two plays that want one host reached in two ways are refused before anybody is connected to."""
    project.write(
        BOOK, "- hosts: a\n  roles: [hello]\n  become: true\n- hosts: all\n  roles: [hello]\n  become: false\n"
    )
    with pytest.raises(InputError, match="one agent serves all plays") as caught:
        project.run()
    assert caught.value.line == 4


def test_who_failed_before_is_no_part_of_a_later_budget(project: Project) -> None:
    """A host lost in the first play neither stops nor counts in the second, as in Ansible."""
    project.hosts["a"].add_file("/opt/hello", "in the way")
    play = "- {name: %s, hosts: all, roles: [hello], serial: %d, any_errors_fatal: %s}\n"
    project.write(BOOK, play % ("one", 4, "false") + play % ("two", 1, "true"))
    result = project.run()
    batches = [event.hosts for event in project.of(events.BatchStarted) if event.play == "two"]
    assert batches == [("b",), ("c",), ("d",)]
    assert [host.ok for host in result.hosts.values()] == [0, 3, 3, 3]


def test_each_note_is_told_once_by_whoever_comes_first() -> None:
    """Hosts' threads share the notes; two that look at the same time do not trip over each other."""

    class Notes(list[tuple[str, str]]):
        def __bool__(self) -> bool:
            return True  # what the other thread saw before this one took the last

    context = PlanContext(None, None, None, notes=Notes([("a", "x")]))  # type: ignore[arg-type]
    assert list(context.take_notes()) == [("a", "x")]
    assert list(context.take_notes()) == []


def test_two_projects_have_roles_of_the_same_name(tmp_path: Path) -> None:
    """Each role gets the modules beside it, also when another project in this process has one of its name."""
    seen = []
    for name in ("one", "two"):
        project = tmp_path / name
        (project / "roles/twin").mkdir(parents=True)
        (project / "roles/twin/__init__.py").write_text("from orchestr_roles.twin.resources import NAME\n")
        (project / "roles/twin/resources.py").write_text(f"NAME = {name!r}\n")
        role = load_role("twin", project)
        seen.append((role.module.NAME, bundle.source("orchestr_roles.twin.resources")))
    assert seen == [("one", "NAME = 'one'\n"), ("two", "NAME = 'two'\n")]


def _became(project: Project) -> dict[str, bool]:
    seen: dict[str, bool] = {}
    connect = memory_connector(project.hosts)

    def connector(settings):  # type: ignore[no-untyped-def]
        seen[settings.address] = settings.become
        return connect(settings)

    project.run(connector=connector, check=True)
    return dict(sorted(seen.items()))


@pytest.mark.parametrize("beside", ["plays/roles", "playbooks/roles", "roles"])
def test_a_playbooks_own_roles_are_found(project: Project, tmp_path: Path, beside: str) -> None:
    """Beside the playbook, as in Ansible, and of its project, also when the inventory is of another one."""
    other, folder = tmp_path / "other", "plays" if beside == "plays/roles" else "playbooks"
    for path, text in {
        f"{folder}/site.yml": "- {hosts: a, roles: [theirs, hello]}\n",
        f"{beside}/theirs/__init__.py": "from orchestr import Directory\ndef deploy(host, params):\n"
        "    yield Directory('/opt/theirs')\n",
        f"{beside}/hello/__init__.py": "raise RuntimeError('the role of the project comes first')\n",
    }.items():
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        (other / path).write_text(text)
    assert project.run(playbook=other / folder / "site.yml").exit_code == 0
    assert {"/opt/theirs", "/opt/hello"} <= project.hosts["a"].nodes.keys()


def test_a_role_that_is_nowhere_says_where_it_was_looked_for(project: Project) -> None:
    """Each directory is named, also those that do not exist."""
    project.write("playbooks/site.yml", "- {hosts: a, roles: [zzz]}\n")
    with pytest.raises(InputError) as caught:
        project.run()
    assert f"(searched in {project.root}/roles, {project.root}/playbooks/roles, " in caught.value.next_step
