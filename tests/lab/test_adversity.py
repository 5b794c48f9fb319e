"""What real hosts do to a run: each trouble is one clear error for that host, and the others go on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestr
from orchestr import events
from orchestr.results import RunResult
from tests.lab.conftest import ADDRESSES, LAB, ROOT, lab, ssh
from tests.waiting import HANG_S

NODES = ["lab3", "lab4"]
#: Bound for an agent whose connection ended: on a busy machine too it is sooner than by the 30 s of silence.
AT_ONCE_S = 25.0
ROLE = '''
"""Files, and a command that takes as long as it is told."""
from orchestr.resources.commands import Command
from orchestr.resources.files import Directory, File
from orchestr.planning.role import Params as Base

class Params(Base):
    sleep_s: float = 0
    size: int = 10
    timeout_s: float | None = None
    wait_for: str = ""

def deploy(host, params):
    from orchestr import Task
    yield Directory("/opt/adversity")
    for number in range(params.size):
        yield File(f"/opt/adversity/{number}", content="x" * 20000 + str(number))
    if params.sleep_s:
        yield Task(Command(("sleep", str(params.sleep_s))), timeout_s=params.timeout_s)
    if params.wait_for:
        yield Command(("sh", "-c", 'while ! [ -e "$0" ]; do sleep 0.2; done', params.wait_for))
    yield File("/opt/adversity/last", content="done")
'''


class Project:
    """A project of one role on lab3 and lab4."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[events.Event] = []
        self.write("roles/adversity/__init__.py", ROLE)
        self.write("playbooks/site.yml", "- {name: adversity, hosts: all, roles: [adversity]}\n")
        self.inventory()

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def inventory(self, hosts: dict[str, dict[str, Any]] | None = None, **variables: Any) -> Path:
        """Write the inventory: variables of all, and of single hosts."""
        common = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(LAB / "id_ed25519"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={LAB / 'known_hosts'}",
            **variables,
        }
        entries = {name: {"ansible_host": ADDRESSES[name]} for name in NODES}
        for name, own in (hosts or {}).items():
            entries.setdefault(name, {}).update(own)
        return self.write("inventories/all.yml", json.dumps({"all": {"vars": common, "hosts": entries}}))

    def run(self, **options: Any) -> RunResult:
        self.events.clear()
        inventory = orchestr.load_inventory(self.root / "inventories/all.yml")
        return orchestr.run(inventory, on_event=self.events.append, **options)

    def command(self, verb: str = "run", *words: str) -> list[str]:
        """Return the command line that does the same."""
        return [sys.executable, "-m", "orchestr", verb, str(self.root / "inventories/all.yml"), *words]


@pytest.fixture
def project(tmp_path: Path, bare: list[str]) -> Project:
    for node in NODES:
        ssh(node, "rm -rf /opt/adversity")
    return Project(tmp_path / "project")


def error_of(result: RunResult, host: str) -> str:
    """Return a host's first error, message and next step, and assert that lab4 went on all the same."""
    assert result.hosts["lab4"].changed == 12, result.hosts["lab4"]
    assert result.hosts["lab4"].errors == []
    error = result.hosts[host].errors[0]
    assert "Traceback" not in str(error)
    return f"{error['message']} → {error['next_step']}"


def test_one_login_per_host_and_run(project: Project) -> None:
    """A run logs in once on each host and starts one agent there, however many plays it has."""
    project.write("playbooks/site.yml", "- {hosts: all, roles: [adversity]}\n- {hosts: all, roles: [adversity]}\n")
    logins = "journalctl -q -u ssh --no-pager | grep -c 'Accepted publickey'"
    before = int(ssh("lab3", logins))
    assert project.run().exit_code == 0
    # One login is the run's; the other is the one that counts.
    assert int(ssh("lab3", logins)) - before == 2


