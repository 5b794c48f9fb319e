"""Resources on a real node, through the real agent: a plan tells, a run brings about, a second run changes nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from orchestr.agent.resource import Resource, Task
from orchestr.agent.secret import Secret
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory.settings import ConnectionSettings
from orchestr.resources.commands import Command
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Directory, File, Link
from orchestr.resources.lines import Block, Line
from orchestr.resources.packages import Package
from orchestr.resources.probes import HttpAnswer, TcpAnswer
from orchestr.resources.services import Service
from orchestr.resources.sysctl import Sysctl
from orchestr.resources.users import Group, User
from orchestr.transport.connect import connect
from tests.lab.conftest import LAB, ssh

NODE = "lab5"
NODES = [NODE]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP36OJ2mPjA1jvQhCGoGZDaYoJTVpMGTZuDcY3fFnXyZ someone@example"
SERVER = """
import http.server, pathlib, sys
TEXT = pathlib.Path("/opt/demo/text").read_bytes()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TEXT)
http.server.HTTPServer(("127.0.0.1", 8099), Answer).serve_forever()
"""
UNIT = (
    "[Unit]\nDescription=demo\n[Service]\nExecStart=/usr/bin/python3 /opt/demo/server.py\n"
    "[Install]\nWantedBy=multi-user.target\n"
)


class Host:
    """A node with an agent: ``run`` and ``plan`` return label → result."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.output = ""

    def run(self, *resources: Resource, check: bool = False) -> dict[str, dict[str, Any]]:
        tasks = [Task(resource, id=str(number)) for number, resource in enumerate(resources)]
        found: dict[str, dict[str, Any]] = {}

        def take(message: dict[str, Any]) -> None:
            if message["type"] == "result":
                resource = resources[int(message["task"])]
                found[f"{resource.kind} {resource.label}"] = message
            self.output += str(message)

        self.session.run_tasks(tasks, check=check, on_message=take)
        return found

    def plan(self, *resources: Resource) -> dict[str, dict[str, Any]]:
        return self.run(*resources, check=True)


def verdicts(results: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: result["verdict"] for name, result in results.items()}


@pytest.fixture(scope="module")
def host(bare: list[str]) -> Iterator[Host]:
    """An agent of this module's own node."""
    settings = ConnectionSettings(
        address="192.168.56.15",
        user="root",
        key_file=str(LAB / "id_ed25519"),
        ssh_common_args=("-o", f"UserKnownHostsFile={LAB / 'known_hosts'}"),
    )
    session = Session(NODE, settings, connect, SessionOptions(run="resources"))
    session.open()
    yield Host(session)
    session.close()


def assert_converges(host: Host, *resources: Resource) -> dict[str, dict[str, Any]]:
    """Plan (changes, nothing done), run (changed), run again and plan (nothing to change); return the run's results."""
    planned = verdicts(host.plan(*resources))
    assert "failed" not in planned.values() and set(planned.values()) & {"changed", "unknown"}, planned
    assert verdicts(host.plan(*resources)) == planned, "a plan has changed something"
    done = host.run(*resources)
    assert "failed" not in verdicts(done).values(), done
    again = host.run(*resources)
    assert set(verdicts(again).values()) == {"ok"}, again
    assert set(verdicts(host.plan(*resources)).values()) == {"ok"}
    return done


def test_files_lines_and_blocks(host: Host) -> None:
    """Directories, files, links, env files, lines and blocks come about in one run, with owner and mode."""
    ssh(NODE, "printf 'a\\r\\nx=1\\r\\nb' > /var/tmp/found.conf")
    assert_converges(
        host,
        Directory("/opt/demo/etc", mode=0o750, group="daemon"),
        File("/opt/demo/etc/a.conf", content="x = 1\n", mode=0o640, owner="daemon", group="daemon"),
        Link("/opt/demo/current", "/opt/demo/etc"),
        EnvFile.of("/opt/demo/.env", {"A": "1", "TOKEN": Secret("canary-4711")}),
        Line("/var/tmp/found.conf", "x = 2", match="^x *="),
        Block("/opt/demo/etc/b.conf", "peers", Secret("peer canary-4712\n"), create=True),
    )
    shown = ssh(NODE, "stat -c '%a %U:%G' /opt/demo/etc /opt/demo/etc/a.conf /opt/demo/.env /opt/demo/etc/b.conf")
    assert shown.splitlines() == ["750 root:daemon", "640 daemon:daemon", "600 root:root", "600 root:root"]
    assert ssh(NODE, "base64 /var/tmp/found.conf").strip() == b64encode(b"a\r\nx = 2\r\nb").decode()
    assert "canary" not in host.output


