"""Container services: what is refused, what is written, what counts as a change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestr.containers.compose import (
    ContainerService,
    HealthCheck,
    Limits,
    Logging,
    Mount,
    Network,
    Port,
    Reload,
    Volume,
    compose_project,
    compose_text,
    definition_digest,
)
from orchestr.errors import InputError
from orchestr.field_types import FieldTypeError
from orchestr.secret import Secret

WEB = ContainerService("web", "shop/web:1")
HUNTER: Any = Secret("hunter2")


def rendered(*services: ContainerService, **options: Any) -> Any:
    return yaml.safe_load(compose_text("shop", services, **options))


def test_a_whole_service_reads_as_compose_wants_it() -> None:
    """Every field ends where compose looks for it, in compose's own forms."""
    service = replace(
        WEB,
        command=("serve", "--port", "8080"),
        environment={"MODE": "production", "WORKERS": 4, "DEBUG": False},
        env_files=(".env",),
        volumes=("/opt/shop/etc:/etc/shop:ro", "data:/data", Mount("tmpfs", "", "/cache")),
        ports=("127.0.0.1:8080:80", "53:53/udp"),
        networks=("inner",),
        user="1000:1000",
        healthcheck=HealthCheck("curl -f localhost", interval_s=5, timeout_s=0.5, start_period_s=40),
        restart="on-failure:3",
        stop_grace_period_s=7200,
        init=True,
        limits=Limits(0.5, "512m", 0.25, "256m"),
        depends_on=(("db", "service_healthy"),),
        labels={"team": "shop"},
        ulimits={"nofile": (1024, 4096)},
        extra_hosts={"host.docker.internal": "host-gateway"},
        cap_add=("NET_ADMIN",),
    )
    document = rendered(
        service,
        ContainerService("db", "db:1"),
        networks=[Network("inner", subnet="172.20.0.0/16")],
        volumes=[Volume("data", external=True)],
    )
    assert document["services"]["web"] == {
        "image": "shop/web:1",
        "command": ["serve", "--port", "8080"],
        "init": True,
        "user": "1000:1000",
        "environment": {"MODE": "production", "WORKERS": "4", "DEBUG": "false"},
        "env_file": [".env"],
        "volumes": [
            {
                "type": "bind",
                "source": "/opt/shop/etc",
                "target": "/etc/shop",
                "read_only": True,
                "bind": {"create_host_path": False},
            },
            {"type": "volume", "source": "data", "target": "/data"},
            {"type": "tmpfs", "target": "/cache"},
        ],
        "ports": ["127.0.0.1:8080:80", "53:53/udp"],
        "networks": ["inner"],
        "extra_hosts": ["host.docker.internal:host-gateway"],
        "depends_on": {"db": {"condition": "service_healthy"}},
        "healthcheck": {
            "test": ["CMD-SHELL", "curl -f localhost"],
            "interval": "5s",
            "timeout": "500ms",
            "retries": 3,
            "start_period": "40s",
        },
        "restart": "on-failure:3",
        "stop_grace_period": "7200s",
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "deploy": {
            "resources": {
                "limits": {"cpus": "0.5", "memory": "512m"},
                "reservations": {"cpus": "0.25", "memory": "256m"},
            }
        },
        "ulimits": {"nofile": {"soft": 1024, "hard": 4096}},
        "cap_add": ["NET_ADMIN"],
        "labels": {"team": "shop"},
    }
    assert document["name"] == "shop"
    assert document["networks"] == {"inner": {"ipam": {"config": [{"subnet": "172.20.0.0/16"}]}}}
    assert document["volumes"] == {"data": {"name": "data", "external": True}}


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text(st.characters(exclude_categories=["C"]))))
def test_any_text_comes_back_as_itself(environment: dict[str, str]) -> None:
    """No text is read as a number, a boolean or an interpolation; doubling `$` is all that is done to it."""
    found = rendered(replace(WEB, environment=environment))["services"]["web"].get("environment", {})
    assert {name: text.replace("$$", "$") for name, text in found.items()} == environment


