"""Forty ordinary tasks: 10 directories, 10 files, 5 lines, 3 packages, 2 services, 10 firewall rules."""

from collections.abc import Iterator

from orchestr import Resource
from orchestr.planning.plan import Host
from orchestr.planning.role import Params as BaseParams
from orchestr.resources.files import Directory, File
from orchestr.resources.firewall.firewall import FirewallRule
from orchestr.resources.lines import Line
from orchestr.resources.packages import Package
from orchestr.resources.services import Service


class Params(BaseParams):
    pass


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    for number in range(10):
        yield Directory(f"/opt/bench/{number}", mode=0o750)
    for number in range(10):
        yield File(f"/opt/bench/{number}/file", content=f"line {number}\n" * 50, mode=0o640)
    for number in range(5):
        yield Line(f"/opt/bench/lines-{number}", line=f"setting = {number}", create=True)
    for name in ("sudo", "curl", "procps"):
        yield Package(name)
    for name in ("ssh", "docker"):
        yield Service(name)
    for number in range(10):
        yield FirewallRule(20000 + number, "tcp")