def test_a_package_is_installed_pinned_and_removed(host: Host) -> None:
    """A package comes with apt and goes again; one that apt offers is chosen; an unknown one names the closest."""
    assert_converges(host, Package("cowsay"))
    assert_converges(host, Package("cowsay", present=False))
    assert_converges(host, Package(any_of=("docker-ce-nope", "sl")))
    failed = host.run(Package("cowsya"))["package cowsya"]
    assert failed["verdict"] == "failed" and "cowsay" in failed["error"]["next_step"], failed
    pinned = host.run(Package("sl", version="0.1"))["package sl"]
    assert pinned["verdict"] == "failed" and "version" in pinned["error"]["message"], pinned


def test_an_installation_cut_off_in_the_middle_is_finished_first(host: Host) -> None:
    """A package left unpacked and unconfigured, as a killed dpkg leaves it, does not stop the next run."""
    ssh(NODE, "cd /tmp && apt-get -q download cowsay 2>&1 && dpkg --force-depends --unpack cowsay_*.deb")
    results = host.run(Package(("cowsay", "sl")), Command(("dpkg", "--audit"), label_text="audit"))
    assert results["package cowsay sl"]["verdict"] == "changed", results
    assert results["command audit"]["outcome"]["stdout"] == ""


HOLD = """
import fcntl, os, time
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
open("/run/held", "w").close()
while os.path.exists("/run/held"):
    time.sleep(0.05)
"""


def test_somebody_elses_installation_is_waited_for(host: Host) -> None:
    """dpkg was interrupted, and its lock is held: the wait is told with its reason; then both are installed."""
    ssh(NODE, "apt-get -qq remove -y cowsay sl >/dev/null")
    ssh(NODE, "cd /tmp && dpkg --force-depends --unpack cowsay_*.deb >/dev/null && cat >/run/hold.py", input=HOLD)
    ssh(NODE, "systemd-run --quiet --unit=unattended python3 /run/hold.py; until [ -e /run/held ]; do sleep 0.05; done")
    told: list[str] = []
    results: list[dict[str, Any]] = []

    def take(message: dict[str, Any]) -> None:
        if message["type"] == "output" and "lock" in message["text"] and not told:
            told.append(message["text"])
            ssh(NODE, "rm /run/held")
        if message["type"] == "result":
            results.append(message)

    host.session.run_tasks([Task(Package(("cowsay", "sl")), id="0")], check=False, on_message=take)
    assert [result["verdict"] for result in results] == ["changed"], results
    assert "locked by another process" in told[0] or "held by process" in told[0], told
    assert ssh(NODE, "dpkg --audit") == ""


def test_users_groups_and_keys(host: Host) -> None:
    """A user is made with groups, shell, hash and keys, its files its own; the hash never shows in a result."""
    digest = "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."
    user = User(
        "demo",
        uid=2001,
        group="demos",
        groups=("daemon",),
        shell="/bin/bash",
        comment="Demo",
        authorized_keys=(KEY,),
        password_hash=Secret(digest),
    )
    assert_converges(host, Group("demos", gid=3001), user)
    assert ssh(NODE, "id demo").strip() == "uid=2001(demo) gid=3001(demos) groups=3001(demos),1(daemon)"
    access = ssh(NODE, "stat -c '%a %U' /home/demo/.ssh /home/demo/.ssh/authorized_keys")
    assert access.splitlines() == ["700 demo", "600 demo"]
    ssh(NODE, "usermod -L demo; usermod -G '' demo; echo stranger >> /home/demo/.ssh/authorized_keys")
    changed = host.run(user)["user demo"]
    assert changed["verdict"] == "changed" and "groups" in changed["diff"] and "password_hash" in changed["diff"]
    assert "stranger" in ssh(NODE, "cat /home/demo/.ssh/authorized_keys")
    assert digest not in host.output
    assert_converges(host, User("demo", present=False), Group("demos", present=False))


