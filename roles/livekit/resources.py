"""How busy a LiveKit node is, by LiveKit's own list of nodes."""

from __future__ import annotations

from orchestr import Survey, record, registered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Optional, Tuple

    from orchestr import Reader

LIST = ("/livekit-server", "--config", "/etc/livekit/livekit.yaml", "list-nodes")


@record
@registered("livekit_load")
class LivekitLoad(Survey):
    """The rooms and participants of the node at ``address``.

    Observes: ``list-nodes`` in the container ``name``. Changes: nothing. Never touches: anything.
    """

    name: str
    address: str

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        done = reader.query(("docker", "exec", self.name, *LIST))
        load = load_of(done.stdout, self.address) if done.ok else None
        if load is None:
            return {}
        return {"busy": load[1], "text": "%d rooms, %d participants" % load}


def load_of(table: str, address: str) -> Optional[Tuple[int, int]]:
    """Return rooms and participants of the newest entry with an address in ``list-nodes``; None if it has none.

    An entry is several lines: the id is in the first one, the times of start and last report are in the last column.
    Source: cmd/server/commands.go of 1.8.4, which draws with ``|``, and of 1.13.5, which draws with ``│``.
    """
    lines = [line.strip().strip("|").split("|") for line in table.replace("│", "|").splitlines() if "|" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    header = [name.lower() for name in cells[0]] if cells else []
    if "rooms" not in header or "clients" not in header:
        return None
    newest: Tuple[str, int, int] = ("", 0, 0)
    for number, row in enumerate(cells):
        if row[0].startswith("ND_") and row[1] == address:
            updated = cells[number + 1][-1] if number + 1 < len(cells) else ""
            rooms, clients = (int(row[header.index(name)]) for name in ("rooms", "clients"))
            newest = max(newest, (updated or row[-1], rooms, clients))
    return newest[1:] if newest[0] else None
