"""How busy a LiveKit node is, in the words of its server, which may also say nothing of it, or not run."""

from __future__ import annotations

import importlib
from pathlib import Path

from hypothesis import strategies as st

from orchestr.planning.role import load_role
from orchestr.testing import World
from orchestr.transport.memory import MemoryHost

ROOT = Path(__file__).resolve().parents[3]
load_role("livekit", ROOT)
resources = importlib.import_module("orchestr_roles.livekit.resources")

ADDRESS = st.sampled_from(["192.168.56.11", "192.168.56.12"])
TABLE = "| ID | IP ADDRESS | ROOMS | CLIENTS | UPDATED |\n| ND_1 | {} | 2 | 5 | |\n|  |  |  |  | 2026-11-28 |\n"
ANSWERS = ADDRESS.map(TABLE.format) | st.sampled_from(["", "| ROOMS |", (1, "", "Error: no such container")])
KINDS = {"livekit_load": st.builds(resources.LivekitLoad, st.sampled_from(["livekit", "web"]), ADDRESS)}
HOSTS = ANSWERS.map(lambda answer: MemoryHost(commands={("docker", "exec"): answer}))
WORLD = World("livekit", KINDS, HOSTS)
