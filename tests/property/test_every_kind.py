"""Every kind of resource that ships keeps the laws (`orchestr.testing.laws`) on hosts with simulated tools.

Kinds are found in the modules themselves, so a new one without a generator fails here: its test
(``tests/resources/test_NAME.py``) offers a ``WORLD``; ``worlds/`` has those that several kinds share. The tools answer
as recorded from real ones (``resources/recorded``).
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import orchestr.resources
import tests.resources
from orchestr.agent.resource import Resource, kinds
from orchestr.planning.role import load_role
from orchestr.testing import World, find_worlds, laws
from tests.property import worlds

ROOT = Path(orchestr.__file__).parent.parent
TESTS = ROOT / "tests"
WORLDS: tuple[World, ...] = (
    *find_worlds(TESTS / "property/worlds", worlds.__name__),
    *find_worlds(TESTS / "resources", tests.resources.__name__),
)

test_a_kind_keeps_the_law = laws(*WORLDS)


def _registered() -> dict[str, type[Resource]]:
    """Return every kind of resource that ships: kind → class, parts of resources left out."""
    for module in pkgutil.walk_packages(orchestr.resources.__path__, "orchestr.resources."):
        importlib.import_module(module.name)
    for path in sorted((ROOT / "roles").glob("*/resources.py")):
        load_role(path.parent.name, ROOT)
        importlib.import_module(f"orchestr_roles.{path.parent.name}.resources")
    roles = {path.parent.name for path in ROOT.glob("roles/*/resources.py")}
    ours = ("orchestr.resources.", *(f"orchestr_roles.{name}." for name in roles))
    shipped = {kind: cls for kind, cls in kinds().items() if cls.__module__.startswith(ours)}
    return {kind: cls for kind, cls in shipped.items() if issubclass(cls, Resource)}


def test_every_kind_has_a_generator() -> None:
    """Whatever a module of resources registers is tried above; a new kind without a generator fails here."""
    missing = sorted(_registered().keys() - {kind for world in WORLDS for kind in world.kinds})
    assert not missing, f"no WORLD in tests/resources or tests/property/worlds makes: {', '.join(missing)}"


RESOURCE = '''"""The message of the day."""
from dataclasses import dataclass
from orchestr.agent.resource import Resource, registered


@dataclass(frozen=True)
@registered("motd")
class Motd(Resource):
    text: str

    @property
    def label(self):
        return "motd"

    def desired(self):
        return {"text": self.text}

    def observe(self, reader):
        text = reader.read_text("/etc/motd")
        return None if text is None else {"text": text}

    def apply(self, system, change):
        system.write_bytes("/etc/motd", self.text.encode(), mode=0o644)
'''
TEST = '''"""The message of the day keeps the laws."""
from hypothesis import strategies as st
from motd import Motd
from orchestr.testing import World, laws

WORLD = World("motd", {"motd": st.builds(Motd, st.text("abc\\n"))})
test_laws = laws(WORLD)
'''


def _tried(folder: Path, resource: str) -> subprocess.CompletedProcess[str]:
    (folder / "motd.py").write_text(resource)
    (folder / "test_motd.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_motd.py"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_resource_of_another_project_is_one_file_and_its_test(tmp_path: Path) -> None:
    """Four laws are tried on a resource that nothing of this repository names."""
    tried = _tried(tmp_path, RESOURCE)
    assert tried.returncode == 0 and "4 passed" in tried.stdout, tried.stdout
    [world] = find_worlds(tmp_path)
    assert list(world.kinds) == ["motd"]


def test_a_resource_that_breaks_a_law_is_told_which(tmp_path: Path) -> None:
    """One that appends instead of replacing changes something in every run, and one that writes in a plan is caught."""
    again = RESOURCE.replace("self.text.encode()", "((system.read_text('/etc/motd') or '') + self.text + 'x').encode()")
    assert "a_second_run_changes_nothing-motd-motd" in _tried(tmp_path, again).stdout
    looks = RESOURCE.replace("        text = reader", "        reader.write_bytes('/x', b'')\n        text = reader")
    assert "a_plan_changes_nothing_and_foretells_the_run-motd-motd" in _tried(tmp_path, looks).stdout
