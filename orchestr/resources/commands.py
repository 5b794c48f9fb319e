"""A command, for changes that no resource describes."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Action, ResourceError, registered
from orchestr.agent.secret import Secret, reveal
from orchestr.agent.system import CommandFailed, Reader, System
from orchestr.resources.names import check_line, check_path, check_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Tuple, Union

LONGEST_S = 3600.0  # a command without a time-out on its task ends after this long
LABEL_LENGTH = 72


@record
@registered("command")
class Command(Action):
    """Run ``argv`` (no shell; for one, ``("sh", "-c", TEXT)``) unless it is known to be done.

    It is done when the query command ``unless`` ends with 0, or when the path ``creates`` is there; with neither it
    runs every time. ``input`` goes to its stdin, which is also the place for a Secret: one in ``argv`` or ``env`` would
    show in ``ps``, so it raises ValueError. A status other than 0 fails, unless ``check_exit=False``; so does a status
    of 0 without the path that it ``creates``. ``stream`` passes the output on live.
    Outcome, when it ran: ``{"exit": int, "stdout": str, "stderr": str}``.
    Observes: ``unless`` and ``creates``. Changes: the command's own. Never touches: anything by itself.
    """

    type_hint: ClassVar[str] = "a Command is a list of words, the program first; a Secret goes to input"

    argv: Tuple[str, ...]
    unless: Tuple[str, ...] = ()
    creates: str = ""
    input: Union[str, Secret] = ""
    env: Tuple[Tuple[str, str], ...] = ()
    stream: bool = True
    check_exit: bool = True
    label_text: str = ""

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("a Command is a list of words, the program first, not an empty one")
        words = [*self.argv, *self.unless, *(word for pair in self.env for word in pair)]
        if not self.argv[0]:
            raise ValueError("a Command's program has a name")
        check_words(words, self.argv[0])
        if any(not name or "=" in name for name, _ in self.env):
            raise ValueError("%s: a variable of the environment has a name, without =" % self.argv[0])
        check_line(self.label_text, "the label")
        if self.creates:
            check_path(self.creates, "creates")

    @property
    def label(self) -> str:
        if self.label_text:
            return self.label_text
        import shlex

        text = " ".join(shlex.quote(word) for word in self.argv).replace("\n", " ")
        if len(text) <= LABEL_LENGTH:
            return text
        import hashlib

        return "%s... %s" % (text[:LABEL_LENGTH], hashlib.sha256(text.encode()).hexdigest()[:6])

    def is_done(self, reader: Reader) -> bool:
        self.publish(reader, {})
        if self.creates and reader.stat(self.creates) is not None:
            return True
        return bool(self.unless) and reader.query(self.unless, env=dict(self.env)).ok

    def perform(self, system: System) -> None:
        done = system.run(
            self.argv,
            input=str(reveal(self.input)).encode("utf-8"),
            env=dict(self.env),
            timeout_s=LONGEST_S if system.deadline is None else system.deadline - system.monotonic(),
            check=False,
            stream=self.stream,
        )
        if self.check_exit and not done.ok:
            raise CommandFailed(done)
        self.publish(system, {"exit": done.exit, "stdout": done.stdout, "stderr": done.stderr})
        if done.ok:
            self._assure(system)

    def _assure(self, system: System) -> None:
        """Raise ResourceError, or say so, when the command would run again in every run."""
        if self.creates:
            if system.stat(self.creates) is None:
                raise ResourceError(
                    "%s ended well, but %s, which it creates, is not there" % (self.label, self.creates),
                    "correct creates, or the command: as it is, it would run again in every run",
                )
        elif self.unless and not system.query(self.unless, env=dict(self.env)).ok:
            system.say("unless (%s) does not hold after it, so it runs again in every run" % " ".join(self.unless))
