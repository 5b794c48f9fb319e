"""ufw's own files: the settings, and the rules with the comments that carry their meaning.

Formats: ufw.conf and default/ufw are shell assignments. user.rules and user6.rules are iptables-restore(8) input
written by ufw (0.35 and later), in which a comment line precedes the rules it stands for::

    ### tuple ### ACTION PROTOCOL DPORT DESTINATION SPORT SOURCE [DAPP SAPP] DIRECTION[_IFACE] [comment=HEX]

ufw reads only these comments and writes the rules below them anew, which the kernel then gets.
Source: ufw's backend_iptables.py, ``_read_rules`` and ``_write_rules``.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.resources.firewall.rules import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterable, List, Sequence, Tuple

TUPLE, RULES, END_RULES = "### tuple ### ", "### RULES ###", "### END RULES ###"
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
POLICIES = {"ACCEPT": "allow", "DROP": "deny", "REJECT": "reject"}
_TARGETS = {"allow": "ACCEPT", "deny": "DROP"}
_CHAINS = tuple("%s-user-%s" % (prefix, name) for prefix in ("ufw", "ufw6") for name in ("input", "output", "forward"))
_LOGGING = ("ufw-user-logging-", "ufw6-user-logging-")


@record
class RulesFile:
    """user.rules or user6.rules: the text before the rules, the rules, the text after them."""

    head: str
    entries: Tuple[Entry, ...]
    tail: str

    def text(self, entries: Iterable[Entry]) -> str:
        """Return the file with these entries instead; those it has already stay as they are written."""
        parts = ["\n".join(entry.lines or written(entry)) for entry in entries]
        return self.head + "".join("\n" + part + "\n" for part in parts) + "\n" + self.tail


def parse_rules(text: str, family: int) -> RulesFile:
    """Return a rules file in parts. Raises ValueError if it has no ``### RULES ###`` line."""
    head, marker, rest = text.partition(RULES + "\n")
    if not marker:
        raise ValueError("there is no line %r" % RULES)
    groups: List[List[str]] = []
    tail: List[str] = []
    lines = rest.splitlines()
    for number, line in enumerate(lines):
        if line == END_RULES:
            tail = [*tail, *lines[number:]]
            break
        if line.startswith(TUPLE):
            groups.append([line])
        elif groups and _is_rule(line):
            groups[-1].append(line)
        elif line:
            # A file as the package installs it has no end marker: all further lines are its tail.
            tail.append(line)
    if END_RULES not in tail:
        tail.insert(0, END_RULES)
    entries = tuple(entry_of(group, family) for group in groups)
    return RulesFile(head + marker, entries, "\n".join(tail) + "\n")


def _is_rule(line: str) -> bool:
    """Return True if a line adds to one of the chains that hold the user's rules."""
    word, _, rest = line.partition(" ")
    chain, is_followed, _ = rest.partition(" ")
    return word == "-A" and bool(is_followed) and (chain in _CHAINS or chain.startswith(_LOGGING))


def entry_of(lines: Sequence[str], family: int) -> Entry:
    """Return the entry of a tuple line and its rules; any part that we never write ourselves is in ``extra``."""
    text, _, comment = lines[0][len(TUPLE) :].partition(" comment=")
    fields = text.split()
    if not 6 <= len(fields) <= 9:
        return Entry(family, "unknown", "any", "any", "any", extra=text, lines=tuple(lines))
    action, protocol, port, destination, source_port, source = fields[:6]
    direction = fields[-1] if len(fields) in (7, 9) else "in"
    extra = [] if direction == "in" else [direction.replace("_", " on ")]
    extra += ["to " + destination] if destination != ANYWHERE[family] else []
    extra += ["source port " + source_port] if source_port != "any" else []
    extra += ["application " + "/".join(fields[6:8])] if len(fields) > 7 else []
    route, _, plain = action.rpartition(":")
    plain, _, log = plain.partition("_")
    extra = (["route"] if route else []) + extra + ([log] if log else [])
    return Entry(
        family,
        plain,
        protocol,
        port,
        "any" if source == ANYWHERE[family] else source,
        _decode_hex(comment.strip()),
        ", ".join(extra),
        tuple(lines),
    )


def written(entry: Entry) -> List[str]:
    """Return the lines of an entry of ours: the tuple, then the rules, as ufw writes them."""
    anywhere = ANYWHERE[entry.family]
    source = anywhere if entry.source == "any" else entry.source
    fields = (entry.action, entry.protocol, entry.port, anywhere, "any", source, "in")
    comment = " comment=" + entry.comment.encode("utf-8").hex() if entry.comment else ""
    prefix = "ufw" if entry.family == 4 else "ufw6"
    lines = [TUPLE + " ".join(fields) + comment]
    for protocol in ("tcp", "udp") if entry.protocol == "any" else (entry.protocol,):
        ports = "-m multiport --dports " if ":" in entry.port else "--dport "
        ports = "" if entry.port == "any" else " " + ports + entry.port
        match = "-A %s-user-input -p %s%s" % (prefix, protocol, ports)
        lines += _targets(match + ("" if entry.source == "any" else " -s " + entry.source), entry.action, prefix)
    return lines


def _targets(match: str, action: str, prefix: str) -> List[str]:
    if action != "limit":
        return ["%s -j %s" % (match, _TARGETS[action])]
    new = match + " -m conntrack --ctstate NEW -m recent"
    return [
        new + " --set",
        "%s --update --seconds 30 --hitcount 6 -j %s-user-limit" % (new, prefix),
        "%s -j %s-user-limit-accept" % (match, prefix),
    ]


def settings(text: str) -> Dict[str, str]:
    """Return the assignments of ufw.conf or default/ufw, without quotes."""
    assignments = {}
    for line in text.splitlines():
        name, is_set, value = line.strip().partition("=")
        if is_set and not name.startswith("#"):
            assignments[name.strip()] = value.strip().strip("\"'")
    return assignments


def with_settings(text: str, wanted: Dict[str, str]) -> str:
    """Return the text with these assignments, each in the place of the old one, else at the end."""
    import re  # slow to import, and needed when something differs

    for name, value in wanted.items():
        if settings(text).get(name) == value:
            continue
        shown = value if value in ("yes", "no") else '"%s"' % value
        line = "%s=%s" % (name, shown)
        text, count = re.subn(r"(?m)^[ \t]*%s[ \t]*=.*$" % re.escape(name), line, text)
        if not count:
            text = text.rstrip("\n") + "\n" + line + "\n"
    return text


def _decode_hex(comment: str) -> str:
    try:
        return bytes.fromhex(comment).decode("utf-8", "replace")
    except ValueError:
        return comment
