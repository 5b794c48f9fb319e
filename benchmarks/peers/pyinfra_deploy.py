"""The forty tasks of benchmarks/project for pyinfra: its own operations, and one of ours where it has none.

pyinfra knows iptables but not ufw. As its documentation advises for such a case, a fact reads ufw's rules (once per
host) and an operation adds the missing ones.
"""

from io import StringIO

from pyinfra import host
from pyinfra.api import FactBase, operation
from pyinfra.operations import apt, files, systemd


class UfwRules(FactBase):
    """The rules ufw was given, as `ufw show added` prints them."""

    def command(self):
        return "ufw show added"

    def process(self, output):
        return [line.strip() for line in output if line.startswith("ufw ")]


@operation()
def ufw_allow(port, protocol, comment):
    """Let a port in."""
    rule = f"ufw allow {port}/{protocol} comment '{comment}'"
    if rule in host.get_fact(UfwRules):
        host.noop(f"{port}/{protocol} is let in")
    else:
        yield rule


for number in range(10):
    files.directory(path=f"/opt/bench/{number}", user="root", group="root", mode="750")
for number in range(10):
    files.put(
        src=StringIO(f"line {number}\n" * 50),
        dest=f"/opt/bench/{number}/file",
        user="root",
        group="root",
        mode="640",
    )
for number in range(5):
    files.line(path=f"/opt/bench/lines-{number}", line=f"^setting = {number}$")
apt.packages(packages=["sudo", "curl", "procps"])
for name in ("ssh", "docker"):
    systemd.service(service=name, running=True, enabled=True)
for number in range(10):
    ufw_allow(20000 + number, "tcp", "orchestr-rule")
