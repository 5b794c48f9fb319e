"""Desired state, and the contract between it and the engine: observe, diff, apply, observe again.

A resource is a record of scalars, tuples, Secrets and other registered records. It declares the desired
state (`desired`), reads the current state (`observe`, which gets a Reader and so cannot write) and makes a change that
the engine computed (`apply`, which never decides). A resource type is one file in ``orchestr/resources``.
"""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.secret import Secret
from orchestr.agent.system import Reader, System

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, ClassVar, Dict, Mapping, Optional, Tuple, Type, TypeAlias, TypeVar  # novm

    T = TypeVar("T")

#: Attribute → comparable value (scalars, tuples, Secrets); None as a whole means absent.
State: TypeAlias = "Mapping[str, Any]"

_KINDS: Dict[str, type] = {}


def registered(kind: str) -> Callable[[Type[T]], Type[T]]:
    """Register a record (or frozen dataclass) under the name it has on the wire, in task ids and in reports."""

    def add(cls: Type[T]) -> Type[T]:
        other = _KINDS.get(kind)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError("kind %r is already taken by %r" % (kind, other))
        _KINDS[kind] = cls
        cls.kind = kind  # type: ignore[attr-defined]
        return cls

    return add


def class_of(kind: str) -> type:
    """Return the class registered under ``kind``. Raises KeyError."""
    return _KINDS[kind]


def kinds() -> Dict[str, type]:
    """Return a copy of the registry: kind → class."""
    return dict(_KINDS)


@record
class Change:
    """A difference found by the engine: the whole state before and after, and the attributes that differ.

    ``before`` is None when the thing does not exist, ``after`` is None when it should not.
    """

    before: Optional[State]
    after: Optional[State]
    differing: Tuple[str, ...]

    @property
    def is_creation(self) -> bool:
        return self.before is None

    @property
    def is_removal(self) -> bool:
        return self.after is None

    def touches(self, *attributes: str) -> bool:
        """Return True if any of these attributes differs."""
        return any(name in self.differing for name in attributes)


class Resource:
    """Base of everything that can be desired of a host.

    Subclasses are records decorated with ``@registered("kind")``.
    """

    kind: ClassVar[str] = ""
    #: Families whose cached reads an apply of this one makes stale; "*" is all of them.
    touches: ClassVar[Tuple[str, ...]] = ("*",)
    #: A gate waits for something others bring about; it is never itself a change.
    is_gate: ClassVar[bool] = False
    #: Seconds that it may take without a sign of progress (output, a command, a transfer or a wait within its own time
    #: limit) before the agent gives it up. A property where it depends on the record.
    patience_s: ClassVar[float] = 900.0
    #: Seconds that it may take in all, with signs of progress, where its task has no ``timeout_s``: so that a host that
    #: keeps talking holds nobody for days. What it waits by its own ``timeout_s`` or ``wait_s`` comes on top.
    longest_s: ClassVar[float] = 4 * 3600.0

    @property
    def label(self) -> str:
        """Return its name on the host: a path, a unit, a package. Unique within its kind."""
        raise NotImplementedError

    def desired(self) -> Optional[State]:
        """Return the attributes that should hold; None when the thing should not exist."""
        raise NotImplementedError

    def observe(self, reader: Reader) -> Optional[State]:
        """Return the attributes that hold now; None when the thing does not exist. Never writes.

        Raises NotObservable when the means to look are missing (a tool that an earlier task installs).
        """
        raise NotImplementedError

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        """Return the things that this resource alone decides: (family, name) or (family, name, part) → their values.

        A plan in which two roles give one thing different values is refused: each run would change it back and forth.
        A value that takes time to make may be a function that returns it, such as ``self.desired``.
        """
        return {}

    def require(self, reader: Reader, change: Change) -> None:
        """Raise ResourceError when something on the host keeps ``change`` from being made whole.

        Called in a plan too, and before ``apply``: nothing is half-done then, and the plan has said it.
        """

    def apply(self, system: System, change: Change) -> None:
        """Bring about ``change``. Raises CommandFailed, OSError, ResourceError."""
        raise NotImplementedError

    def predict(self, reader: Reader, change: Change) -> None:
        """In check mode: note in ``reader.predicted`` the files that later tasks would see after this change."""

    def diff(self, reader: Reader, change: Change) -> str:
        """Return the change as text for a person; secrets redacted. The default lists attributes."""
        return attribute_diff(change)

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        """Return values for later plays (``host.outcome``); they may be Secrets. Read after convergence."""
        return self.published_values(reader)

    def publish(self, reader: Reader, values: Mapping[str, Any]) -> None:
        """Keep ``values`` for `published_values`, in place of earlier ones, until the request ends."""
        reader.notes[(self.kind, self.label)] = values

    def published_values(self, reader: Reader) -> Mapping[str, Any]:
        """Return the values that `publish` was given last, empty without any. They are the default ``outcome``."""
        values: Mapping[str, Any] = reader.notes.get((self.kind, self.label), {})
        return values


