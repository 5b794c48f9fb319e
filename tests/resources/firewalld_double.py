"""A firewalld in memory: a daemon, what it has on disk, and the kernel's tables, as a Debian 12 node's answers show."""

from __future__ import annotations

import re
import shlex
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from orchestr.resources.firewall import firewalld_direct, firewalld_rules
from orchestr.resources.firewall.firewalld_rules import Item
from orchestr.transport.memory import MemoryHost, MemorySystem
from tests.resources.test_firewall import Kernel

OUTPUT = Path(__file__).parent / "recorded" / "firewalld-1.3"
TOOLS = {4: "iptables", 6: "ip6tables"}
LINES = {"service": "services", "port": "ports", "protocol": "protocols", "source-port": "source-ports"}


def real(name: str) -> str:
    return (OUTPUT / name).read_text()


def listed(items: set[Item]) -> str:
    """Return what ``--list-all`` prints for these items."""
    lines = [
        f"  {name}: {' '.join(sorted(text for other, text in items if other == kind))}" for kind, name in LINES.items()
    ]
    lines.append(f"  forward: {'yes' if ('forward', '') in items else 'no'}")
    rules = sorted("\t" + text for kind, text in items if kind == "rich-rule")
    return "\n".join(["public", "  target: default", *lines, "  rich rules: ", *rules, ""])


