"""A value of the inventory that a resource refuses is named where it is written."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr import events
from orchestr.errors import InputError
from orchestr.planning import rehearsal
from orchestr.transport.memory import memory_connector
from tests.unit.engine.conftest import Project

ROLE = """
from dataclasses import dataclass
from typing import Any
from orchestr import Directory, File, FileMode, Package, Resource, Task, registered
from orchestr.planning.role import Params as Base

class Params(Base):
    packages: tuple[str, ...] = ()
    modes: dict[str, FileMode] = {}
    mode: FileMode = 0o755
    owner: Any = "root"

@dataclass(frozen=True)
@registered("refused_own")
class Own(Resource):
    name: str
    size: int = 0

    label = property(lambda self: self.name)

def deploy(host, params):
    yield Directory("/opt", mode=params.mode)
    for path, mode in params.modes.items():
        yield Directory(path, mode=mode)
    if params.packages:
        yield Package(params.packages)
    yield File("/opt/x", "x", owner=params.owner)
    if host.variable("size"):
        yield Task(Own("a", host.variable("size")))
    if host.variable("lines"):
        yield File("/opt/y", host.variable("lines")[1]["text"])
"""


def _write(project: Project, variables: str) -> None:
    project.write("roles/app/__init__.py", ROLE)
    project.write("playbooks/site.yml", "- {hosts: a, roles: [app]}\n")
    project.write("inventories/all.yml", f"all:\n  hosts:\n    a:\n{variables}")


FIRST = "from orchestr import Directory\ndef deploy(host, params):\n    yield Directory('/opt/first')\n"
REFUSED = [
    ("      app_owner: 1000\n", "5:18", "app_owner: File /opt/x: owner is a number (1000), expected text"),
    ("      app_owner: [a]\n", "5:18", "app_owner: File /opt/x: owner is a list, expected text"),
    ("      app_owner: '{{ 500 + 500 }}'\n", "5:18", "owner is a number (1000), expected text"),
    ("      app_packages: [curl, acl-]\n", "5:28", "app_packages: 'acl-' is not a name of a package"),
    ("      size: many\n", "5:13", "size: Own a: size is text, expected a whole number"),
    ("      lines: [{}, {text: 1.10}]\n", "5:26", "File /opt/y: content is a number (1.1), expected text"),
]


def _refusal(project: Project) -> InputError:
    """Return the error of a run that contacts no host."""
    with pytest.raises(InputError) as caught:
        project.run()
    assert not project.events
    assert all(host.log == [] for host in project.hosts.values())
    return caught.value


@pytest.mark.parametrize(("variables", "place", "words"), REFUSED)
def test_a_refused_value_is_named_in_the_inventory(project: Project, variables: str, place: str, words: str) -> None:
    """The message begins with file, line and column of the value, not with the role's line; no host is contacted."""
    _write(project, "      first: x\n" + variables)
    error = _refusal(project)
    assert str(error).startswith(f"{project.root}/inventories/all.yml:{place}: a: ")
    assert words in str(error)
    assert error.next_step.startswith("correct ")


@pytest.mark.parametrize(("variables", "place", "words"), REFUSED)
def test_a_value_is_refused_when_facts_are_known(project: Project, variables: str, place: str, words: str) -> None:
    """A role that reads a fact first is planned when hosts are connected, before any play; the message is the same."""
    _write(project, "      first: x\n" + variables)
    role = ROLE.replace("def deploy(host, params):\n", "def deploy(host, params):\n    host.facts['time']\n")
    project.write("roles/app/__init__.py", role)
    project.write("playbooks/site.yml", "- {hosts: a, roles: [first]}\n- {hosts: a, roles: [app]}\n")
    project.write("roles/first/__init__.py", FIRST)
    with pytest.raises(InputError) as caught:
        project.run()
    assert str(caught.value).startswith(f"{project.root}/inventories/all.yml:{place}: a: ")
    assert words in str(caught.value)
    assert project.of(events.HostConnected) and not project.of(events.PlayStarted)
    assert project.hosts["a"].writes == 0


