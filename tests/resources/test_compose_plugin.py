"""The compose plugin: left alone where it is, else from the first source that has version 2."""

from __future__ import annotations

from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.resources.compose.plugin import ComposePlugin
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.simulated_tools import SimulatedApt

PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"
NAMES = ("docker-compose-plugin", "docker-compose-v2", "docker-compose")


class PluginApt(SimulatedApt):
    """A package source whose compose packages bring the plugin."""

    def apt_get(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        answer = super().apt_get(system, words, input)
        if any(name in NAMES for name in self.installed):
            self.host.add_file(PLUGIN, "", mode=0o755)
        return answer


def run(host: MemoryHost) -> dict[str, Any]:
    return converge(Task(ComposePlugin(NAMES)), MemorySystem(host), False, False)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ({"docker-compose": "2.26.1-4"}, "docker-compose"),
        ({"docker-compose": "1.29.2-3", "docker-compose-v2": "2.24.6+ds1-0ubuntu1"}, "docker-compose-v2"),
        ({"docker-compose-plugin": "1:2.29.0-1~debian.12", "docker-compose": "1.29.2-3"}, "docker-compose-plugin"),
    ],
)
def test_the_first_with_version_2_or_later_is_installed(offered: dict[str, str], chosen: str) -> None:
    """Sources name it differently, and Debian 12 calls version 1 docker-compose."""
    host = MemoryHost(clock=100_000.0)
    apt = PluginApt(host, offered)
    assert run(host)["verdict"] == "changed"
    assert list(apt.installed) == [chosen]
    assert run(host)["verdict"] == "ok"


def test_a_plugin_that_is_there_is_enough() -> None:
    """However it came to the host, nothing is installed beside it, and no process is started to see it."""
    host = MemoryHost()
    host.add_file(PLUGIN, "", mode=0o755)
    assert run(host)["verdict"] == "ok"
    assert host.log == []


def test_version_1_is_not_installed() -> None:
    """Where only the dead version 1 is offered, the run says what to add, and installs nothing."""
    host = MemoryHost(clock=100_000.0)
    apt = PluginApt(host, {"docker-compose": "1.29.2-3"})
    result = run(host)
    assert result["verdict"] == "failed"
    assert "no compose v2" in result["error"]["message"]
    assert "docker-compose-plugin" in result["error"]["next_step"]
    assert apt.installed == {}