def test_a_frozen_node_is_unreachable(project: Project) -> None:
    """A node that answers nothing is given up in time; the other converges; exit 4."""
    lab("freeze", "lab3")
    try:
        result = project.run()
    finally:
        lab("thaw", "lab3")
    assert result.exit_code == 4
    assert "within 15 s" in error_of(result, "lab3")


def test_a_node_dying_in_the_middle_is_noticed(project: Project) -> None:
    """A node that dies while a command runs there ends that host's part only."""
    project.inventory({"lab3": {"adversity_sleep_s": 60}})
    killer = threading.Thread(target=_when_sleeping, args=(lambda: lab("kill", "lab3"),))
    killer.start()
    try:
        result = project.run()
    finally:
        killer.join()
        lab("start", "lab3")
        lab("up")
    assert result.exit_code == 4
    assert result.hosts["lab3"].unreachable
    assert error_of(result, "lab3")


def test_wrong_sudo_password(project: Project) -> None:
    """A sudo password that is refused is said so at once, and is not repeated anywhere."""
    project.inventory(
        {"lab3": {"ansible_user": "operator", "ansible_become": True, "ansible_become_password": "canary-wrong"}}
    )
    result = project.run()
    assert result.exit_code == 1
    assert "did not accept the password of operator" in error_of(result, "lab3")
    assert "canary" not in json.dumps(result.to_json()) + repr(project.events)


def test_right_sudo_password(project: Project) -> None:
    """With the right password the agent is root, whatever sudo's lecture says."""
    password = (LAB / "operator_password").read_text().strip()
    project.inventory(
        {"lab3": {"ansible_user": "operator", "ansible_become": True, "ansible_become_password": password}}
    )
    assert project.run().exit_code == 0
    assert ssh("lab3", "stat -c %U /opt/adversity/last").strip() == "root"


def test_sudo_without_the_needed_password(project: Project) -> None:
    """When sudo wants a password and none is given, the error names the variable to set."""
    project.inventory({"lab3": {"ansible_user": "operator", "ansible_become": True}})
    assert "ansible_become_password" in error_of(project.run(), "lab3")


def test_no_python_on_the_host(project: Project) -> None:
    """Without python3 the error names the one command that installs it."""
    project.inventory({"lab3": {"ansible_python_interpreter": "/usr/bin/python3.99"}})
    assert "apt-get install -y python3" in error_of(project.run(), "lab3")


def test_python_too_old(project: Project) -> None:
    """An interpreter that is too old is named with its version and the one needed, never a SyntaxError."""
    old = "#!/bin/sh\nexec python3 -c \"import sys; sys.exit('orchestr: python 3.6 is too old')\"\n"
    ssh("lab3", "cat > /usr/local/bin/oldpython && chmod 755 /usr/local/bin/oldpython", input=old)
    project.inventory({"lab3": {"ansible_python_interpreter": "/usr/local/bin/oldpython"}})
    assert "Python 3.6, and 3.8 or newer is needed" in error_of(project.run(), "lab3")


def test_noisy_login(project: Project) -> None:
    """Banners and a .bashrc that prints do not disturb the agent."""
    noise = "echo 'Willkommen 欢迎'; head -c 200000 /dev/urandom | base64; echo oR >&2\n"
    before = ssh("lab3", "cat /root/.bashrc 2>/dev/null || true")
    ssh("lab3", "cat > /root/.bashrc", input=noise + before)
    try:
        result = project.run()
    finally:
        ssh("lab3", "cat > /root/.bashrc", input=before)
    assert (result.exit_code, result.hosts["lab3"].changed) == (0, 12)


def test_full_disk(project: Project) -> None:
    """On a full disk the file in question is named, what was there stays whole, and nothing half-written is left."""
    ssh("lab3", "mkdir -p /opt/adversity && mount -t tmpfs -o size=64k tmpfs /opt/adversity")
    try:
        result = project.run()
        assert "No space left on device" in error_of(result, "lab3")
        sizes = ssh("lab3", "cd /opt/adversity && find . -type f -printf '%f %s\\n'").split("\n")
    finally:
        ssh("lab3", "umount /opt/adversity")
    assert result.exit_code == 1
    assert {line.split()[1] for line in sizes if line} <= {"20001"}


