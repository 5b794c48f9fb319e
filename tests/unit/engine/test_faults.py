"""A fault in a role, here or on a host, names the file and the line to fix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestr import events
from orchestr.agent import resource
from orchestr.cli.problems import crashed
from orchestr.errors import InputError
from orchestr.planning.role import load_role
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


DEPLOY = "def deploy(host, params):\n    yield from ()\n"
PARAMS = (
    "from orchestr import Params as Base\nfrom pydantic import field_validator\n"
    "class Params(Base):\n    size: int = 1\n"
)
MISTAKES = {
    "returns nothing": ("def deploy(host, params):\n    pass\n", 1, "deploy() returned None, expected resources"),
    "returns one": ("def deploy(host, params):\n    return 5\n", 1, "deploy() returned an int, expected resources"),
    "is asynchronous": ("async def deploy(host, params):\n    yield 5\n", 1, "returned an async_generator"),
    "takes too little": ("def deploy(host):\n    yield 5\n", 1, "deploy() takes host and params: "),
    "takes too much": ("def deploy(host, params, more):\n    yield 5\n", 1, "deploy() takes host and params: "),
    "is a number": ("deploy = 5\n", None, "has an int in place of a function"),
    "yields text": ("def deploy(host, params):\n    yield 'x'\n", 2, "the role own yielded a str, expected a resource"),
    "yields an unregistered one": (
        "from orchestr import Resource\nclass Own(Resource):\n    pass\ndef deploy(host, params):\n    yield Own()\n",
        5,
        "Own is not registered",
    ),
    "ends the program": ("import sys\ndef deploy(host, params):\n    sys.exit(3)\n    yield\n", 3, "ends the program"),
    "ends it when loaded": ("import sys\nsys.exit(3)\n", 2, "the role own cannot be loaded: SystemExit: 3"),
    "a validator": (
        f"{PARAMS}    @field_validator('size')\n    def check(cls, size):\n        return {{}}[size]\n{DEPLOY}",
        7,
        "KeyError: 2",
    ),
    "entry_of": (f"{PARAMS}    @classmethod\n    def entry_of(cls, name):\n        1 / 0\n{DEPLOY}", 7, "ZeroDivision"),
    "no application": ("def application(host, params):\n    pass\n", 1, "application() returned None, expected an App"),
    "a fault in it": ("def application(host, params):\n    1 / 0\n", 2, "ZeroDivisionError: division by zero"),
    "USES": (f"USES = 'redis'\n{DEPLOY}", None, "USES of the role own is not a list of Use"),
    "PHASES": (f"PHASES = ['a']\n{DEPLOY}", None, "PHASES of the role own is not a list of Phase"),
    "a phase": (
        f"from orchestr.planning.phases import Phase\nPHASES = (Phase('depoy'),)\n{DEPLOY}",
        None,
        "PHASES of the role own names depoy(), which the role does not have",
    ),
    "a fault in a module of it": ("from . import more\n", 2, "the role own cannot be loaded: NameError"),
    "no Python in a module of it": ("from . import bad\n", 1, "the role own cannot be loaded: SyntaxError"),
}


@pytest.mark.parametrize(("text", "line", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_a_role_is_bad_input(project: Project, text: str, line: int | None, words: str) -> None:
    """It is named at its line before any host is contacted, and orchestr is not to blame."""
    project.write("roles/own/__init__.py", text)
    project.write("roles/own/more.py", "\nnothing\n")
    project.write("roles/own/bad.py", "def\n")
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own], vars: {own_size: 2}}\n")
    if "size" not in text:
        project.write("playbooks/site.yml", "- {hosts: a, roles: [own]}\n")
    with pytest.raises(InputError) as caught:
        project.run()
    name = "more.py" if "more\n" in text else "bad.py" if "bad" in text else "__init__.py"
    assert (caught.value.file, caught.value.line) == (f"{project.root}/roles/own/{name}", line)
    assert words in caught.value.message
    assert caught.value.next_step and "report it" not in caught.value.next_step
    assert not project.events


def test_a_mistake_after_an_outcome_is_the_hosts(project: Project) -> None:
    """A role that is planned when its host is connected fails there, with the same words."""
    project.write("roles/own/__init__.py", "def deploy(host, params):\n    host.outcome('x:y')\n    yield 'x'\n")
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own]}\n")
    project.run()
    [failed] = project.of(events.HostFailed)
    assert failed.message.startswith(f"{project.root}/roles/own/__init__.py:3: the role own yielded a str, expected")


def test_a_fault_that_python_turns_into_another_one(project: Project) -> None:
    """next() without a default: the RuntimeError that follows has no line of the role, its cause has."""
    project.write("roles/own/__init__.py", "def deploy(host, params):\n    yield next(iter(()))\n")
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own]}\n")
    project.run()
    [failed] = project.of(events.HostFailed)
    place = f"{project.root}/roles/own/__init__.py:2"
    assert failed.message == f"{place}: RuntimeError: generator raised StopIteration"
    assert failed.next_step == f"fix the error in {place}"


def test_ports_of_another_type_are_named(project: Project) -> None:
    """The firewall's role collects the ports of all roles; the role that yields something else is named."""
    source = "def deploy(host, params):\n    return []\n\ndef ports(host, params):\n    yield 80\n"
    project.write("roles/own/__init__.py", source)
    project.write("roles/asks/__init__.py", "def deploy(host, params):\n    host.needed_ports()\n    return []\n")
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own, asks]}\n")
    with pytest.raises(InputError, match=r"ports\(\) of the role own yielded a int, expected a Rule") as caught:
        project.run()
    assert caught.value.file == f"{project.root}/roles/own/__init__.py"


