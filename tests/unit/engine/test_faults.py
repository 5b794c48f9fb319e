"""A fault in a role, here or on a host, names the file and the line to fix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestr import events
from orchestr.agent import resource
from tests.unit.engine.conftest import Project

OWN = """
from dataclasses import dataclass
from orchestr.agent.resource import Resource, registered

@registered("own_fault")
@dataclass(frozen=True)
class OwnFault(Resource):
    path: str

    @property
    def label(self):
        return self.path

    def desired(self):
        return {"x": "1"}

    def observe(self, reader):
        return reader.no_such_method()

    def apply(self, system, change):
        pass
"""


@pytest.fixture(autouse=True)
def _forget_own_kind() -> Iterator[None]:
    """Keep the resource of these tests out of the others."""
    yield
    resource._KINDS.pop("own_fault", None)


def test_a_fault_in_a_resource_of_the_project(project: Project) -> None:
    """An exception in a role's resource is the role's, at file and line; orchestr is not to blame."""
    project.write("roles/own/resources.py", OWN)
    project.write(
        "roles/own/__init__.py",
        "from .resources import OwnFault\n\ndef deploy(host, params):\n    yield OwnFault('/opt/own')\n",
    )
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own]}\n")
    error = project.run().hosts["a"].errors[0]
    place = f"{project.root}/roles/own/resources.py:18"
    assert error["message"].startswith(f"{place}: AttributeError: ")
    assert error["next_step"] == f"fix the error in {place}"
    assert "no_such_method" in error["stderr"]
    assert set(error) == {"task", "message", "stderr", "next_step"}


def test_a_fault_in_a_lifecycle_function(project: Project) -> None:
    """An exception in deploy() is named at the line of the role that raised it, not of what it called."""
    project.write(
        "roles/own/__init__.py",
        "import pathlib\n\ndef deploy(host, params):\n    yield pathlib.Path(3)\n",
    )
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own]}\n")
    project.run()
    failed = project.of(events.HostFailed)[0]
    place = f"{project.root}/roles/own/__init__.py:4"
    assert failed.message.startswith(f"{place}: TypeError: ")
    assert failed.next_step == f"fix the error in {place}"