class Action(Resource):
    """Something to do that is not a state (backup, drain), done unless ``is_done`` says it need not be.

    Subclasses give ``label``, ``is_done`` and ``perform``.
    """

    def is_done(self, reader: Reader) -> bool:
        raise NotImplementedError

    def perform(self, system: System) -> None:
        raise NotImplementedError

    def desired(self) -> Optional[State]:
        return {"done": True}

    def observe(self, reader: Reader) -> Optional[State]:
        return {"done": self.is_done(reader)}

    def apply(self, system: System, change: Change) -> None:
        self.perform(system)


class Survey(Resource):
    """A look at the host for the plays after it: its findings are its outcome, and it is never a change.

    Subclasses have a ``name``, which tells surveys of one kind apart, and give ``outcome``.
    """

    is_gate: ClassVar[bool] = True
    touches: ClassVar[Tuple[str, ...]] = ()
    name: str

    @property
    def label(self) -> str:
        return self.name

    def desired(self) -> Optional[State]:
        return {"looked": True}

    def observe(self, reader: Reader) -> Optional[State]:
        return {"looked": True}


class ResourceError(Exception):
    """A resource could not be applied; ``next_step`` tells the user how to go on."""

    def __init__(self, message: str, next_step: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step
        self.stderr = stderr


class NotObservable(ResourceError):
    """The means to look at the thing are not there (yet)."""


@registered("task")
@record
class Task:
    """A resource and the policy around it.

    ``name`` is shown to people (default: kind and label). ``when=False`` skips it. ``retries`` more attempts follow a
    failure, ``delay_s`` seconds apart. ``until`` is a gate that must hold after it. ``timeout_s`` bounds it as a whole:
    its commands end then, and an agent that hangs ends soon after; without it, see ``Resource.patience_s`` and
    ``Resource.longest_s``.
    """

    resource: Resource
    name: str = ""
    when: bool = True
    retries: int = 0
    delay_s: float = 1.0
    until: Optional[Resource] = None
    timeout_s: Optional[float] = None
    tags: Tuple[str, ...] = ()
    id: str = ""


def differing(before: Optional[State], after: Optional[State]) -> Tuple[str, ...]:
    """Return the attributes of ``after`` that do not hold in ``before``; ("exists",) for presence itself."""
    if after is None:
        return () if before is None else ("exists",)
    if before is None:
        return ("exists", *after)
    missing = object()
    return tuple(name for name, value in after.items() if before.get(name, missing) != value)


def attribute_diff(change: Change) -> str:
    """Return ``- name: before`` / ``+ name: after`` lines for the attributes that differ; Secrets redacted."""
    if change.after is None:
        return "- present\n+ absent"
    lines = []
    if change.before is None:
        lines.append("- absent")
    for name in change.differing:
        if name == "exists":
            continue
        if change.before is not None and name in change.before:
            lines.append("- %s: %s" % (name, _show(change.before[name])))
        lines.append("+ %s: %s" % (name, _show(change.after[name])))
    return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, Secret):
        return value.redacted()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(_show(item) for item in value)
    return str(value)
