"""The engine answers, compose v2 is installed, and logs cannot fill the disk."""

from __future__ import annotations

import json
from typing import Any

from orchestr.secret import cut_tail

from . import CONFIG, Params

LOOK = "look at: journalctl -u docker -n 50"
_LOGGING = '{{.Name}} {{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-size"}}'


def test_engine_answers_and_comes_back_after_a_boot(host: Any) -> None:
    """The Docker engine answers, and systemd starts it with the machine."""
    done = host.run("docker version --format '{{.Server.Version}}'")
    assert done.rc == 0, f"the engine does not answer: {cut_tail(done.stderr.strip(), 300)}; {LOOK}"
    states = host.run("systemctl is-enabled docker.service docker.socket").stdout.split()
    assert "enabled" in states, "after a reboot no container comes back; systemctl enable docker"


def test_compose_is_version_2(host: Any, params: Params) -> None:
    """`docker compose` is installed, in version 2 or later."""
    done = host.run("docker compose version --short")
    assert done.rc == 0, f"`docker compose` is missing; install one of: {', '.join(params.compose_packages)}"
    version = done.stdout.strip().lstrip("v")
    assert not version.startswith("1."), f"docker compose is {version}, which is obsolete; install the plugin"


def test_logs_are_rotated(host: Any, params: Params) -> None:
    """The running engine rotates the logs of new containers as daemon.json requires."""
    wanted = json.loads(params.daemon_json)
    driver = host.check_output("docker info --format '{{.LoggingDriver}}'")
    assert driver == wanted["log-driver"], (
        f"the engine logs with {driver}, not with {wanted['log-driver']}: it has not read {CONFIG}; {LOOK}"
    )
    on_disk = json.loads(host.file(CONFIG).content_string)
    assert on_disk.get("log-opts") == wanted["log-opts"], (
        f"{CONFIG} rotates logs by {on_disk.get('log-opts')}, not by {wanted['log-opts']}: another program writes it; "
        f"look at: ls -l {CONFIG}"
    )


def test_running_containers_log_within_limits(host: Any) -> None:
    """No running container writes a log without a size limit."""
    done = host.run("docker ps --quiet | xargs --no-run-if-empty docker inspect --format %s", _LOGGING)
    rows = [line.split() for line in done.stdout.splitlines()]
    endless = [row[0].lstrip("/") for row in rows if row[1:2] == ["json-file"] and row[2:3] in ([], ["<no"])]
    assert not endless, (
        f"the logs of these containers grow without limit: {', '.join(endless)}; they were created before rotation was "
        "set; recreate them: docker compose up --force-recreate"
    )


def test_containers_go_on_while_the_engine_restarts(host: Any, params: Params) -> None:
    """The running engine, not only its file, keeps containers over its own restart as docker_live_restore requires."""
    wanted = bool(json.loads(params.daemon_json).get("live-restore", False))
    is_on = host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"
    assert is_on == wanted, f"live-restore is {is_on} in the running engine, {wanted} in its settings; {LOOK}"
