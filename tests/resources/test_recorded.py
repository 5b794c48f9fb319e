"""What hosts are seen to be, from what their tools really said: one directory per tool and version in ``recorded/``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestr.resources.compose import containers as compose_containers
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker import images
from orchestr.resources.firewall import firewalld_rules, ufw_files
from orchestr.resources.services import Service
from orchestr.resources.swarm import state as swarm_state
from orchestr.resources.systemd import is_enabled, units
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.engine_double import ENGINES, RECORDED, answers
from tests.resources.swarm_double import swarm_answers

TOOLS = {"docker-20.10", "docker-26.1", "dpkg-1.21", "firewalld-1.3", "systemd-252", "ufw-0.36"}
SHOWN = (RECORDED / "systemd-252" / "show").read_text()


class Engine(MemoryHost):
    """An engine that answers what it once did: path → document."""

    def __init__(self, documents: dict[str, Any]) -> None:
        super().__init__()
        self.http = {f"{docker.SOCKET}:{path}": (200, json.dumps(each).encode()) for path, each in documents.items()}

    @property
    def system(self) -> MemorySystem:
        return MemorySystem(self, read_only=True)


def test_the_versions_that_are_promised_are_recorded() -> None:
    """Every tool whose output is read has its words here, in each version that is supported."""
    assert {path.name for path in RECORDED.iterdir() if path.is_dir()} == TOOLS
    assert all(any(path.iterdir()) for path in RECORDED.iterdir() if path.is_dir())


# -- Docker ----------------------------------------------------------------------------------------------------------
CONTAINERS = docker.query_text({"all": "1", "filters": {"label": ["com.docker.compose.project"]}})


@pytest.mark.parametrize("version", ENGINES)
def test_an_engine_and_its_compose_project_are_read(version: str) -> None:
    """Version, images, and each container's condition in words are the same of either engine."""
    known = answers(version)
    paths = {"/version": known["version"], "/images/json": known["images"]}
    system = Engine({**paths, "/containers/json" + CONTAINERS: known["containers"]}).system
    assert docker.engine_version(system).startswith(version)
    assert (docker.tagged(system, "exp/app:1") or {})["Id"] == known["images"][0]["Id"]
    found = {each.service: each.condition for each in compose_containers.project_containers(system, "st")}
    assert found["once"] == "exited (0)" and found["loop"] == "restarting again and again (1)"
    assert (found["held"], found["sick"], found["young"]) == ("paused", "unhealthy", "running")


@pytest.mark.parametrize("version", ENGINES)
def test_a_swarm_is_read(version: str) -> None:
    """A manager's account of itself and of the nodes is the same of either engine."""
    known = swarm_answers(version)
    system = Engine({"/info": {"Swarm": known["manager_info"]}, "/nodes": known["nodes"]}).system
    found = swarm_state.membership(system)
    assert found.is_active and found.is_manager and found.cluster and len(found.managers) == 1
    nodes = swarm_state.nodes(system)
    assert found.node_id in [node.id for node in nodes if node.is_leader and node.reachability == "reachable"]
    assert all((node.state, node.availability) == ("ready", "active") and node.role for node in nodes)
    outside = Engine({"/info": {"Swarm": known["inactive_info"]}}).system
    assert swarm_state.membership(outside).state == "inactive"


@pytest.mark.parametrize("version", ENGINES)
def test_which_image_store_an_engine_has_is_told(version: str) -> None:
    """The classic store of both is not taken for containerd's, which names images otherwise."""
    info = json.loads((RECORDED / f"docker-{version}" / "info.json").read_text())
    assert not images.has_containerd_store(Engine({"/info": info}).system)


# -- systemd ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def systemd() -> MemorySystem:
    """A host whose systemctl says of units what one of systemd 252 said."""
    blocks = {block.partition("Id=")[2].partition("\n")[0]: block for block in SHOWN.strip().split("\n\n")}
    host = MemoryHost()

    def show(system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        return "\n\n".join(blocks[name] for name in words[words.index("--") + 1 :]) + "\n"

    host.commands[("systemctl", "show")] = show
    return MemorySystem(host, read_only=True)


@pytest.mark.parametrize(
    ("name", "active", "boot"),
    [
        ("docker.service", "active", True),
        ("ssh.service", "active", True),
        ("systemd-modules-load.service", "active", None),
        ("hwclock.service", "inactive", False),
        ("getty@tty1.service", "inactive", True),
    ],
)
def test_units_are_read(systemd: MemorySystem, name: str, active: str, boot: bool | None) -> None:
    """Activity, and whether it starts at boot: nobody's to say of a static unit, no of a masked one."""
    unit = units(systemd, name)
    assert unit.is_found and (unit.active, is_enabled(systemd, unit)) == (active, boot)
    assert unit.is_masked == (name == "hwclock.service") and (unit.started_s > 1_790_000_000) == (active == "active")


def test_a_unit_that_is_not_there_is_told_apart(systemd: MemorySystem) -> None:
    """LoadState not-found, though the answer has every other property too."""
    assert not units(systemd, "no-such.service").is_found


def test_a_running_enabled_service_is_as_wanted(systemd: MemorySystem) -> None:
    """The real answer is what the resource calls running and enabled."""
    service = Service("docker")
    assert service.observe(systemd) == service.desired()


# -- firewalls -------------------------------------------------------------------------------------------------------
def test_ufw_rules_are_read_and_written_back() -> None:
    """The tuples of user.rules, both families, and the same file from them."""
    for family, name in ((4, "ours_user.rules"), (6, "ours_user6.rules")):
        text = (RECORDED / "ufw-0.36" / name).read_text()
        parsed = ufw_files.parse_rules(text, family)
        assert parsed.entries and ufw_files.parse_rules(parsed.text(parsed.entries), family).entries == parsed.entries


def test_a_firewalld_zone_is_read() -> None:
    """What a zone opens as installed, and rich rules of ours in it."""
    pristine = firewalld_rules.parse_zone((RECORDED / "firewalld-1.3" / "pristine_list-all").read_text())
    ours = firewalld_rules.parse_zone((RECORDED / "firewalld-1.3" / "ours_list-all").read_text())
    assert ("service", "ssh") in pristine and not any(kind == "rich-rule" for kind, _ in pristine)
    assert any(kind == "rich-rule" for kind, _ in ours)
