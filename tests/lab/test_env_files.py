"""What each serializer of an EnvFile writes is read back exactly by the real program it is written for."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestr.resources import env_grammars
from orchestr.resources.env_files import EnvFile
from tests.lab.conftest import ssh

NODE = "lab5"
AWKWARD = [
    "",
    " ",
    " leading and trailing ",
    "\ttab\t",
    "a#b",
    "a #b",
    "#",
    "$HOME",
    "${HOME}",
    "${HOME:-x}",
    "$$",
    "$$$",
    "a$",
    "$(id)",
    "`id`",
    '"',
    "'",
    "''",
    '""',
    "it's",
    'say "hi"',
    "'quoted'",
    '"quoted"',
    "a'b\"c",
    "\\",
    "\\\\",
    "a\\",
    "a\\'",
    'a\\"',
    "\\n",
    "\\$x",
    "\\\\$x",
    "\\'$x'",
    "C:\\new\\table",
    "a=b=c",
    "=",
    "ü漢字🙂",
    "\u00a0",
    "\u2028",
    "\ufeff",
    "!history",
    "%n %% %h",
    "a;b&c|d>e",
    "*?[x]",
    "~",
    "export X=1",
    "-",
    "null",
    "on",
    "007",
    "1e3",
    "\x7f",
    "\x1b[0m",
    "a\nb",
    "\n",
    "a\n",
    "\na",
    "a\\\nb",
    "a\n#b",
    "a\nB=c",
    "a\r",
    "a\r\nb",
    "-----BEGIN KEY-----\nab+/=\n-----END KEY-----\n",
    "x" * 5000,
]
ALPHABET = "ab $\"'\\#`{}=\n\r\t!%:-né漢\u00a0"


def _values() -> list[str]:
    pick = random.Random(20)  # the same values each time
    return AWKWARD + ["".join(pick.choices(ALPHABET, k=pick.randint(1, 12))) for _ in range(400)]


def _written(reader: str) -> tuple[dict[str, str], str]:
    """Return the variables that ``reader`` can express, and the file with them."""
    variables = {}
    for number, value in enumerate(_values()):
        try:
            env_grammars.entry(reader, f"V{number}", value)
        except ValueError:
            continue
        variables[f"V{number}"] = value
    text = "".join(line + "\n" for line in EnvFile.of("/x", variables, reader=reader)._entries().values())
    return variables, text


def _assert_same(found: dict[str, str], wanted: dict[str, str]) -> None:
    wrong = {key: (value, found.get(key)) for key, value in wanted.items() if found.get(key) != value}
    assert not wrong


def _environment(data: str) -> dict[str, str]:
    """Return the variables in the output of ``env -0``."""
    return dict(entry.split("=", 1) for entry in data.split("\0") if entry)


@pytest.fixture
def folder() -> Iterator[str]:
    """A directory on the node, removed after the test."""
    path = ssh(NODE, "mktemp -d /var/tmp/env.XXXXXX").strip()
    yield path
    ssh(NODE, f"rm -rf {path}")


def test_a_shell_reads_back_every_value(tmp_path: Path) -> None:
    """`set -a; . FILE` of a POSIX shell gives every value, whatever is in it."""
    variables, data = _written("shell")
    assert len(variables) == len(_values())
    (tmp_path / "shell.env").write_bytes(data.encode())
    source = ["sh", "-c", 'set -a; . "$1"; exec env -0', "sh", str(tmp_path / "shell.env")]
    done = subprocess.run(source, capture_output=True, check=True).stdout.decode()
    _assert_same(_environment(done), variables)


def test_compose_reads_back_every_value_of_an_env_file(folder: str) -> None:
    """`env_file` of a compose project gives its service every value, whatever is in it."""
    variables, data = _written("compose")
    assert len(variables) == len(_values())
    ssh(NODE, f"cat > {folder}/app.env", input=data)
    ssh(NODE, f"cat > {folder}/compose.yaml", input="services: {s: {image: x, env_file: [app.env]}}\n")
    shown = ssh(NODE, f"cd {folder} && docker compose config --format json")
    found = json.loads(shown)["services"]["s"]["environment"]
    _assert_same({key: value.replace("$$", "$") for key, value in found.items()}, variables)


def test_compose_reads_back_every_value_of_the_env_it_interpolates_from(folder: str) -> None:
    """`.env` beside a compose file gives every `${KEY}` in it its value, whatever is in it."""
    variables, data = _written("compose")
    environment = {key: f"${{{key}}}" for key in variables}
    project = {"services": {"s": {"image": "x", "environment": environment}}}
    ssh(NODE, f"cat > {folder}/.env", input=data)
    ssh(NODE, f"cat > {folder}/compose.yaml", input=json.dumps(project))
    shown = ssh(NODE, f"cd {folder} && docker compose config --format json")
    found = json.loads(shown)["services"]["s"]["environment"]
    _assert_same({key: value.replace("$$", "$") for key, value in found.items()}, variables)


def test_docker_reads_back_every_value_it_can_express(folder: str) -> None:
    """`docker create --env-file` gives the container every value but those with line breaks, which are refused."""
    variables, data = _written("docker")
    refused = set(_values()) - set(variables.values())
    assert refused and all("\n" in value or value.endswith("\r") for value in refused)
    ssh(NODE, f"cat > {folder}/docker.env", input=data)
    ssh(NODE, "docker image inspect empty >/dev/null 2>&1 || tar c -T /dev/null | docker import - empty")
    container = ssh(NODE, f"docker create --env-file {folder}/docker.env empty /none").strip()
    shown = ssh(NODE, f"docker inspect --format '{{{{json .Config.Env}}}}' {container}; docker rm {container} >&2")
    _assert_same(dict(entry.split("=", 1) for entry in json.loads(shown)), variables)


def test_systemd_reads_back_every_value_it_can_express(folder: str) -> None:
    """`EnvironmentFile=` gives the service every value but those with control characters, which are refused."""
    variables, data = _written("systemd")
    refused = set(_values()) - set(variables.values())
    assert refused and all(any((ord(c) < 32 and c not in "\t\n") or c == "\x7f" for c in value) for value in refused)
    ssh(NODE, f"cat > {folder}/service.env", input=data)
    run = f"systemd-run --quiet --wait --pipe -p EnvironmentFile={folder}/service.env"
    _assert_same(_environment(ssh(NODE, f"{run} env -0")), variables)
