"""A host with a directory and a volume that move: there, empty, absent, in use, or left in the middle of a move."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from orchestr.resources.files import Blob
from orchestr.resources.trees import MARKS, Tree, TreeMeasure, TreePlaced, TreeRetired, TreeStays, TreeSurvey, TreeTaken
from orchestr.testing import World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node
from tests.resources.simulated_trees import MemoryVolumes, SimulatedTrees, packed

TREES = (Tree("uploads", path="/opt/data"), Tree("volume", volume="data"))
PLACES = ("/opt/data", MemoryVolumes.ROOT + "/data/_data")
NEW = {"/new": Node("directory", b"", 0o750, 7, 8), "/new/file": Node("file", b"new", 0o600, 1, 2)}
CONTENT = packed(NEW, "/new")
BLOB = Blob(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))

TREE = st.sampled_from(TREES)
KINDS = {
    "tree_survey": st.builds(TreeSurvey, st.just("app"), st.just(TREES)),
    "tree_measure": st.builds(TreeMeasure, st.just("uploads"), TREE),
    "tree_taken": st.builds(TreeTaken, TREE, st.integers(0, 9)),
    "tree_placed": st.builds(TreePlaced, TREE, st.just(BLOB)),
    "tree_retired": st.builds(TreeRetired, TREE),
    "tree_stays": st.builds(TreeStays, TREE),
}


class Line:
    """A controller that takes what it is offered, and says so in the end."""

    def next_transfer(self) -> int:
        return 1

    def send(self, message: Mapping[str, Any]) -> None:
        """Messages are not looked at."""

    def send_chunk(self, offer: int, chunk: bytes) -> None:
        """Nor is content."""

    def flush(self) -> None:
        """All is on its way."""

    def wait_for(self, kind: str, offer: int, timeout_s: float) -> str | None:
        return "" if timeout_s else None


def fetch(digest: str, size_bytes: int) -> Iterator[bytes]:
    assert (digest, size_bytes) == (BLOB.sha256, BLOB.size_bytes)
    yield CONTENT[:20]
    yield CONTENT[20:]


@st.composite
def hosts(draw: st.DrawFn) -> MemoryHost:
    host = MemoryHost()
    SimulatedTrees(host)
    engine = MemoryVolumes(host)
    system = MemorySystem(host)
    for tree, place in zip(TREES, PLACES, strict=True):
        state = draw(st.sampled_from(["absent", "empty", "full"]))
        if state != "absent":
            system.make_directory(place, mode=0o755)
        if state == "full":
            host.nodes[place + "/old"] = Node("file", b"old", 0o644, 9, 9)
        for mark in draw(st.sets(st.sampled_from(["leaving", "arrived"]))):
            system.make_directory(MARKS, mode=0o700)
            system.write_bytes(f"{MARKS}/{tree.name}.{mark}", draw(st.sampled_from([b"", BLOB.sha256.encode()])))
        if draw(st.booleans()):
            system.make_directory(place + ".arriving")
            host.nodes[place + ".arriving/half"] = Node("file", b"half")
        if draw(st.integers(0, 4)) == 0:
            engine.users[tree.name] = place
    host.writes = 0
    return host


def state(host: MemoryHost) -> Any:
    return copy.deepcopy(host.nodes)


WORLD = World(
    "trees",
    KINDS,
    hosts(),
    state,
    ("is not there (any more)", "is in use by"),
    options=lambda double: {"fetch": fetch, "line": Line()},
    never_done={"tree_taken": "the tree is packed each time, so that no earlier state of it is sent"},
)
