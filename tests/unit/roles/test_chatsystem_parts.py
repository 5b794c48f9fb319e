"""The roles whose services a system runs: what each refuses, what it says of its service, how its checks look."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from orchestr.applications.stack_form import swarm_service
from orchestr.containers.stack import SwarmService
from orchestr.errors import InputError
from orchestr.planning.plan import Host
from orchestr.resources.sysctl import Sysctl
from orchestr.secret import Secret
from orchestr.verification import applications
from tests.unit.roles.conftest import LAB, ROOT, Planned, plan_file, text_of

PLAYBOOK = ROOT / "playbooks/chatsystem.yml"
NAMES = ("etcd", "mysql", "redis", "elasticsearch", "rabbitmq")


@pytest.fixture(scope="module")
def planned() -> Planned:
    return plan_file(LAB / "chatsystem-single.yml", PLAYBOOK)


def host_of(planned: Planned) -> Host:
    return Host(planned.run.context, planned.run.inventory.host("lab1"))


def service_of(planned: Planned, role: str) -> SwarmService:
    """Return the part's service as a stack of the application has it."""
    application = host_of(planned).application("chatsystem")
    assert application is not None
    [found] = [service for service in application.services if service.part == role]
    return swarm_service("chatsystem", found)


def refused(**variables: Any) -> str:
    with pytest.raises(InputError) as caught:
        plan_file(LAB / "chatsystem-single.yml", PLAYBOOK, **variables)
    return str(caught.value)


# -- what they refuse -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"elasticsearch_heap": "600m"}, "more than half of elasticsearch_memory"),
        ({"elasticsearch_heap": "1g", "elasticsearch_memory": "1536m"}, "more than half of elasticsearch_memory"),
        ({"elasticsearch_heap": "half"}, "expected a size such as 512m or 1g"),
        ({"elasticsearch_max_map_count": 65530}, "is below 262144"),
        ({"mysql_password": "with space"}, "at least 8 characters"),
        ({"mysql_root_password": "short"}, "at least 8 characters"),
        ({"mysql_database": "chen-im; DROP"}, "mysql_database"),
        ({"rabbitmq_password": "with#hash"}, "at least 8 characters"),
        ({"mysql_user": "chat'@'%"}, "mysql_user"),
        ({"mysql_buffer_pool": "256M\nskip-grant-tables"}, "mysql_buffer_pool"),
        ({"rabbitmq_user": "a b"}, "rabbitmq_user"),
        ({"chatsystem_data_directory": "data/uploads"}, "chatsystem_data_directory"),
        ({"rabbitmq_password": "CHANGE-ME-now"}, "a secret is still the example's CHANGE-ME"),
        ({"etcd_quota_bytes": 10}, "etcd_quota_bytes"),
    ],
)
def test_what_would_not_work_is_refused(variables: dict[str, Any], words: str) -> None:
    """Before anything is connected, by name, and without showing the password."""
    said = refused(**variables)
    assert words in said
    assert not [value for name, value in variables.items() if "password" in name and str(value) in said]


def test_half_of_the_memory_is_not_too_much(planned: Planned) -> None:
    """The heap may be exactly half; it is what Java is told."""
    service = service_of(planned, "elasticsearch").service
    assert service.environment["ES_JAVA_OPTS"] == "-Xms512m -Xmx512m"
    assert service.limits is not None and service.limits.memory == "1g"


# -- what they say ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", NAMES)
def test_a_part_has_a_volume_a_label_a_probe_and_no_port(planned: Planned, role: str) -> None:
    """It is pinned to its role's hosts, found by name, checked, and on no port of a host."""
    found = service_of(planned, role)
    assert found.name == role and found.service.healthcheck is not None
    assert found.deploy.constraints == (f"node.labels.orchestr.role.{role}==true",)
    assert (found.service.ports, found.deploy.endpoint_mode, found.deploy.restart.condition) == ((), "dnsrr", "any")
    [volume] = found.service.volumes
    assert isinstance(volume, str) and not volume.startswith("/"), "a named volume, so that both forms find it"
    assert found.service.limits or role == "redis"


def test_the_kernel_setting_is_the_hosts(planned: Planned) -> None:
    """vm.max_map_count is set on the host, unless somebody else does that."""
    assert [each.value for each in planned.resources("lab1", Sysctl) if each.name == "vm.max_map_count"] == [262144]
    without = plan_file(LAB / "chatsystem-single.yml", PLAYBOOK, elasticsearch_max_map_count=0)
    assert without.resources("lab1", Sysctl) == []