def test_a_value_is_refused_when_outcomes_are_known(project: Project) -> None:
    """A role that reads an outcome first is planned in its turn; the host fails before a task of that play."""
    _write(project, "      app_owner: 1000\n")
    role = ROLE.replace("def deploy(host, params):\n", "def deploy(host, params):\n    host.outcome('x:y')\n")
    project.write("roles/app/__init__.py", role)
    project.run()
    [failed] = project.of(events.HostFailed)
    assert failed.message.startswith(f"{project.root}/inventories/all.yml:4:18: a: app_owner: File /opt/x: owner is")
    assert failed.next_step.startswith("correct ")
    assert project.hosts["a"].writes == 0


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("    yield File(5)", 7, "File: path is a number (5)"),
        ('    yield File("/x", "x", mode=644)', 7, "mode 644 is 01204 in octal: write 0o644"),
        ("    mode = 644\n    yield Directory('/x', mode=mode)", 8, "mode 644 is 01204 in octal: write 0o644"),
        ("    yield File('/x', 'x', mode=MODE)", 7, "mode 600 is 01130 in octal: write 0o600"),
        ("    yield helper()", 4, "File /x: owner is a number (0), expected text"),
        ("    host.address\n    yield File(5)", 8, "File: path is a number (5)"),
        ("    yield File('/x', host.file('inventories/all.yml'), mode=True)", 7, "mode is true or false (True)"),
    ],
)
def test_a_wrong_value_of_the_role_is_the_roles(project: Project, lines: str, line: int, words: str) -> None:
    """A value that no variable has is named at the role's own line, and no host is contacted."""
    _write(project, "      ansible_host: 10.0.0.9\n")
    start = (
        "from orchestr import Directory, File\nMODE = 600\ndef helper():\n    return File('/x', 'x', owner=0)\n\n"
        "def deploy(host, params):\n"
    )
    project.write("roles/app/__init__.py", f"{start}{lines}\n")
    error = _refusal(project)
    assert (error.file, error.line) == (f"{project.root}/roles/app/__init__.py", line)
    assert words in error.message
    assert error.next_step == f"fix the error in {error.file}:{line}"


@pytest.mark.parametrize("before", ["host.outcome('x:y')", "host.blobs", "host.group('all')[0].address", "1 / 0"])
def test_a_role_is_planned_only_as_far_as_it_is_the_same_later(project: Project, before: str) -> None:
    """What comes after an outcome, a look-up that fails or an error of the role is left to the plan of the host."""
    _write(project, "      ansible_host: no-such-name\n")
    project.write("roles/app/__init__.py", "def deploy(host, params):\n" + f"    {before}\n    yield File(5)\n")
    project.run(connector=lambda settings: memory_connector({"no-such-name": project.hosts["a"]})(settings))
    assert project.of(events.RunStarted)


def test_each_role_is_planned_for_hosts_that_differ(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts with the same parameters count once, others up to a bound: a run of many hosts does not take longer."""
    planned: list[str] = []
    checked = rehearsal.checked_items

    def noted(function: Any, host: Any, params: Any) -> Any:
        planned.append(host.name)
        return checked(function, host, params)

    monkeypatch.setattr(rehearsal, "checked_items", noted)
    assert project.run().exit_code == 0
    assert planned == ["a"]
    hosts = "".join(f"    h{number}: {{hello_word: w{number // 2}}}\n" for number in range(80))
    project.write("inventories/all.yml", f"all:\n  vars: {{hello_token: canary-hello}}\n  hosts:\n{hosts}")
    project.run()
    assert planned[1:] == [f"h{number}" for number in range(0, 2 * rehearsal.MOST_HOSTS, 2)]


@pytest.mark.parametrize("written", ["0750", '"0750"', "'750'", "0o750", "'u=rwx,g=rx'"])
def test_a_mode_is_one_rule(project: Project, written: str) -> None:
    """However a mode is written, it means the same; as a parameter and in a mapping."""
    _write(project, f"      app_mode: {written}\n      app_modes: {{/srv/d: {written}}}\n")
    assert project.run().exit_code == 0
    assert {project.hosts["a"].nodes[path].mode for path in ("/opt", "/srv/d")} == {0o750}


@pytest.mark.parametrize("written", ["644", "0888", "rwx", "true", "7.5", "70000", "[0644]"])
@pytest.mark.parametrize("name", ["app_mode", "app_modes"])
def test_a_mode_that_is_none_is_refused_before_any_connection(project: Project, name: str, written: str) -> None:
    """The error has the place of the mode, and no host is contacted."""
    _write(project, f"      {name}: {written if name == 'app_mode' else f'{{/srv/d: {written}}}'}\n")
    with pytest.raises(InputError) as caught:
        project.run()
    assert (caught.value.file, caught.value.line) == (str(project.root / "inventories/all.yml"), 4)
    assert not project.events
