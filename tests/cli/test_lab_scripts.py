"""What makes the lab and the demonstration, as far as it can be told without machines: syntax, order, failures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANG_S

ROOT = Path(__file__).parents[2]
RUBY = shutil.which("ruby")
SINGLE, DISTRIBUTED = "inventories/lab/livekit-single.yml", "inventories/lab/livekit-distributed.yml"
STEPS = [
    "lab up",
    "lab reset",
    f"orchestr run {SINGLE}",
    f"orchestr run {SINGLE} --json",
    f"orchestr verify {SINGLE}",
    "call begins",
    f"orchestr upgrade {SINGLE} --to {DISTRIBUTED}",
    "call ends",
    f"orchestr run {DISTRIBUTED} --json",
    f"orchestr verify {DISTRIBUTED}",
]
# Stands for the virtual environment's Python: a call is only told of, anything else is run.
PYTHON_STUB = """\
#!/bin/bash
if [ "$*" != "-m tests.lab.call hold" ]; then exec {python} "$@"; fi
{stub} begins || exit 1
echo "bob hears ada"
cat >/dev/null
{stub} ends
"""
STUB = """\
#!/bin/bash
# Says what was called; fails where it is told to; --json gives a run in which as much changed as it is told.
line="{name} $*"
echo "$line" >>"$CALLS"
[ "$line" != "$FAIL_AT" ] || exit 1
case $line in
*--json) echo '{{"hosts": {{"lab1": {{"ok": 3, "changed": '"$CHANGED"', "failed": 0}}}}}}' ;;
esac
"""


def _shell_scripts() -> list[str]:
    names = [path for path in ROOT.rglob("*") if path.is_file() and not _is_made(path)]
    return sorted(str(path.relative_to(ROOT)) for path in names if _is_shell(path))


def _is_made(path: Path) -> bool:
    """Tell whether it is not the repository's own: built, installed, or git's."""
    return path.relative_to(ROOT).parts[0] in ("build", ".venv", ".git", ".vagrant", "dist")


def _is_shell(path: Path) -> bool:
    with path.open("rb") as stream:
        first = stream.readline(80).rstrip()
    return path.suffix == ".sh" or (first.startswith(b"#!") and first.endswith((b"/sh", b"/bash", b" bash", b" sh")))


@pytest.mark.parametrize("name", _shell_scripts())
def test_shell_scripts_are_well_formed(name: str) -> None:
    """Every shell script of the repository can be read by bash to its end."""
    done = subprocess.run(["bash", "-n", str(ROOT / name)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_scripts_that_make_the_lab_are_found() -> None:
    """The check above looks at what it should: also at scripts without a suffix."""
    assert {"tests/lab/demo.sh", "tests/lab/lab.sh", "tests/lab/packages.sh", ".ci/run"} <= set(_shell_scripts())


def test_the_vagrantfile_is_ruby() -> None:
    """Ruby can read the Vagrantfile; without ruby its blocks are at least all closed."""
    path = ROOT / "Vagrantfile"
    if RUBY is not None:
        done = subprocess.run([RUBY, "-c", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return
    words = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    opened = sum(("do" in line) or line[:1] in (["def"], ["if"]) for line in words)
    assert opened == sum(line == ["end"] for line in words)


def test_the_vagrantfile_starts_what_is_there() -> None:
    """The scripts it calls are there and can be run."""
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    for name in ("tests/lab/lab.sh", "tests/lab/nodes/create_options.sh"):
        assert f"#{{ROOT}}/{name}" in text
        assert os.access(ROOT / name, os.X_OK)
    assert (ROOT / "tests/lab/nodes/guest/provision.sh").is_file()


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The demonstration's script in a project where lab and orchestr only say what they were called with."""
    for path, name in (("tests/lab/lab.sh", "lab"), (".venv/bin/orchestr", "orchestr"), ("call", "call")):
        stub = tmp_path / path
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(STUB.format(name=name))
        stub.chmod(0o755)
    python = tmp_path / ".venv/bin/python"
    python.write_text(PYTHON_STUB.format(python=sys.executable, stub=tmp_path / "call"))
    python.chmod(0o755)
    livekit = tmp_path / "tests/lab/images/livekit.sh"
    livekit.parent.mkdir()
    livekit.write_text('#!/bin/bash\necho "livekit: $HAS_LIVEKIT"\n[ -n "$HAS_LIVEKIT" ]\n')
    livekit.chmod(0o755)
    shutil.copy(ROOT / "tests/lab/demo.sh", tmp_path / "tests/lab/demo.sh")
    return tmp_path


def _play(demo: Path, fail_at: str = "", changed: int = 0, livekit: str = "own") -> tuple[int, list[str], str]:
    calls = demo / "calls"
    told = {"CALLS": str(calls), "FAIL_AT": fail_at, "CHANGED": str(changed), "HAS_LIVEKIT": livekit}
    environment = {**os.environ, **told}
    script = demo / "tests/lab/demo.sh"
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, env=environment, timeout=HANG_S)
    return done.returncode, calls.read_text().splitlines(), done.stdout


def test_the_demonstration_tells_its_story_in_order(demo: Path) -> None:
    """Bare machines, deploy, deploy again, verify, grow during a call, deploy again, verify; each is in the summary."""
    code, calls, said = _play(demo)
    assert (code, calls) == (0, STEPS)
    assert said.count("done    ") == len(STEPS)
    assert "livekit: own" in said


def test_the_demonstration_without_livekits_own_server(demo: Path) -> None:
    """With the stand-in, which carries no sound, there is no call; all else is shown."""
    code, calls, _ = _play(demo, livekit="")
    assert (code, calls) == (0, [step for step in STEPS if not step.startswith("call")])


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_failing_step_ends_the_demonstration(demo: Path, number: int) -> None:
    """Whichever step fails, none comes after it, the summary names it, and make demo fails."""
    code, calls, said = _play(demo, fail_at=STEPS[number])
    assert (code, calls[: number + 1]) == (1, STEPS[: number + 1])
    assert set(calls[number + 1 :]) <= {"call ends"}  # a call ends with the demonstration
    assert (said.count("done    "), said.count("FAILED")) == (number, 1)


def test_a_second_deploy_that_changes_something_fails(demo: Path) -> None:
    """ "Deploy again" is a claim: a change in it ends the demonstration."""
    code, calls, _ = _play(demo, changed=1)
    assert (code, calls) == (1, STEPS[:4])


@pytest.mark.parametrize("path", [SINGLE, DISTRIBUTED])
def test_the_demonstrations_inventories_can_be_read(path: str) -> None:
    """The inventories its commands name are there and right."""
    from orchestr.inventory import load_inventory

    assert load_inventory(ROOT / path).hosts


def test_everybody_means_the_same_livekit() -> None:
    """The version the lab builds is the one its inventories and the demonstration name, and the role's own."""
    from orchestr.planning.role import load_role
    from tests.lab.conftest import LIVEKIT_VERSION

    image = f"livekit/livekit-server:{LIVEKIT_VERSION}"
    for path in (SINGLE, DISTRIBUTED):
        assert f"livekit_image: {image}\n" in (ROOT / path).read_text(encoding="utf-8")
    for path in ("tests/lab/lab.sh", "tests/lab/demo.sh"):
        assert f"\nLIVEKIT={LIVEKIT_VERSION}\n" in (ROOT / path).read_text(encoding="utf-8")
    assert load_role("livekit", ROOT).params_class.model_fields["image"].default == image
