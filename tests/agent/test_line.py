"""The one wait for an answer of the controller: of a kind, to a question, for a time."""

from __future__ import annotations

import threading

from orchestr.agent.line import CHUNK, MODULES, REACHED, TAKEN, Line


def a_line() -> Line:
    return Line(lambda size: b"", lambda data: None, lambda kind, payload: None, lambda: None)


def test_an_answer_to_an_earlier_question_is_dropped() -> None:
    """A transfer that was given up may still be answered: the next one never sees that."""
    line = a_line()
    old, new = line.next_transfer(), line.next_transfer()
    line.answer(CHUNK, old, b"old")
    line.answer(CHUNK, new, b"")
    assert line.wait_for(CHUNK, new, 10) == b""
    assert line.wait_for(CHUNK, old, 0.0) is None


def test_a_wait_leaves_the_answers_of_other_kinds() -> None:
    """A module that comes in the middle of a transfer takes none of its pieces."""
    line = a_line()
    transfer = line.next_transfer()
    line.answer(CHUNK, transfer, b"piece")
    line.answer(MODULES, "orchestr.resources.x", True)
    assert line.wait_for(MODULES, "orchestr.resources.x", 10) is True
    assert line.wait_for(CHUNK, transfer, 10) == b"piece"


def test_no_answer_is_none_and_an_empty_one_is_not() -> None:
    """An offer that was taken is answered by an empty reason; silence is another thing."""
    line = a_line()
    offer = line.next_transfer()
    assert line.wait_for(TAKEN, offer, 0.0) is None
    line.answer(TAKEN, offer, "")
    assert line.wait_for(TAKEN, offer, 0.0) == ""


def test_an_answer_without_a_number_belongs_to_the_last_question() -> None:
    """A confirmation that comes too late for one guarded change does not confirm the next."""
    line = a_line()
    line.next_transfer()
    line.answer_last(REACHED, True)
    question = line.next_transfer()
    assert line.wait_for(REACHED, question, 0.0) is None


def test_a_wait_ends_when_the_answer_comes() -> None:
    """It comes from the thread that listens."""
    line = a_line()
    question = line.next_transfer()
    threading.Timer(0.01, line.answer_last, (REACHED, True)).start()
    assert line.wait_for(REACHED, question, 30) is True