def test_the_last_resort_names_the_role(capsys: pytest.CaptureFixture[str], project: Project) -> None:
    """A fault that ends the whole program is not called orchestr's when it came from a role's code."""
    project.write("roles/own/__init__.py", "def deploy(host, params):\n    return {}['a']\n")
    with pytest.raises(KeyError) as caught:
        load_role("own", project.root).module.deploy(None, None)
    crashed(caught.value, as_json=False)
    assert "roles/own/__init__.py:2: a fault in the role: KeyError" in capsys.readouterr().err
    crashed(KeyError("b"), as_json=False)
    assert "this is a fault in orchestr: KeyError" in capsys.readouterr().err


def test_phases_that_no_role_of_the_play_has(project: Project) -> None:
    """A misspelt phase would do nothing and look well: refused at the play, with the closest name."""
    project.write("roles/own/__init__.py", "def deploy(host, params):\n    return []\n")
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own], phases: [depoy]}\n")
    with pytest.raises(InputError, match=r"phases: none of this play's roles has depoy\(\)") as caught:
        project.run()
    assert caught.value.suggestion == "deploy" and str(caught.value.file).endswith("site.yml")


def run_own_resource(project: Project, body: str) -> dict[str, str]:
    """Return the error of a resource whose observe() has this body."""
    project.write("roles/own/resources.py", OWN.replace("return reader.no_such_method()", body))
    use = "from .resources import OwnFault\n\ndef deploy(host, params):\n    yield OwnFault('/opt/own')\n"
    project.write("roles/own/__init__.py", use)
    project.write("playbooks/site.yml", "- {hosts: a, roles: [own]}\n")
    return project.run().hosts["a"].errors[0]


def test_a_resource_cannot_end_the_agent(project: Project) -> None:
    """sys.exit() of a library fails the task, with its line; the agent goes on."""
    error = run_own_resource(project, "raise SystemExit(0)")
    place = f"{project.root}/roles/own/resources.py:18"
    assert error["message"] == f"{place}: SystemExit: 0"
    assert error["next_step"] == f"fix the error in {place}"


def test_a_state_of_another_type_is_named(project: Project) -> None:
    """The value and the class are told."""
    error = run_own_resource(project, "return 5")
    assert error["message"] == "the state of a resource is a dict, not 5"
    assert error["next_step"] == "fix the class OwnFault"
