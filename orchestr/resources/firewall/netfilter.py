"""The rules of the kernel's packet filter, read from ``iptables-save`` and compared with rules as written in a file.

Format: iptables-save(8), the filter table. It prints a rule in its own order and adds defaults, so rules are
compared as sets of their options.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.system import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, FrozenSet, Iterable, List, Optional, Tuple, TypeAlias  # novm

_WORD = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|\S+"
#: Options the kernel prints as defaults, or that repeat another option.
_SILENT = {"-m", "--match", "--mask", "--rsource", "--reject-with"}
_LONG = {
    "--dports": "--dport", "--sports": "--sport", "--state": "--ctstate", "--protocol": "-p", "--source": "-s",
    "--destination": "-d", "--in-interface": "-i", "--out-interface": "-o", "--jump": "-j", "--goto": "-g",
}  # fmt: skip

#: Options whose value may begin with a dash.
_TAKE_ANY = {"--comment", "--log-prefix", "--nflog-prefix", "--string"}

#: Loads rules without touching other chains; waits for Docker's own calls where the kernel has one lock for all.
RESTORE = {4: ("iptables-restore", "-w", "10", "-n"), 6: ("ip6tables-restore", "-w", "10", "-n")}

Canonical: TypeAlias = "FrozenSet[Tuple[str, str]]"


@record
class Live:
    """The filter table of one family: policies of built-in chains ("DROP"), rules by chain as they are printed."""

    policies: Dict[str, str]
    chains: Dict[str, List[str]]
    memo: Dict[str, List[Canonical]]

    def jumps(self, chain: str, target: str) -> bool:
        """Return True if a chain passes every packet on to another."""
        return "-j " + target in self.chains.get(chain, ())

    def canonical(self, chain: str) -> List[Canonical]:
        """Return a chain's rules in comparable form; [] when there is no such chain."""
        if chain not in self.memo:
            self.memo[chain] = [canonical(rule) for rule in self.chains.get(chain, ())]
        return self.memo[chain]


def read(reader: Reader, family: int) -> Optional[Live]:
    """Return the filter table of IPv4 or IPv6, None where the kernel or the tool has none."""
    program = "iptables-save" if family == 4 else "ip6tables-save"
    done = reader.query([program, "-t", "filter"], timeout_s=20)
    return parse(done.stdout) if done.ok else None


def parse(text: str) -> Live:
    """Return the filter table in the output of ``iptables-save``, with counters (``-c``) or without."""
    live, table = Live({}, {}, {}), "filter"
    for line in text.splitlines():
        if line.startswith("["):
            line = line.partition("] ")[2]
        if line.startswith("*"):
            table = line[1:].strip()
        elif table == "filter" and line.startswith(":"):
            name, policy = [*line[1:].split(), "-", "-"][:2]
            live.chains.setdefault(name, [])
            if policy != "-":
                live.policies[name] = policy
        elif table == "filter" and line.startswith("-A "):
            _, name, rule = (line + " ").split(" ", 2)
            live.chains.setdefault(name, []).append(rule.strip())
    return live


def canonical(rule: str) -> Canonical:
    """Return one rule (without ``-A CHAIN``) as the set of its options, independent of order and of defaults.

    >>> canonical("-p tcp --dport 22 -s 10.0.0.1 -j ACCEPT") == canonical(
    ...     "-s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT")
    True
    """
    options: List[Tuple[str, str]] = []
    prefix = ""
    for word in _words(rule):
        if word == "!":
            prefix = "!"
        elif word.startswith("-") and not (options and options[-1][0] in _TAKE_ANY and not options[-1][1]):
            options.append((prefix + _LONG.get(word, word), ""))
            prefix = ""
        elif options:
            name, value = options[-1]
            # ufw quotes comments in a way that iptables-restore takes literally, and iptables-save quotes again.
            options[-1] = (name, (value + " " + word.strip("'\"\\")).strip())
    return frozenset(
        (name, _plain(name, value))
        for name, value in options
        if name not in _SILENT and (name, value) != ("--name", "DEFAULT")
    )


def _words(rule: str) -> List[str]:
    if '"' not in rule and "'" not in rule:
        return rule.split()
    import re  # slow to import, and few rules have anything quoted

    return re.findall(_WORD, rule)


def _plain(name: str, value: str) -> str:
    if name.lstrip("!") in ("-s", "-d"):
        whole = "/128" if ":" in value else "/32"
        return value[: -len(whole)] if value.endswith(whole) else value
    if name.lstrip("!") == "--ctstate":
        return ",".join(sorted(value.split(",")))
    return value


def split_rule(line: str) -> Tuple[str, str]:
    """Return (chain, rule) of an ``-A CHAIN rule`` line."""
    _, chain, rule = (line + " ").split(" ", 2)
    return chain, rule.strip()


def is_in_order(needed: Iterable[Canonical], rules: Iterable[Canonical]) -> bool:
    """Return True if all of ``needed`` are in ``rules`` in this order; other rules may stand between them."""
    rest = iter(rules)
    return all(any(rule == other for other in rest) for rule in needed)