def test_a_users_link_and_a_fifo_gain_nothing(host: Host) -> None:
    """Root's file is not read into authorized_keys through a link, nor is anything waited for."""
    user = User("demo", authorized_keys=(KEY,))
    assert_converges(host, user)
    become = "setpriv --reuid demo --regid demo --clear-groups sh -c"
    for trick, told in (("ln -s /etc/shadow", "is a link to /etc/shadow"), ("mkfifo", "not a regular file")):
        ssh(NODE, f"{become} 'cd /home/demo/.ssh && rm -f authorized_keys && {trick} authorized_keys'")
        for check in (True, False):
            failed = host.run(user, check=check)["user demo"]
            assert failed["verdict"] == "failed" and told in failed["error"]["message"], failed
            assert failed["error"]["next_step"]
    assert ssh(NODE, "stat -c '%a %U' /etc/shadow").startswith("640 root") and "root:" not in host.output
    ssh(NODE, "rm /home/demo/.ssh/authorized_keys")
    assert_converges(host, user)
    assert_converges(host, User("demo", present=False))


ACL = b64encode(
    b"\2\0\0\0" + bytes.fromhex("01000600ffffffff020006000100000004000000ffffffff10000600ffffffff20000000ffffffff")
)


def test_an_acl_survives_an_edit(host: Host) -> None:
    """One user may write, the owning group may not, before and after; a link to the file stays a link."""
    attribute = "/var/tmp/acl.conf', 'system.posix_acl_access'"
    make = f"import os, base64; os.setxattr('{attribute}, base64.b64decode('{ACL.decode()}'))"
    ssh(NODE, f'rm -f /var/tmp/acl.conf; echo a=1 >/var/tmp/acl.conf; python3 -c "{make}"')
    ssh(NODE, "mkdir -p /opt/links && ln -sf /var/tmp/acl.conf /opt/links/acl.conf")
    assert_converges(host, Line("/opt/links/acl.conf", "a=2", match="^a="))
    shown = ssh(NODE, f'python3 -c "import os, base64; print(base64.b64encode(os.getxattr(\'{attribute})).decode())"')
    assert shown.strip() == ACL.decode()
    assert ssh(NODE, "cat /var/tmp/acl.conf; readlink /opt/links/acl.conf").split() == ["a=2", "/var/tmp/acl.conf"]
    ssh(NODE, "rm -r /opt/links /var/tmp/acl.conf")


def test_a_kernel_setting_holds_now_and_after_a_reboot(host: Host) -> None:
    """A setting is written to the kernel and to one line of its file."""
    assert_converges(host, Sysctl("net.ipv4.conf.all.log_martians", 1))
    assert ssh(NODE, "cat /proc/sys/net/ipv4/conf/all/log_martians /etc/sysctl.d/60-orchestr.conf").splitlines() == [
        "1",
        "net.ipv4.conf.all.log_martians = 1",
    ]
    failed = host.run(Sysctl("net.ipv4.no_such_thing", 1))
    assert "no setting" in failed["sysctl net.ipv4.no_such_thing"]["error"]["message"]


def _demo(text: str, **options: Any) -> list[Resource]:
    return [
        Directory("/opt/demo"),
        File("/opt/demo/server.py", SERVER),
        File("/opt/demo/text", text),
        File("/etc/systemd/system/demo.service", UNIT),
        Service("demo", config=("/opt/demo/server.py", "/opt/demo/text"), **options),
    ]


