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
    """The rooms and tracks of the node at ``address``.

    Clients count a thousandth of a track: a restart cuts the media of the node's rooms, but the signalling that it
    carries for rooms elsewhere only for a moment.
    Observes: ``list-nodes`` in the container ``name``. Changes: nothing. Never touches: anything.
    """

    name: str
    address: str

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        done = reader.query(("docker", "exec", self.name, *LIST))
        load = load_of(done.stdout, self.address) if done.ok else None
        if load is None:
            return {}
        rooms, clients, tracks = load
        return {"busy": tracks + clients / 1000, "text": "%d rooms, %d tracks" % (rooms, tracks)}


def load_of(table: str, address: str) -> Optional[Tuple[int, int, int]]:
    """Return rooms, clients and tracks of the newest entry with an address in ``list-nodes``; None if it has none.

    An entry is two lines: rooms and clients are in the first one; tracks in and out, below clients, and the time of the
    last report, in the last column, are in the second one.
    Source: cmd/server/commands.go of 1.8.4, which draws with ``|``, and of 1.13.5, which draws with ``│``.
    """
    lines = [line.strip().strip("|").split("|") for line in table.replace("│", "|").splitlines() if "|" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    header = [name.lower() for name in cells[0]] if cells else []
    if "rooms" not in header or "clients" not in header:
        return None
    newest: Tuple[str, int, int, int] = ("", 0, 0, 0)
    for row, below in zip(cells, [*cells[1:], []]):
        if row[0].startswith("ND_") and row[1] == address:
            rooms, clients = (int(row[header.index(name)]) for name in ("rooms", "clients"))
            second = below if below and not below[0].startswith("ND_") else [""] * len(row)
            tracks = sum(int(number) for number in second[header.index("clients")].split(" / ") if number)
            newest = max(newest, (second[-1] or row[-1], rooms, clients, tracks))
    return newest[1:] if newest[0] else None