def test_a_hanging_command_is_ended(project: Project) -> None:
    """A command over its time is killed with its whole group and reported; the others go on."""
    project.inventory({"lab3": {"adversity_sleep_s": 600, "adversity_timeout_s": 1}})
    result = project.run()
    assert "ended after 1 s" in error_of(result, "lab3")
    assert ssh("lab3", "pgrep -x sleep || true") == ""


def test_lock_names_its_holder_and_goes_with_it(project: Project) -> None:
    """While one run works on a host a second one is refused, told by whom; afterwards it is free."""
    go_on = "/opt/adversity/go-on"
    project.inventory(None, adversity_wait_for=go_on)
    first: list[RunResult] = []
    other = Project(project.root.parent / "other")
    thread = threading.Thread(target=lambda: first.append(project.run(limit="lab3")))
    thread.start()
    _when_sleeping(lambda: None)
    try:
        result = other.run(limit="lab3")
    finally:
        ssh("lab3", f"touch {go_on}")
        thread.join()
    assert result.exit_code == 5
    assert first[0].run in result.hosts["lab3"].errors[0]["message"]
    assert first[0].exit_code == 0
    assert other.run(limit="lab3").exit_code == 0


def test_killed_at_any_moment(project: Project, tmp_path: Path) -> None:
    """A controller killed at 20 moments leaves no half-written file, no lock and no process; the next run converges."""
    project.inventory(None, adversity_sleep_s=0.5, adversity_size=40)
    whole = project.run()
    assert whole.exit_code == 0
    for moment in [random.uniform(0, 1) for _ in range(20)]:
        ssh("lab3", "rm -rf /opt/adversity")
        controller = subprocess.Popen(
            project.command("run", "--limit", "lab3"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "ORCHESTR_STATE": str(tmp_path / "killed")},
        )
        _wait(controller, whole.elapsed_s * moment)
        controller.send_signal(signal.SIGKILL)
        controller.wait()
        _await(lambda: _agents("lab3") == "", "an agent or child outlives its controller", AT_ONCE_S)
        sizes = "! -size 20001c ! -size 20002c"
        assert ssh("lab3", f"find /opt/adversity -type f {sizes} ! -name last 2>/dev/null || true") == ""
        assert ssh("lab3", "find /opt -name '.orchestr-*'") == ""
    result = project.run(limit="lab3")
    assert result.exit_code == 0
    assert project.run(limit="lab3", check=True).hosts["lab3"].ok > 40


def test_interrupt_ends_in_order(project: Project, tmp_path: Path) -> None:
    """Ctrl-C ends the run with its report and exit 130, and nothing stays behind on the hosts."""
    project.inventory(None, adversity_sleep_s=60)
    controller = subprocess.Popen(
        project.command("run", "--json", "--limit", "lab3"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _when_sleeping(lambda: None)
    assert _agents("lab3") != ""
    controller.send_signal(signal.SIGINT)
    output, errors = controller.communicate(timeout=HANG_S)
    assert controller.returncode == 130, errors
    assert json.loads(output)["exit"] == 130
    _await(lambda: _agents("lab3") == "", "an agent outlives an interrupted run", AT_ONCE_S)


def _agents(node: str) -> str:
    return ssh(node, "pgrep -af 'os.read\\(0|^sleep' | grep -v pgrep || true")


def _when_sleeping(act: Callable[[], None]) -> None:
    """Act as soon as the role's long command runs on lab3."""
    _await(lambda: ssh("lab3", "pgrep -x sleep || true", check=False) != "", "the command did not start", HANG_S)
    act()


def _wait(controller: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        controller.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def _await(condition: Callable[[], bool], otherwise: str, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.1)


@pytest.fixture(autouse=True, scope="module")
def leave_nodes_whole() -> Iterator[None]:
    yield
    lab("up")
