"""Records: the same values as a frozen dataclass would be, without importing what dataclasses need."""

from __future__ import annotations

import copy
import dataclasses
import sys
from types import ModuleType
from typing import Any

import pytest

from orchestr.agent.record import MISSING, FrozenRecordError, fields, is_record, record, replace
from orchestr.agent.resource import Resource, registered
from orchestr.agent.secret import Secret
from orchestr.agent.wire import decode, encode

SOURCE = """
from __future__ import annotations
from typing import Any, ClassVar, List, Optional, Tuple
import typing

@value
class Base:
    kind: ClassVar[str] = "base"
    other: typing.ClassVar[int] = 1
    a: int
    b: Optional[str] = None

@value
class Child(Base):
    c: Tuple[int, ...] = ()
    d: int = 4
    def __post_init__(self) -> None:
        object.__setattr__(self, "d", self.d + 1)

@value
class Again(Base):
    b: str = "again"

@value
class Own:
    a: int = 1
    def __repr__(self) -> str:
        return "own"
    def __hash__(self) -> int:
        return 7
    def __eq__(self, other: object) -> bool:
        return True

@value
class Other:
    a: int
    b: Optional[str] = None

@value
class Empty:
    pass
"""


def _made_with(decorator: Any) -> dict[str, Any]:
    module = ModuleType("made")
    sys.modules["made"] = module
    module.__dict__.update(value=decorator, fields=fields, replace=replace, dataclasses=dataclasses, copy=copy)
    exec(compile(SOURCE, "<made>", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


@pytest.mark.parametrize(
    "text",
    [
        "Child(1), Child(1, 'b', (3,), 9), Child(b='x', a=2).c, Child(1) == Child(1), Child(1) == Base(1)",
        "Base(1) == Other(1), Base(1) != Other(1), Base(1) == (1, None), Empty() == Empty(), Empty()",
        "Again(1), Again(1, None), Again(a=1, b='x')",
        "Child()",
        "Child(1, 2, 3, 4, 5)",
        "Child(1, a=2)",
        "Child(1, z=2)",
        "Child(z=2)",
        "Child(b=2)",
        "Empty(1)",
        "setattr(Child(1), 'a', 2)",
        "setattr(Child(1), 'z', 2)",
        "delattr(Child(1), 'a')",
        "hash(Base(1)) == hash(Base(1)), hash(Base(1)) == hash((1, None)), hash(Own()), repr(Own()), Own() == 5",
        "hash(Base([]))",
        "float('nan') == float('nan'), (lambda nan: Base(nan) == Base(nan))(float('nan'))",
        "replace(Base(1), b='c'), dataclasses.replace(Base(1), b='c'), dataclasses.replace(Child(1), c=(2,))",
        "replace(Base(1), z='c')",
        "dataclasses.replace(Base(1), z='c')",
        "dataclasses.asdict(Child(1)), dataclasses.astuple(Child(1)), dataclasses.is_dataclass(Base)",
        "[each.name for each in dataclasses.fields(Child)], [each.name for each in fields(Child(1))]",
        "[(each.name, repr(each.default)) for each in fields(Again)]",
        "Base.kind, Base.other, Child.kind, Child.d, hasattr(Child, 'a'), Child.__match_args__",
        "sorted([Base(1), Base(2)])",
        "[*Base(1)]",
    ],
)
def test_a_record_does_as_a_frozen_dataclass(text: str) -> None:
    """Construction, equality, hash, text, refusals and what `dataclasses` says of it are the same."""
    results = []
    for decorator in (dataclasses.dataclass(frozen=True), record):
        names = dict(_made_with(decorator))
        try:
            results.append(repr(eval(text, names)))
        except (TypeError, AttributeError) as error:
            results.append("refused: %s" % (TypeError if isinstance(error, TypeError) else AttributeError))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((), {}, "Pair needs first"),
        ((1, 2, 3), {}, "Pair takes 2 values, not 3"),
        ((1,), {"first": 2}, "Pair got first twice"),
        ((1,), {"third": 3}, "Pair has no field third"),
        ((), {"third": 3}, "Pair has no field third"),
    ],
)
def test_a_wrong_construction_says_what_is_wrong(values: Any, named: Any, message: str) -> None:
    """The error names the record and the field."""

    @record
    class Pair:
        first: int
        second: int = 2

    with pytest.raises(TypeError, match=message):
        Pair(*values, **named)


def test_a_default_that_can_be_changed_is_refused() -> None:
    """All values of the record would share it."""
    with pytest.raises(TypeError, match=r"Bag\.items"):

        @record
        class Bag:
            items: list[int] = []  # noqa: RUF012


def test_an_assignment_is_refused_as_an_attribute_error() -> None:
    """With the name of the field."""
    with pytest.raises(FrozenRecordError, match="port"):
        setattr(_rule(22), "port", 23)  # noqa: B010


def _rule(port: int) -> Any:
    @record
    class Rule:
        port: int

    return Rule(port)


def test_a_record_is_shown_to_copy_replace() -> None:
    """Python 3.13's copy.replace calls this."""
    assert repr(_rule(22).__replace__(port=23)) == repr(_rule(23))


def test_a_plain_dataclass_is_a_resource_too() -> None:
    """A project's own resources may be frozen dataclasses: they travel and are read as records are."""

    @dataclasses.dataclass(frozen=True)
    @registered("test_plain")
    class Plain(Resource):
        name: str
        parts: tuple[int, ...] = dataclasses.field(default_factory=tuple)
        limit: int = 3

    assert is_record(Plain)
    defaults = {field.name: field.default for field in fields(Plain)}
    assert defaults == {"name": MISSING, "parts": MISSING, "limit": 3}
    value = Plain("a", (1,))
    payload = encode({"type": "tasks", "tasks": [value]})[7:]
    assert decode(payload)["tasks"] == (value,)
    assert replace(value, limit=4) == Plain("a", (1,), 4)


def test_records_and_dataclasses_derive_from_each_other() -> None:
    """Either way round: the fields of the base come first, and the derived class is frozen."""

    @record
    class Base:
        a: int
        b: int = 2

    @dataclasses.dataclass(frozen=True)
    class Derived(Base):
        c: int = 3

    @record
    class Last(Derived):
        d: int = 4

    assert [field.name for field in fields(Derived)] == ["a", "b", "c"]
    assert repr(Derived(1, c=5)).endswith("Derived(a=1, b=2, c=5)")
    assert repr(Last(1, 2, 3, 5)).endswith("Last(a=1, b=2, c=3, d=5)")
    with pytest.raises(AttributeError):
        setattr(Last(1), "c", 5)  # noqa: B010


def test_a_class_that_is_no_record_has_no_fields() -> None:
    """It is refused by name."""
    assert not is_record(int)
    with pytest.raises(TypeError, match="int is not a record"):
        fields(5)


def test_the_text_of_a_record_shows_no_secret() -> None:
    """A Secret in a field is shown as any Secret is."""
    assert "hidden-text" not in repr(_rule(Secret("hidden-text")))  # type: ignore[arg-type]
