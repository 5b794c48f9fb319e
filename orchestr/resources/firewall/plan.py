"""The desired list of a packet filter, computed from its current list: pure, one address family at a time.

Order matters to a packet filter: the first entry that matches decides. So entries of others keep their positions, ours
keep theirs as long as they are in the right order among themselves, and the live SSH connection is let in before
anything that would keep it out.
"""

from __future__ import annotations

from orchestr.resources.firewall.rules import SSH_TAG, Entry, Session, covers_port, decides, families_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Sequence, TypeAlias  # novm

IsOurs: TypeAlias = "Callable[[Entry], bool]"


def merged(existing: Sequence[Entry], wanted: Sequence[Entry], is_ours: IsOurs, purge: bool = False) -> List[Entry]:
    """Return the list with all of ``wanted``, without ours that are not wanted; others' entries stay, unless ``purge``.

    An entry of others equal to a wanted one replaces it; one that matches the same packets with another action is
    replaced, as ufw does when told a new action. The entry that keeps SSH open is left out: see ``with_ssh``.
    """
    by_match = {entry.match: entry for entry in wanted}
    kept: List[Entry] = []
    satisfied = set()
    for entry in existing:
        wish = by_match.get(entry.match)
        if entry.comment == SSH_TAG:
            continue
        if is_ours(entry):
            if wish is not None and entry.is_same(wish) and entry.match not in {other.match for other in kept}:
                kept.append(entry)
        elif wish is None:
            if not purge or entry.is_single:
                kept.append(entry)
        elif wish.action == entry.action and not (purge and not entry.is_single):
            satisfied.add(entry.match)
            kept.append(entry)
    return _in_order(kept, [entry for entry in wanted if entry.match not in satisfied], is_ours)


def _in_order(kept: List[Entry], target: List[Entry], is_ours: IsOurs) -> List[Entry]:
    ours = [entry for entry in kept if is_ours(entry)]
    if len(ours) == len(target) and all(old.is_same(new) for old, new in zip(ours, target)):
        return kept
    written = {entry.match: entry for entry in ours}
    first = next((index for index, entry in enumerate(kept) if is_ours(entry)), len(kept))
    before, after = kept[:first], [entry for entry in kept[first:] if not is_ours(entry)]
    return before + [written.get(entry.match, entry) for entry in target] + after


def mentions(entries: Sequence[Entry], session: Optional[Session]) -> bool:
    """Return True if a rule mentions the SSH port: then it is not opened to everyone."""
    return session is not None and any(
        entry.port != "any" and entry.protocol in ("tcp", "any") and covers_port(entry.port, session.port)
        for entry in entries
        if entry.is_inbound and entry.comment != SSH_TAG
    )


def with_ssh(
    family: int, base: List[Entry], existing: Sequence[Entry], session: Optional[Session], is_mentioned: bool
) -> List[Entry]:
    """Return ``base`` such that the session's SSH port is open to its client, whatever else the list says.

    Nothing is added when the client gets in anyway. Otherwise the port is opened to everyone, or, where a rule
    mentions it or keeps this client out, to this client alone and ahead of what keeps it out.
    """
    if session is None:
        mine = [entry for entry in existing if entry.comment == SSH_TAG]
        return _insert(base, mine, existing)
    result = base
    is_clients = families_of(session.client)[0] == family
    if not is_mentioned and (not is_clients or not _lets_in(result, session)):
        result = _insert(result, [Entry(family, "allow", "tcp", session.port, "any", SSH_TAG)], existing)
    if is_clients and not _lets_in(result, session):
        entry = Entry(family, "allow", "tcp", session.port, session.client, SSH_TAG)
        result = _insert(result, [entry], existing)
        if not _lets_in(result, session):
            result = [item for item in result if not item.is_same(entry)]
            first = decides(result, session)
            index = len(result) if first is None else result.index(first)
            result = [*result[:index], entry, *result[index:]]
    return result


def _lets_in(entries: Sequence[Entry], session: Session) -> bool:
    entry = decides(entries, session)
    return entry is not None and entry.action in ("allow", "limit")


def _insert(base: List[Entry], entries: Sequence[Entry], existing: Sequence[Entry]) -> List[Entry]:
    """Put each entry where it already stands among the others, else ahead of our own rules."""
    result = list(base)
    for entry in entries:
        old = next((item for item in existing if item.is_same(entry)), None)
        if old is None:
            index = next((at for at, item in enumerate(result) if item.is_tagged), len(result))
        else:
            before = {item.match for item in existing[: existing.index(old)]}
            index = max([at + 1 for at, item in enumerate(result) if item.match in before], default=0)
        result.insert(index, old or entry)
    return result
