"""The rooms of the package: which there are, that docs/architecture.md shows them, and which may import which."""

from __future__ import annotations

import re

from tests.architecture.source import PACKAGE, ROOT, Import, circles, imports, modules

#: Rooms whose functions import in circles: planning asks applications for the steps of a role that describes one.
MEETING = {"applications", "planning"}
#: Reading an inventory means rendering templates and decrypting values; both say where in a file an error is.
READING = {"inventory", "templating", "vault"}
#: From the top of the house to its cellar: a module imports from floors below its own, or from its own room. Only
#: rooms that meet import each other on their floor.
FLOORS: tuple[set[str], ...] = (
    {"__main__"},
    {"cli"},
    {"reports", "testing"},
    {"upgrades"},
    {"verification"},
    {"adhoc", "api"},
    {"transport"},  # its memory connector runs an agent from the program that the engine sends
    {"engine"},
    MEETING,
    {"blobs", "cluster", "containers", "images"},
    READING,
    {"atomic_file", "once", "paths", "results"},
    {"errors", "events", "secret"},
    {"field_types", "redaction"},
    {"resources"},
    {"agent"},
    {"orchestr"},  # names of the public modules; it imports them when they are used
)


def room(module: str) -> str:
    """Return the top-level package or module below ``orchestr`` that a module belongs to."""
    return module.split(".")[1] if "." in module else "orchestr"


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def _edges(entries: tuple[Import, ...]) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for entry in entries:
        edges.setdefault(entry.importer, set()).add(entry.module)
    return edges


def test_no_modules_import_each_other() -> None:
    """There is no circle among the imports that modules make when they are imported."""
    assert circles(_edges(tuple(entry for entry in imports() if not entry.is_late))) == []


def test_no_functions_import_in_circles() -> None:
    """There is no circle among all imports either, those inside functions included, but for rooms that meet."""
    assert [group for group in circles(_edges(imports())) if not {room(name) for name in group} <= MEETING] == []


def test_every_room_has_a_floor() -> None:
    """A new package gets its place in the order of floors; none is in it twice, and none that is gone."""
    rooms = [name for rooms in FLOORS for name in sorted(rooms)]
    assert sorted(rooms) == sorted({room(name) for name in modules()})


def test_floors_only_go_downwards() -> None:
    """A module imports from its own room and from floors below."""
    upwards = {
        (entry.importer, entry.module)
        for entry in imports()
        if floor(entry.module) < floor(entry.importer)
        or (floor(entry.module) == floor(entry.importer) and not _may_meet(entry))
    }
    assert upwards == set()


def _may_meet(entry: Import) -> bool:
    same = room(entry.importer) == room(entry.module)
    return same or FLOORS[floor(entry.module)] in (MEETING, READING)


def test_the_architecture_page_names_every_room() -> None:
    """docs/architecture.md names every package and loose module of orchestr, and none that does not exist."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`orchestr/([\w/]+(?:\.py)?)/?`", page))
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    loose = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert (rooms | loose) - {name.rstrip("/") for name in named} == set()
    assert [name for name in sorted(named) if not (PACKAGE / name).exists()] == []


def test_the_architecture_page_names_files_that_exist() -> None:
    """Every file and folder of the repository that the page names is there."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:orchestr|roles|playbooks|inventories|tests|docs|benchmarks|scripts)/[\w./-]*)`", page)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
