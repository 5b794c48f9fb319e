"""The frame of a run: RunStarted, sessions opened, the work, RunFinished; also after an interrupt or a fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestr.errors import EXIT_FAILED, EXIT_INTERRUPTED, InputError
from orchestr.events import Consumer, Event, Note, RunFinished, RunStarted, RunStopped
from orchestr.redaction import redact

if TYPE_CHECKING:
    from orchestr.engine.fleet import Fleet
    from orchestr.results import RunResult

INTERRUPTED = "interrupted"


class Emitter:
    """Count events into a result and pass them on, one at a time; after RunFinished only notes."""

    def __init__(self, result: RunResult, consumer: Consumer | None) -> None:
        self.result = result
        self._consumer = consumer
        self._lock = threading.Lock()
        self._is_over = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._is_over and not isinstance(event, Note):
                return
            self._is_over = self._is_over or isinstance(event, RunFinished)
            self.result.take(event)
            if self._consumer is not None:
                self._consumer(event)


def carry_out(
    started: RunStarted,
    emit: Emitter,
    fleet: Fleet,
    work: Callable[[Fleet], None],
    *,
    check: bool = False,
    when_interrupted: str = INTERRUPTED,
) -> None:
    """Do ``work`` with the fleet's sessions and set the result's exit code; RunFinished is emitted in every case.

    ``check`` makes pending changes count in the exit code. An interrupt ends the run, it is not raised; any other
    exception is raised when the run has been closed.
    """
    began_s = time.monotonic()
    result = emit.result
    emit(started)
    try:
        with fleet:
            work(fleet)
        result.conclude(check)
    except KeyboardInterrupt:
        emit(RunStopped(when_interrupted))
        result.exit_code = EXIT_INTERRUPTED
    except InputError as error:
        emit(RunStopped(redact(error.message)))
        result.exit_code = error.exit_code
        raise
    except BaseException as error:
        emit(RunStopped(redact(f"broken off: {type(error).__name__}: {error}")))
        result.exit_code = EXIT_FAILED
        raise
    finally:
        result.elapsed_s = time.monotonic() - began_s
        summary = {name: host.to_json() for name, host in result.hosts.items()}
        emit(RunFinished(result.run, result.exit_code, round(result.elapsed_s, 3), summary))
