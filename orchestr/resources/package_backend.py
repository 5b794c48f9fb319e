"""The interface of every package system; one class per system (``apt``), chosen by the host's programs."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.system import Reader, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Sequence


@record
class Installed:
    """``state`` is "installed", "absent" or the package system's word for half-way; ``version`` is "" if none."""

    state: str
    version: str = ""


@record
class Wanted:
    """A package to install; ``version`` "" is the one the package system prefers."""

    name: str
    version: str = ""


class Backend:
    """A package system. The reading half must be quick: it is asked in every play."""

    #: the program whose presence shows that this host uses it
    program: ClassVar[str] = ""

    def installed(self, reader: Reader, name: str, or_provided: bool = True) -> Installed:
        """Return the state of a package, or of one that provides it."""
        raise NotImplementedError

    def obstacle(self, reader: Reader, name: str) -> str:
        """Return why the package system would refuse to remove an installed package, "" when it would not."""
        raise NotImplementedError

    def offered(self, reader: Reader, names: Sequence[str]) -> Sequence[str]:
        """Return those of ``names`` that can be installed, in their order."""
        raise NotImplementedError

    def candidate(self, reader: Reader, name: str) -> str:
        """Return the version of a package that would be installed now, "" when none is offered."""
        raise NotImplementedError

    def refresh(self, system: System, max_age_s: float) -> None:
        """Fetch the lists of installable packages when they are older. Failing to is not an error yet."""
        raise NotImplementedError

    def install(self, system: System, wanted: Sequence[Wanted]) -> None:
        """Install these, after repairing the interrupted work of an earlier run.

        Raises ResourceError, with the closest known name for an unknown one.
        """
        raise NotImplementedError

    def remove(self, system: System, names: Sequence[str]) -> None:
        """Remove these, leaving their configuration."""
        raise NotImplementedError
