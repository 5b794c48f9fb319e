"""The lab's inventories planned without a host: which tasks each machine would get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestr.agent.resource import Resource, Task
from orchestr.engine.phases import phases
from orchestr.engine.run import Run, RunOptions
from orchestr.errors import InputError
from orchestr.inventory import load_inventory
from orchestr.planning.plan import Host, plan_host
from orchestr.planning.playbook import load_playbook
from orchestr.planning.role import load_role
from orchestr.secret import Secret

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "inventories" / "lab"
PLAYBOOK = ROOT / "playbooks" / "livekit.yml"
API_SECRET = "lab-only-api-secret-of-more-than-32-characters"
REDIS_PASSWORD = "lab-only-redis-password"


def text_of(content: Any) -> str:
    """Return a file's text, a secret one revealed."""
    return content.reveal() if isinstance(content, Secret) else str(content)


@dataclass
class Planned:
    """A validated run that never connects, and what it would send."""

    run: Run

    def tasks(self, host: str, lifecycle: str = "deploy") -> list[Task]:
        """Return all tasks of a host, play by play, a deploy phase by phase."""
        context = self.run.context
        if lifecycle == "deploy":
            items = [item for item in phases(self.run) if host in item.hosts(self.run)]
            planned = (plan_host(context, it.number, host, lifecycle=it.phase.function, role=it.role) for it in items)
            return [task for tasks in planned for task in tasks]
        numbers = [number for number, hosts in self.run.play_hosts.items() if host in hosts]
        return [task for number in numbers for task in plan_host(context, number, host, lifecycle=lifecycle)]

    def all_tasks(self) -> dict[str, list[Task]]:
        return {host: self.tasks(host) for host in self.run.hosts}

    def resources(self, host: str, kind: type[Any]) -> list[Any]:
        return [task.resource for task in self.tasks(host) if isinstance(task.resource, kind)]

    def resource(self, host: str, label: str) -> Any:
        """Return the one resource of a host with this label (a path, a project)."""
        found = [task.resource for task in self.tasks(host) if task.resource.label == label]
        assert len(found) == 1, f"{len(found)} of {label} on {host}"
        return found[0]

    def text(self, host: str, path: str) -> str:
        return text_of(self.resource(host, path).content)

    def yaml(self, host: str, path: str) -> Any:
        return yaml.safe_load(self.text(host, path))

    def ports(self, role: str, host: str) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return what a role says it needs of a host's firewall: (port, protocol) → sources, () meaning everyone."""
        loaded = load_role(role, ROOT)
        seen = Host(self.run.context, self.run.inventory.host(host), loaded)
        ports = loaded.function("ports")
        rules = ports(seen, seen.params(role)) if ports is not None else ()
        return {(str(rule.port), rule.protocol): rule.sources for rule in rules}


def plan_file(path: Path, playbook: Path = PLAYBOOK, **variables: Any) -> Planned:
    """Plan an inventory file; ``variables`` win over the ones in it. Images are pulled: none is needed here."""
    inventory = load_inventory(path, extra_vars={"orchestr_image_source": "pull", **variables})
    options = RunOptions(verb="plan", check=True)
    return Planned(Run(inventory, load_playbook(playbook), options, lambda event: None, _no_connection))


def _no_connection(*arguments: Any) -> Any:
    raise AssertionError("planning connects to nothing")


@pytest.fixture(scope="session")
def single() -> Planned:
    return plan_file(LAB / "livekit-single.yml")


@pytest.fixture(scope="session")
def distributed() -> Planned:
    return plan_file(LAB / "livekit-distributed.yml")


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Planned]:
    """Plan the distributed lab inventory after a function has changed its ``all`` group, or with variables set."""

    def plan(change: Change = lambda document: None, **variables: Any) -> Planned:
        document = yaml.safe_load((LAB / "livekit-distributed.yml").read_text())
        change(document["all"])
        path = tmp_path / "inventory.yml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return plan_file(path, **variables)

    return plan


@pytest.fixture
def refusal(changed: Callable[..., Planned]) -> Callable[..., str]:
    """Return what is said when the changed inventory is refused, before anything is connected."""

    def said(change: Change = lambda document: None, **variables: Any) -> str:
        with pytest.raises(InputError) as caught:
            changed(change, **variables).all_tasks()
        return str(caught.value)

    return said


def label(resource: Resource) -> str:
    return f"{resource.kind}:{resource.label}"
