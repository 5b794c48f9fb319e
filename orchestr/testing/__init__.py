"""The laws that every resource keeps, for this project's resources and for those of any other project.

A resource is one file and its test. The test makes any resource of its kind (hypothesis strategies), and the laws try
each on hosts in memory: a plan changes nothing and foretells the run, a second run changes nothing, a run killed at any
write is finished by the next, no secret is shown, the wire gives back an equal resource::

    # tests/test_motd.py
    from hypothesis import strategies as st
    from orchestr.testing import World, laws
    from resources import Motd  # a resource with @registered("motd")

    WORLD = World("motd", {"motd": st.builds(Motd, st.text())})
    test_laws = laws(WORLD)

In this repository ``WORLD`` alone is enough: ``tests/property`` finds it in ``tests/resources/test_NAME.py``.
See `World` for hosts with simulated tools, and for kinds that no run finds done. Needs pytest and hypothesis.
"""

from orchestr.testing.laws import find_worlds, laws
from orchestr.testing.world import CANARY, World
from orchestr.transport.memory import MemoryHost, MemorySystem, Node

__all__ = ["CANARY", "MemoryHost", "MemorySystem", "Node", "World", "find_worlds", "laws"]
