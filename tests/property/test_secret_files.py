"""A file that a resource writes a secret into is for nobody else, whatever kind of resource it is."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestr.agent.record import replace
from orchestr.agent.resource import Resource
from orchestr.testing import World
from orchestr.testing.world import CANARY
from tests.property.test_every_kind import WORLDS

CASES = sorted(((kind, world) for world in WORLDS for kind in world.kinds), key=lambda case: case[0])


@pytest.mark.parametrize(("kind", "world"), CASES, ids=[f"{kind}-{world.name}" for kind, world in CASES])
def test_a_secret_is_in_no_file_that_others_can_read(kind: str, world: World) -> None:
    """It is 0600 or narrower for others, or the resource is refused."""

    @settings(
        max_examples=30, derandomize=True, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def run(data: st.DataObject) -> None:
        double, resource = data.draw(world.hosts), data.draw(world.kinds[kind])
        assert isinstance(resource, Resource)
        if hasattr(resource, "mode"):  # worlds give a sensible one
            try:
                resource = replace(resource, mode=data.draw(st.sampled_from([None, 0o644, 0o604])))
            except (TypeError, ValueError):  # refused
                return
        before = {path: node.data for path, node in world.host(double).nodes.items()}
        world.settle(resource, double)
        for path, node in world.host(double).nodes.items():
            if CANARY.encode() in node.data and node.data != before.get(path):
                assert not node.mode & 0o007, (resource, path, oct(node.mode))

    run()