def test_mysqls_probe_logs_in_and_asks_over_tcp(planned: Planned) -> None:
    """As the services' user, by a file; mysqladmin ping would be content with a wrong password."""
    found = service_of(planned, "mysql")
    files = {file.target: file for file in found.files}
    assert found.service.healthcheck is not None
    probe = str(found.service.healthcheck.test)
    assert "mysqladmin" not in probe and "SELECT 1" in probe
    login = files["/run/secrets/mysql_client.cnf"]
    assert f"--defaults-extra-file={login.target}" in probe
    assert {"protocol = tcp", "user = chat"} <= set(text_of(login.content).splitlines())
    assert isinstance(login.content, Secret)


def test_rabbitmq_keeps_its_name_and_its_login_to_itself(planned: Planned) -> None:
    """Its data is filed under its hostname; the login's file is its user's, which in the alpine images is 100."""
    found = service_of(planned, "rabbitmq")
    [login] = found.files
    assert (found.service.hostname, login.mode, login.uid) == ("rabbitmq", 0o400, 999)
    document = yaml.safe_load((LAB / "chatsystem-single.yml").read_text())
    variables = document["all"]["children"]["rabbitmq"]["vars"]
    assert variables["rabbitmq_user_id"] == 999, "the lab's image is Debian's"
    params = type(host_of(planned).params("rabbitmq"))
    assert params.model_fields["user_id"].default == 100
    assert not found.service.environment


def test_the_hosts_own_redis_is_left_alone(planned: Planned) -> None:
    """As a part of a system Redis takes no port of the host, and brings no project of its own."""
    labels = [task.resource.label for task in planned.tasks("lab1")]
    assert not [label for label in labels if "6379" in label or label.startswith("/opt/redis")]
    role = host_of(planned).as_host("redis").role
    for lifecycle in ("preflight", "start", "stop", "restart", "backup"):
        assert role.function(lifecycle) is None, lifecycle


# -- how their checks look --------------------------------------------------------------------------------------------
PS = "\t".join
LISTED = "\n".join(
    [
        PS(["c1", "chatsystem", "mysql", ""]),
        PS(["c2", "other", "mysql", ""]),
        PS(["c3", "", "", "chatsystem_redis"]),
        PS(["c4", "", "", "chatsystem_redis2"]),
        PS(["c5", "", "", ""]),
    ]
)


def test_a_services_container_is_found_in_both_forms() -> None:
    """By compose's labels or the stack's name, of this system only: another project's MySQL is not taken for ours."""
    host = SimpleNamespace(check_output=lambda *words: LISTED)
    found = {name: applications.containers(host, "chatsystem", name) for name in ("mysql", "redis", "etcd", "")}
    assert found == {"mysql": ["c1"], "redis": ["c3"], "etcd": [], "": []}


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_ports_that_answer_are_told_from_those_that_refuse(listener: int) -> None:
    """All are tried at once; one that is refused is none that answers."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        free = gone.getsockname()[1]
    words = [sys.executable, "-c", applications._OPEN, "127.0.0.1", "5", str(free), str(listener)]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == [listener]


def test_an_address_without_a_way_answers_nothing() -> None:
    """Where the kernel has no route, no port is open."""
    words = [sys.executable, "-c", applications._OPEN, "255.255.255.255", "5", "80"]
    assert json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout) == []


class Peer(SimpleNamespace):
    """A host as checks see it."""


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say what is open, from outside and from the other host, and return what the check says."""

    def check(outside: set[int] = frozenset(), near: list[int] | None = None) -> str:  # type: ignore[assignment]
        facts = {"ssh_connection": "10.0.0.99 5 10.0.0.1 22", "addresses": ("10.0.0.1",)}
        one, two = (Peer(name=name, address=f"10.0.0.{number}", facts=facts) for number, name in enumerate("ab", 1))
        one.group = lambda name: [one, two]
        one.variable = lambda name, default: one.address
        answers = SimpleNamespace(check_output=lambda *words: json.dumps(near or []))
        monkeypatch.setattr(applications, "on", lambda peer: answers)
        view: Any = SimpleNamespace(connects=lambda address, port, wait_s: "open" if port in outside else "filtered")
        try:
            applications.assert_closed(view, one, (3306, 33060))  # type: ignore[arg-type]
        except AssertionError as error:
            return str(error)
        return ""

    return check


def test_a_port_that_answers_outside_or_next_door_is_told(look: Any) -> None:
    """Which port, and who reaches it."""
    assert look() == ""
    assert "port 3306 of 10.0.0.1 is open to everyone" in look(outside={3306})
    assert "b reaches port 33060 of 10.0.0.1" in look(near=[33060])


@pytest.mark.parametrize("role", [name for name in NAMES if name != "redis"])
def test_every_part_is_checked_from_outside(role: str) -> None:
    """Its verify.py looks at its health and at its ports."""
    text = (Path(ROOT) / "roles" / role / "verify.py").read_text()
    assert "assert_healthy(machine, " in text and "assert_closed(outside, machine, " in text
