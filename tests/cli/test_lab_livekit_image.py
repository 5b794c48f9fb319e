"""Where the lab's LiveKit comes from: a registry, its Go module, or the stand-in, which is said."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import HANG_S

ROOT = Path(__file__).parents[2]
IMAGE = "livekit/livekit-server:v1.13.5"
#: An engine whose images are files with their labels; pulls only where it is told to.
DOCKER = """\
#!/bin/bash
echo "docker $*" >>"$STATE/calls"
file() { echo "$STATE/${1//[\\/:]/_}"; }
case "$1 $2" in
"image inspect")
    [ "$3" = --format ] || { [ -e "$(file "$3")" ]; exit; }
    [ -e "$(file "$5")" ] || exit 1
    key=${4#*\\"}; grep "^${key%%\\"*}=" "$(file "$5")" | cut -d= -f2
    ;;
"manifest inspect") [ -n "$REGISTRY" ] ;;
"pull --quiet") : >"$(file "$3")" ;;
"tag "*) cp "$(file "$2")" "$(file "$3")" ;;
"build "*)
    while [ $# -gt 1 ]; do
        case $1 in --label) labels+=("$2") ;; --tag) tag=$2 ;; esac
        shift
    done
    [ -x "$1/livekit-server" ] && printf '%s\\n' "${labels[@]}" >"$(file "$tag")"
    ;;
esac
"""
GO = """\
#!/bin/bash
echo "go $*" >>"$STATE/calls"
case $1 in
env) echo "go$GO_VERSION" ;;
install)
    if [ -n "$BROKEN" ]; then echo "no such module" >&2; exit 1; fi
    : >"$GOBIN/server"
    chmod +x "$GOBIN/server"
    ;;
esac
"""


@dataclass
class Lab:
    """A project with the script, an engine and a Go that only pretend."""

    root: Path
    told: dict[str, str]

    def __call__(self, *words: str) -> tuple[int, str]:
        path = f"{self.root / 'bin'}:/usr/bin:/bin"
        environment = {**os.environ, "PATH": path, "STATE": str(self.root / "state"), **self.told}
        script = str(self.root / "tests/lab/images/livekit.sh")
        done = subprocess.run(["bash", script, *words], capture_output=True, text=True, env=environment, timeout=HANG_S)
        return done.returncode, done.stdout + done.stderr

    def calls(self, program: str) -> list[str]:
        log = self.root / "state/calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith(program)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    for name, text in (("docker", DOCKER), ("go", GO)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    shutil.copytree(ROOT / "tests/lab/images/livekit", tmp_path / "tests/lab/images/livekit")
    shutil.copy(ROOT / "tests/lab/images/livekit.sh", tmp_path / "tests/lab/images/livekit.sh")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/orchestr-lab_livekit-standin").write_text("orchestr.livekit=standin\norchestr.inputs=x\n")
    return Lab(tmp_path, {"GO_VERSION": "1.26.8", "BROKEN": "", "REGISTRY": ""})


def test_it_is_pulled_where_a_registry_answers(lab: Lab) -> None:
    """Nothing is built then, and the image is LiveKit's own."""
    lab.told["REGISTRY"] = "yes"
    assert lab("image", "v1.13.5") == (0, f"{IMAGE}  LiveKit's own server\n")
    assert lab.calls("go install") == []


def test_it_is_built_from_its_go_module_once(lab: Lab) -> None:
    """Without a registry; the second time nothing is done, and nothing said."""
    assert lab("image", "v1.13.5") == (0, f"{IMAGE}  LiveKit's own server\n")
    (built,) = lab.calls("go install")
    assert built.endswith(" github.com/livekit/livekit-server/cmd/server@v1.13.5")
    assert lab("image", "v1.13.5") == (0, "")
    assert len(lab.calls("go install")) == len(lab.calls("docker build")) == 1
    assert lab("status", "v1.13.5") == (0, f"{IMAGE}  LiveKit's own server\n")


def test_a_build_in_the_background_is_waited_for(lab: Lab) -> None:
    """``image`` finds the program that ``start`` has built, or waits for it."""
    assert lab("start", "v1.13.5")[0] == 0
    assert lab("image", "v1.13.5") == (0, f"{IMAGE}  LiveKit's own server\n")
    assert len(lab.calls("go install")) == 1


@pytest.mark.parametrize(("name", "value"), [("BROKEN", "yes"), ("GO_VERSION", "1.19.8")])
def test_else_the_stand_in_gets_the_name_and_it_is_said(lab: Lab, name: str, value: str) -> None:
    """In one line, with the reason; the next time the real one is tried for again."""
    lab.told[name] = value
    code, said = lab("image", "v1.13.5")
    assert (code, said.count("\n")) == (0, 1)
    assert said.startswith(f"{IMAGE}  A STAND-IN without media: ")
    assert len(said) > len(f"{IMAGE}  A STAND-IN without media: \n")
    assert lab("status", "v1.13.5") == (1, said)
    lab.told.update(BROKEN="", GO_VERSION="1.27.0")
    assert lab("image", "v1.13.5") == (0, f"{IMAGE}  LiveKit's own server\n")


def test_a_version_that_is_missing_is_said(lab: Lab) -> None:
    """With the command that brings it."""
    assert lab("status", "v1.8.4")[0] == 1
    assert "missing: tests/lab/images/livekit.sh image v1.8.4" in lab("status", "v1.8.4")[1]