def test_a_service_runs_with_what_is_on_disk(host: Host) -> None:
    """A service starts from its new unit file, and restarts when a file it reads has changed, and only then."""
    assert_converges(host, *_demo("one"), HttpAnswer("http://127.0.0.1:8099/", contains="one"))
    planned = verdicts(host.plan(*_demo("two")))
    assert planned["service demo.service"] == "changed", "the plan does not see the restart that will be needed"
    assert_converges(host, *_demo("two"), HttpAnswer("http://127.0.0.1:8099/", contains="two"))
    ssh(NODE, "chmod 600 /opt/demo/text")
    results = verdicts(host.run(*_demo("two")))
    assert results["file /opt/demo/text"] == "changed" and results["service demo.service"] == "ok"


def test_a_restart_that_was_cut_off_is_made_up_for(host: Host) -> None:
    """A run that ended between writing a file and restarting leaves a difference that the next run removes."""
    assert_converges(host, *_demo("three"))
    host.run(*_demo("four")[:-1])
    assert verdicts(host.plan(*_demo("four")))["service demo.service"] == "changed"
    assert_converges(host, *_demo("four"), HttpAnswer("http://127.0.0.1:8099/", contains="four"))


def test_a_service_restarted_by_hand_is_not_restarted_again(host: Host) -> None:
    """Whoever restarts a service after changing its files has done what a run would do."""
    assert_converges(host, *_demo("five"))
    host.run(*_demo("six")[:-1])
    ssh(NODE, "systemctl reset-failed demo; systemctl restart demo")
    assert verdicts(host.plan(*_demo("six")))["service demo.service"] == "ok"


def test_a_changed_unit_file_restarts_the_service(host: Host) -> None:
    """A drop-in is loaded and takes effect, also when somebody ran daemon-reload in between."""
    assert_converges(host, *_demo("seven"))
    before = ssh(NODE, "systemctl show -P MainPID demo")
    drop_in = File("/etc/systemd/system/demo.service.d/nice.conf", "[Service]\nNice=5\n")
    folder = Directory("/etc/systemd/system/demo.service.d")
    assert verdicts(host.plan(folder, drop_in, *_demo("seven")))["service demo.service"] == "changed"
    host.run(folder, drop_in)
    ssh(NODE, "systemctl daemon-reload")
    assert_converges(host, *_demo("seven"))
    after = ssh(NODE, "systemctl show -P MainPID demo")
    assert before != after and ssh(NODE, f"ps -o ni= -p {after.strip()}").strip() == "5"


def test_a_service_can_be_stopped_masked_and_brought_back(host: Host) -> None:
    """Stopped, disabled and masked are states like any other."""
    assert_converges(host, Service("demo", running=False, enabled=False))
    assert_converges(host, Service("demo"))
    assert_converges(host, Service("nftables", masked=True))
    assert ssh(NODE, "systemctl is-enabled nftables || true").strip() == "masked"
    assert_converges(host, Service("nftables", running=False, enabled=False))
    assert ssh(NODE, "systemctl is-enabled nftables || true").strip() == "disabled"


def test_a_service_that_does_not_stay_up_says_why(host: Host) -> None:
    """A service that dies at once fails its task with the end of its journal."""
    unit = "[Service]\nExecStart=/bin/sh -c 'echo no bread today; exit 3'\n[Install]\nWantedBy=multi-user.target\n"
    results = host.run(File("/etc/systemd/system/broken.service", unit), Service("broken"), Service("no-such-thing"))
    failed = results["service broken.service"]
    assert failed["verdict"] == "failed" and "no bread today" in failed["error"]["stderr"], failed
    missing = host.run(Service("no-such-thing"))["service no-such-thing.service"]
    assert "no unit no-such-thing.service" in missing["error"]["message"]


ONCE = "[Service]\nType=oneshot\nExecStart=/bin/true\n"
NEVER = "[Unit]\nConditionPathExists=/no/such/file\n[Service]\nExecStart=/bin/sleep 1000\n"
FLAPPING = "[Service]\nExecStart=/bin/sleep 0.2\nRestart=always\nRestartSec=1ms\n[Unit]\nStartLimitIntervalSec=0\n"
INSTANCES = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"


