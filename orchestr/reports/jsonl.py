"""Events as JSON lines, one per event, as they happen: for programs that follow a run."""

from __future__ import annotations

import time

from orchestr.events import Event
from orchestr.reports.output import Output
from orchestr.reports.visible import json_line


class JsonLines:
    """A consumer; each line is the event's ``to_json`` with its ``time`` in seconds since 1970."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __call__(self, event: Event) -> None:
        self._output.write(json_line({"time": round(time.time(), 3), **event.to_json()}))