class FirewalldHost(MemoryHost):
    """A host with firewalld as it is installed, running beside Docker."""

    def __init__(self, prefix: str = "pristine") -> None:
        super().__init__()
        for path in ("/etc/firewalld", "/etc/firewalld/zones", "/run/systemd/system", "/sys/class/net/docker0"):
            self.add_file(path, "")
            self.nodes[path].type = "directory"
        self.add_file("/etc/firewalld/firewalld.conf", real("pristine_firewalld.conf"))
        self.add_file("/usr/lib/firewalld/zones/public.xml", real("vendor_public.xml"))
        for program in ("firewalld", "firewall-cmd", "systemd-run"):
            self.add_file("/usr/bin/" + program, "", 0o755)
        self.permanent = firewalld_rules.parse_zone(real(prefix + "_permanent_list-all"))
        self.runtime = firewalld_rules.parse_zone(real(prefix + "_list-all"))
        self.nft = real(prefix + "_nft")
        self.kernels = {family: Kernel(real(f"{prefix}_{tool}-save")) for family, tool in TOOLS.items()}
        if prefix != "pristine":
            self.add_file(firewalld_direct.PATH, real("ours_direct.xml"))
            self.at_boot()
        self.is_active = self.confirms = True
        self.is_panicking = False
        self.docker_restarts = 0
        self.commands = {
            ("systemctl", "is-active", "firewalld"): self.activity,
            ("systemctl", "enable"): self.at_boot,
            ("systemctl", "start"): partial(self.turn, True),
            ("systemctl", "disable"): partial(self.turn, False),
            ("systemctl", "stop"): "",
            ("systemctl", "stop", "firewalld.service"): partial(self.turn, False),
            ("systemctl", "try-restart", "docker.service"): self.restart_docker,
            ("firewall-cmd",): self.firewall_cmd,
            ("firewall-offline-cmd",): self.firewall_cmd,
            ("nft", "list", "table", "inet", "firewalld"): self.listing,
            ("nft", "add", "table", "inet", "firewalld"): self.add_table,
            ("systemd-run",): "",
            ("mv",): self.move,
            ("setsid", "--fork", "--wait", "/bin/sh"): self.undo,
        }
        for family, tool in TOOLS.items():
            self.commands[(f"{tool}-save",)] = partial(self.save, family)
            self.commands[(f"{tool}-restore",)] = partial(self.restore, family)

    def activity(self, *_: Any) -> Any:
        return "active\n" if self.is_active else (3, "inactive\n")

    def at_boot(self, *_: Any) -> None:
        self.add_file("/etc/systemd/system/multi-user.target.wants/firewalld.service", "")

    def turn(self, on: bool, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        if "disable" in words:
            self.nodes.pop("/etc/systemd/system/multi-user.target.wants/firewalld.service", None)
        self.is_active = on
        for kernel in self.kernels.values():  # Docker makes its own again, and an empty DOCKER-USER
            for name in [name for name in kernel.chains if name.startswith("orchestr")]:
                del kernel.chains[name]
            kernel.chains.update({"INPUT": [], "DOCKER-USER": ["-j RETURN"]})
        return self.reload() if on else ""

    def add_table(self, *_: Any) -> str:
        self.nft = self.nft or "table inet firewalld {\n}\n"
        return ""

    def restart_docker(self, *_: Any) -> str:
        self.docker_restarts += 1
        return ""

    def reload(self) -> str:
        """Make the daemon's rules and the kernel's from what is on disk."""
        self.runtime, self.nft = set(self.permanent), real("pristine_nft")
        xml = self.nodes.get(firewalld_direct.PATH)
        lines = firewalld_direct.lines_of(xml.data.decode() if xml else "")
        for family, kernel in self.kernels.items():
            gone = [name for name in kernel.chains if name.startswith("orchestr") or name == "DOCKER-USER"]
            for name in gone:
                del kernel.chains[name]
            kernel.chains["INPUT"] = []
            kernel.restore(firewalld_direct.restored(_live(kernel), lines[family]))
            kernel.chains["FORWARD"] = ["-j DOCKER-USER"]
            kernel.chains.setdefault("DOCKER-USER", []).append("-j RETURN")
        return "success\n"

    def listing(self, *_: Any) -> Any:
        """Return nftables' table with as many rules in the zone's last chain as the daemon has."""
        if not self.is_active or not self.nft:
            return 1, "", "Error: No such file or directory"
        ours = [text for kind, text in self.runtime if kind == "rich-rule" and 'priority="-' not in text]
        rules = "".join("\t\ttcp dport 1 drop\n" for text in ours if "priority" in text)
        return re.sub(r"(chain filter_IN_public_post \{\n)[^}]*", r"\1" + rules + "\t", self.nft)

    def firewall_cmd(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        is_offline = words[0] == "firewall-offline-cmd"
        if is_offline == self.is_active:
            return 252, "", "FirewallD is not running"
        if "--query-panic" in words:
            return "yes\n" if self.is_panicking else (1, "no\n", "")
        if "--reload" in words:
            return self.reload() if self.nft else (13, "", "Error: COMMAND_FAILED: 'python-nftables' failed")
        items = self.permanent if is_offline or "--permanent" in words else self.runtime
        for word in words[1:]:
            name, _, value = word.partition("=")
            if name == "--list-all":
                return listed(items)
            if is_offline and name == "--remove-service":
                return 2, "", "Can't use lokkit options with other options."
            verb, _, kind = name[2:].partition("-")
            if verb == "add":
                items.add((kind, value))
            elif verb == "remove":
                items.discard((kind.replace("-from-zone", ""), value))
        if items is self.permanent:
            self.add_file("/etc/firewalld/zones/public.xml", "")
            self.nodes["/etc/firewalld/zones/public.xml"].data = listed(items).encode()
        return "success\n"

    def save(self, family: int, system: MemorySystem, words: tuple[str, ...], given: bytes) -> str:
        return self.kernels[family].save()

    def restore(self, family: int, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        """Load one transaction after the other; one that fails changes nothing and ends it."""
        for transaction in given.decode().split("COMMIT\n"):
            tried = deepcopy(self.kernels[family])
            try:
                tried.restore(transaction)
            except ValueError:
                return 1, "", "iptables-restore: line 3 failed"
            self.kernels[family] = tried
        return ""

    def move(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        if words[1] not in self.nodes:
            return 1, "", "mv: cannot stat"
        self.nodes[words[2]] = self.nodes.pop(words[1])
        return ""

    def undo(self, system: MemorySystem, words: tuple[str, ...], given: bytes) -> Any:
        """Do what the script says: files back, then its commands."""
        folder = words[-1].rpartition("/")[0]
        if words[-1] not in self.nodes:
            return 2, "", "cannot open"
        for line in self.text(words[-1]).splitlines()[4:-2]:
            if line.startswith("cp -p "):
                self.nodes[line.rpartition(" ")[2]] = self.nodes[f"{folder}/{line.split()[2]}"]
            elif line.startswith("rm -f "):
                self.nodes.pop(line[6:], None)
            else:
                command, _, stdin = line.rpartition(" <")
                data = b"" if stdin == "/dev/null" else self.nodes[f"{folder}/{stdin}"].data
                argv = tuple(shlex.split(command))
                system._answer(argv, data)
        for path in [path for path in self.nodes if path.startswith(folder)]:
            del self.nodes[path]
        return ""

    @property
    def system(self) -> MemorySystem:
        return MemorySystem(self, confirm=lambda window_s: self.confirms)


def _live(kernel: Kernel) -> Any:
    from orchestr.resources.firewall import netfilter

    return netfilter.parse(kernel.save())