@pytest.mark.parametrize(
    ("name", "unit", "told"),
    [
        ("once", ONCE, "Type=oneshot"),
        ("never", NEVER, "a condition of its unit does not hold"),
    ],
)
def test_a_unit_that_cannot_be_found_running_is_named(host: Host, name: str, unit: str, told: str) -> None:
    """It runs once, or its condition does not hold: in the run that brings it too."""
    file = File(f"/etc/systemd/system/{name}.service", unit)
    for _ in range(2):
        failed = host.run(file, Service(name, enabled=None))[f"service {name}.service"]
        assert failed["verdict"] == "failed" and told in failed["error"]["message"], failed
        assert failed["error"]["next_step"]
    ssh(NODE, f"rm /etc/systemd/system/{name}.service")


def test_a_service_that_goes_on_crashing_is_not_ok(host: Host) -> None:
    """It ends and is started again: active at nearly every look, and yet no run or plan takes it for running."""
    file = File("/etc/systemd/system/flapping.service", FLAPPING)
    failed = host.run(file, Service("flapping", enabled=None))["service flapping.service"]
    assert failed["verdict"] == "failed" and "does not stay up" in failed["error"]["message"], failed
    ssh(NODE, "until [ $(systemctl show -P NRestarts flapping) -ge 3 ]; do sleep 0.1; done")
    planned = host.plan(Service("flapping", enabled=None))["service flapping.service"]
    assert planned["verdict"] == "changed" and "crashing" in planned["diff"], planned
    again = host.run(Service("flapping", enabled=None))["service flapping.service"]
    assert again["verdict"] == "failed" and "does not stay up" in again["error"]["message"], again
    ssh(NODE, "systemctl stop flapping; rm /etc/systemd/system/flapping.service")


def test_units_by_other_names(host: Host) -> None:
    """An alias is the unit it stands for, an instance is one of its template."""
    assert verdicts(host.run(Service("sshd"), Service("ssh"))) == {
        "service sshd.service": "ok",
        "service ssh.service": "ok",
    }
    assert_converges(host, File("/etc/systemd/system/worker@.service", INSTANCES), Service("worker@1"))
    assert_converges(host, Service("worker@1", running=False, enabled=False))
    ssh(NODE, "systemctl mask --now -q worker@1")
    assert_converges(host, Service("worker@1", running=False, enabled=False))


def test_files_that_cannot_be_replaced_are_named(host: Host) -> None:
    """A file that is bind-mounted (as Docker does), one that is immutable: nothing is done, and the reason is told."""
    ssh(NODE, "echo a >/var/lib/docker/still && chattr +i /var/lib/docker/still")
    try:
        for check in (True, False):
            [mounted] = host.run(Line("/etc/hosts", "192.0.2.1 elsewhere"), check=check).values()
            [immutable] = host.run(File("/var/lib/docker/still", "b"), check=check).values()
            assert "is a mount point" in mounted["error"]["message"], mounted
            assert "findmnt /etc/hosts" in mounted["error"]["next_step"]
            assert "is immutable (chattr +i)" in immutable["error"]["message"], immutable
            assert "chattr -i" in immutable["error"]["next_step"]
    finally:
        ssh(NODE, "chattr -i /var/lib/docker/still; rm /var/lib/docker/still")
    assert "elsewhere" not in ssh(NODE, "cat /etc/hosts; ls -A /etc | grep orchestr || true")


def test_gates_and_commands(host: Host) -> None:
    """Gates pass when something answers; a command runs unless it is done, and reports what it said."""
    results = host.run(
        TcpAnswer(port=22),
        Command(("sh", "-c", "cat; exit 3"), input=Secret("in"), check_exit=False),
    )
    assert results["tcp_answer 127.0.0.1:22"]["verdict"] == "ok"
    assert results["command sh -c 'cat; exit 3'"]["outcome"] == {"exit": 3, "stdout": "in", "stderr": ""}
    touch = Command(("touch", "/opt/demo/touched"), creates="/opt/demo/touched")
    assert_converges(host, touch)
    failed = host.run(TcpAnswer(port=9, timeout_s=1))["tcp_answer 127.0.0.1:9"]
    assert failed["verdict"] == "failed" and "no connection after 1 s" in failed["error"]["message"]
