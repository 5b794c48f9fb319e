"""A value of the inventory that a resource refuses is named where it is written."""

from __future__ import annotations

import pytest

from orchestr import events
from orchestr.errors import InputError
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


@pytest.mark.parametrize(
    ("variables", "place", "words"),
    [
        ("      app_owner: 1000\n", "5:18", "app_owner: File /opt/x: owner is a number (1000), expected text"),
        ("      app_owner: [a]\n", "5:18", "app_owner: File /opt/x: owner is a list, expected text"),
        ("      app_owner: '{{ 500 + 500 }}'\n", "5:18", "owner is a number (1000), expected text"),
        ("      app_packages: [curl, acl-]\n", "5:28", "app_packages: 'acl-' is not a name of a package"),
        ("      size: many\n", "5:13", "size: Own a: size is text, expected a whole number"),
        ("      lines: [{}, {text: 1.10}]\n", "5:26", "File /opt/y: content is a number (1.1), expected text"),
    ],
)
def test_a_refused_value_is_named_in_the_inventory(project: Project, variables: str, place: str, words: str) -> None:
    """The message begins with file, line and column of the value, not with the role's line that handed it on."""
    _write(project, "      first: x\n" + variables)
    project.run()
    [failed] = project.of(events.HostFailed)
    assert failed.message.startswith(f"{project.root}/inventories/all.yml:{place}: a: ")
    assert words in failed.message
    assert failed.next_step.startswith("correct ")


def test_a_wrong_value_of_the_role_is_the_roles(project: Project) -> None:
    """A value that no variable has is named at the role's own line."""
    _write(project, "      first: x\n")
    project.write(
        "roles/app/__init__.py", "from orchestr import File\n\ndef deploy(host, params):\n    yield File(5)\n"
    )
    project.run()
    [failed] = project.of(events.HostFailed)
    assert failed.message.startswith(f"{project.root}/roles/app/__init__.py:4: File: path is a number (5)")
    assert not failed.stderr and failed.next_step == f"fix the error in {project.root}/roles/app/__init__.py:4"


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