def test_a_dollar_is_no_interpolation() -> None:
    """Compose reads `$` as the start of a variable; what is written here stands for itself."""
    assert 'VALUE: "$$HOME and $${X}"' in compose_text("shop", [replace(WEB, environment={"VALUE": "$HOME and ${X}"})])


@pytest.mark.parametrize("text", "yes NO on y null ~ 22:22 1_000 0o17 1e3 0x1f .5 12".split())
def test_words_that_parsers_disagree_about_are_quoted(text: str) -> None:
    """What YAML 1.1, YAML 1.2 and Go read differently never stands bare."""
    assert f'VALUE: "{text}"' in compose_text("shop", [replace(WEB, environment={"VALUE": text})])


def test_the_same_services_give_the_same_text() -> None:
    """Rendering is stable, so that a file is rewritten only for a reason."""
    services = [WEB, ContainerService("db", "db:1", volumes=("data:/data",))]
    assert compose_text("shop", services) == compose_text("shop", list(services))


def test_logs_are_rotated_unless_asked_otherwise() -> None:
    """Without a word about logging the disk does not fill up."""
    assert rendered(WEB)["services"]["web"]["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    other = replace(WEB, logging=Logging("journald", {}))
    assert rendered(other)["services"]["web"]["logging"] == {"driver": "journald", "options": {}}
    assert "logging" not in rendered(replace(WEB, logging=None))["services"]["web"]


REFUSED = {
    "two services of one name": ([WEB, WEB], "two services are called 'web'"),
    "too many published ports": ([replace(WEB, ports=("50000-50300:50000-50300/udp",))], "301 ports"),
    "ports on the host network": ([replace(WEB, ports=("80:80",), network_mode="host")], "host network"),
    "a relative bind": ([replace(WEB, volumes=("./data:/data",))], "not an absolute path"),
    "one host port twice": (
        [replace(WEB, ports=("80:80",)), ContainerService("b", "b:1", ports=("127.0.0.1:80:8080",))],
        "both publish 80/tcp",
    ),
    "overlapping host ranges": ([replace(WEB, ports=("80-90:80-90", "85:85"))], "both publish 85/tcp"),
    "a secret in the environment": ([replace(WEB, environment={"P": HUNTER})], "environment holds a secret"),
    "a secret in a label": ([replace(WEB, labels={"a": HUNTER})], "labels holds a secret"),
    "an unknown dependency": ([WEB, replace(WEB, name="b", depends_on=("wbe",))], "did you mean 'web'"),
    "an unknown condition": (
        [WEB, replace(WEB, name="b", depends_on=(("web", "healthy"),))],
        "waits for the unknown condition 'healthy'",
    ),
    "replicas on one port": ([replace(WEB, ports=("80:80",), replicas=2)], "2 replicas"),
    "an unknown restart": ([replace(WEB, restart="allways")], "allways"),
    "two mounts at one place": ([replace(WEB, volumes=("a:/x", "b:/x"))], "two mounts are at /x"),
    "configuration that is not mounted": ([replace(WEB, config=("/opt/x.yaml",))], "not mounted"),
    "a reloaded file mounted alone": (
        [replace(WEB, volumes=("/o/Caddyfile:/etc/Caddyfile",), reload=Reload(("/o/Caddyfile",), ("caddy", "reload")))],
        "mount its directory: /o",
    ),
    "a reloaded file not mounted": ([replace(WEB, reload=Reload(("/o/Caddyfile",), ("x",)))], "is not mounted"),
    "a label of ours": ([replace(WEB, labels={"orchestr.digest": "x"})], "is reserved"),
    "no image": ([replace(WEB, image="")], "has no image"),
    "network mode and networks": ([replace(WEB, network_mode="host", networks=("a",))], "network_mode and networks"),
    "a port that is none": ([replace(WEB, ports=("eighty:80",))], "'eighty:80' is not a published port"),
    "ranges of two lengths": ([replace(WEB, ports=("80-90:80-85",))], "does not publish as many ports"),
    "a mount that is none": ([replace(WEB, volumes=("/data",))], "'/data' is not a mount"),
}


@pytest.mark.parametrize(("services", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_not_work_is_refused(services: list[ContainerService], message: str) -> None:
    """Each is an input error that names the service or the text, never showing a secret."""
    with pytest.raises(InputError) as caught:
        compose_text("shop", services)
    assert message in str(caught.value) and "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(WEB, command=("run", HUNTER)), "web: command is a list with a Secret"),
        (lambda: replace(WEB, image=HUNTER), "web: image is a Secret"),
        (lambda: HealthCheck(("redis-cli", "-a", HUNTER)), "HealthCheck: test is a list with a Secret"),
        (lambda: Mount("bind", "/a", HUNTER), "Mount bind: target is a Secret"),
    ],
)
def test_a_secret_is_refused_where_it_would_be_shown(make: Any, message: str) -> None:
    """The service is not made at all; the message says where the secret belongs."""
    with pytest.raises(FieldTypeError) as caught:
        make()
    assert message in str(caught.value) and "put it into an EnvFile" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_media_ports_on_the_host_network_are_fine() -> None:
    """A service on the host network declares no ports and may use ten thousand."""
    assert rendered(replace(WEB, network_mode="host"))["services"]["web"]["network_mode"] == "host"


def test_a_reloaded_file_below_a_mounted_directory_is_fine() -> None:
    """The directory's mount follows the file when it is replaced; a directory may be named whole."""
    for files in (("/o/etc/Caddyfile",), ("/o/etc/",)):
        reload = Reload(files, ("caddy", "reload"))
        compose_text("shop", [replace(WEB, volumes=("/o/etc:/etc/caddy:ro",), reload=reload)])


@pytest.mark.parametrize("text", ["80:80", "127.0.0.1:8080:80", "[::1]:53:53/udp", "5000-5010:6000-6010/udp"])
def test_ports_are_written_as_they_were_read(text: str) -> None:
    """Parsing and writing a published port gives the same text."""
    assert str(Port.parse(text)) == text


def test_only_the_changed_service_has_another_digest() -> None:
    """The digest of a definition concerns its own service, with the networks and volumes it uses."""
    other = replace(WEB, environment={"A": "1"})
    assert definition_digest(WEB) != definition_digest(other)
    on_network = replace(WEB, networks=("inner",))
    nets = [Network("inner", subnet="10.0.0.0/24")], [Network("inner", subnet="10.0.1.0/24")]
    assert definition_digest(on_network, nets[0]) != definition_digest(on_network, nets[1])
    assert definition_digest(WEB, nets[0]) == definition_digest(WEB, nets[1])


def test_scaling_and_ordering_recreate_nothing() -> None:
    """How many containers there are, and after which services they start, is not part of what each is made from."""
    assert definition_digest(replace(WEB, replicas=4, depends_on=("db",))) == definition_digest(WEB)


def test_a_project_is_its_file_and_what_runs() -> None:
    """The two resources agree on the name, the services and what each reads."""
    caddy = ContainerService(
        "caddy",
        "caddy:2.6.2",
        env_files=(".env",),
        volumes=("/opt/edge/etc:/etc/caddy:ro",),
        stop_grace_period_s=30,
        config=("/opt/edge/etc/certificate.pem",),
        reload=Reload(("/opt/edge/etc/Caddyfile",), ("caddy", "reload")),
    )
    file, project = compose_project("/opt/edge", [caddy], image_ids={"caddy:2.6.2": "sha256:ab"}, wait_s=60.0)
    assert file.path == "/opt/edge/compose.yaml" and yaml.safe_load(str(file.content))["name"] == "edge"
    (service,) = project.services
    assert not isinstance(service, str)
    assert (project.label, project.pull, project.wait_s) == ("edge", "never", 60.0)
    assert (service.env_files, service.config) == ((".env",), ("/opt/edge/etc/certificate.pem",))
    assert (service.image_id, service.stop_grace_s) == ("sha256:ab", 30)
    assert service.reload_files == ("/opt/edge/etc/Caddyfile",) and service.reload_command == ("caddy", "reload")
    assert service.definition == definition_digest(caddy)


def test_images_that_are_not_sent_may_be_pulled() -> None:
    """With one image from elsewhere, compose may pull what is missing."""
    _, project = compose_project("/opt/edge", [WEB], image_ids={})
    assert project.pull == "missing"
