"""The lines of exec: whole whatever pieces they came in."""

from __future__ import annotations

import io

from orchestr.events import RunStarted, TaskFinished, TaskOutput
from orchestr.reports.host_output import HostLines
from orchestr.reports.output import Output


def _said(*pieces: str) -> str:
    stream = io.StringIO()
    lines = HostLines(Output(stream))
    lines(RunStarted("r", "exec", "i.yml", "", ("a",), True))
    for piece in pieces:
        lines(TaskOutput("a", "exec", piece))
    lines(TaskFinished("a", "exec", "command", "x", "ok"))
    return stream.getvalue()


def test_lines_are_whole_whatever_pieces_they_came_in() -> None:
    """A piece may hold no line end, one, or several; what is left at the end is a line too."""
    assert _said("on", "e\ntwo\n\nth", "", "ree\n", "four") == "a | one\na | two\na |\na | three\na | four\n"
