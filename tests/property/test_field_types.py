"""Every field of every resource and part of an application takes values of its type, and refuses others when made."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

import pytest

from orchestr import field_types
from orchestr.agent import record
from orchestr.agent.resource import Task, kinds
from orchestr.agent.secret import Secret
from orchestr.applications import model, routes
from orchestr.containers import stack
from orchestr.containers.checked import Checked
from orchestr.containers.compose import ContainerService
from orchestr.field_types import FieldTypeError, check_fields
from orchestr.resources.commands import Command
from orchestr.resources.env_files import EnvFile
from orchestr.resources.files import Blob, Directory, File
from orchestr.resources.packages import Package
from orchestr.resources.users import User
from tests.property.test_every_kind import _registered

_registered()  # imports all of them
RESOURCES = {kind: cls for kind, cls in kinds().items() if cls.__module__.startswith("orchestr.")}
PARTS = {f"{cls.__module__}.{cls.__name__}": cls for cls in Checked.__subclasses__()}
SHIPPED: dict[str, type] = {**RESOURCES, **PARTS}
FIELDS = [(kind, field.name) for kind, cls in sorted(SHIPPED.items()) for field in record.fields(cls)]
VALUES: dict[str, Any] = {
    "text": "x", "number": 5, "fraction": 1.5, "boolean": True, "none": None, "secret": Secret("hunter2"),
    "bytes": b"x", "mapping": {"a": "b"}, "set": {"a"}, "object": object(), "texts": ("a",), "numbers": (5,),
    "list of texts": ["a"], "list of None": [None], "pairs": (("a", "b"),), "pairs of numbers": (("a", 5),),
    "blob": Blob("0" * 64, 1),
}  # fmt: skip


def _fits(annotation: Any, value: Any) -> bool:
    """Tell by the annotation alone, in the plainest way, whether a value belongs in a field; lists count as tuples."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return value in arguments
    if origin is Mapping:
        return isinstance(value, Mapping)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(argument, value) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        if arguments[-1] is Ellipsis:
            return all(_fits(arguments[0], item) for item in value)
        return len(value) == len(arguments) and all(map(_fits, arguments, value))
    if isinstance(value, bool):
        return annotation is bool
    return isinstance(value, (int, float) if annotation is float else annotation)


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=[f"{kind}.{name}" for kind, name in FIELDS])
def test_a_field_takes_its_type_and_no_other(kind: str, name: str) -> None:
    """Of seventeen values of other types, each that a field's annotation does not have is refused, and named."""
    cls = SHIPPED[kind]
    names = {**vars(typing), **{other.__name__: other for other in kinds().values()}}
    names |= vars(__import__(cls.__module__, fromlist=["x"]))
    annotation = typing.get_type_hints(cls, localns=names)[name]
    for label, value in VALUES.items():
        made = object.__new__(cls)
        made.__dict__.update({field.name: field.default for field in record.fields(cls)})
        made.__dict__[name] = value
        if _fits(annotation, value):
            _check_only(made, name)
            kept = made.__dict__[name]
            assert kept == value or kept == tuple(value), label
            assert not isinstance(kept, list)
            continue
        with pytest.raises(FieldTypeError) as caught:
            _check_only(made, name)
        said = str(caught.value)
        assert cls.__name__ in said and f"{name} is " in said and "expected " in said, label
        assert "hunter2" not in said


def _check_only(made: Any, name: str) -> None:
    """Check one field of a record that was not constructed: the fields that have no default have no value."""
    cls = type(made)
    kept = field_types._CHECKS.get(cls)
    field_types._CHECKS[cls] = _checks_of(cls, name)
    try:
        check_fields(made)
    finally:
        field_types._CHECKS.pop(cls)
        if kept is not None:
            field_types._CHECKS[cls] = kept


@functools.cache
def _checks_of(cls: type, name: str) -> field_types._Checks:
    """Return the checks of one field, the same for all values: they remember which types fit."""
    return field_types._Checks(tuple(check for check in field_types._compile_class(cls) if check[0] == name))


@pytest.mark.parametrize("cls", SHIPPED.values(), ids=SHIPPED.keys())
def test_defaults_are_of_their_fields_types(cls: type) -> None:
    """A default is not checked when a resource is made, so it is here."""
    for _, default, exact, fit, _ in field_types._compile_class(cls):
        assert default is record.MISSING or type(default) in exact or fit(default) is default


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: File("/x", mode=[1]), "x: mode is a list with a number (1), expected text, a whole number or None"),
        (lambda: File("/etc/x", owner=1000), "File /etc/x: owner is a number (1000), expected text"),
        (lambda: File("/etc/x", owner=Secret("x")), "File /etc/x: owner is a Secret, expected text"),
        (lambda: File(3), "File: path is a number (3), expected text"),
        (lambda: Directory("/a", present="no"), "Directory /a: present is text, expected true or false"),
        (lambda: Command("uptime"), "Command: argv is text, expected a list of text"),
        (lambda: Command(("a", 3)), "argv is a list with a number (3), expected a list of text"),
        (lambda: Package(None), "Package: names is None, expected text or a list of text"),
        (lambda: User("bob", uid=True), "User bob: uid is true or false (True), expected a whole number or None"),
        (lambda: User("bob", uid="5"), "User bob: uid is text, expected a whole number or None"),
        (lambda: EnvFile("/e", (("A", 5),)), "EnvFile /e: variables is a list with a list with a number (5)"),
        (lambda: Task("x"), "Task: resource is text, expected a Resource"),
        (lambda: Task(File("/x"), tags="a"), "Task: tags is text, expected a list of text"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_in_plain_words(make: Any, message: str) -> None:
    """The message has the resource, the field, the type given and the type expected; it is a ValueError too."""
    for kind in (TypeError, ValueError):
        with pytest.raises(kind) as caught:
            make()
        assert message in str(caught.value)


def test_a_list_is_kept_as_a_tuple() -> None:
    """Resources are compared and hashed, so a list becomes the tuple that it stands for."""
    package: Any = Package
    assert package(["a", "b"]) == Package(("a", "b"))
    assert hash(package(["a"])) == hash(Package(("a",)))


def test_parts_of_applications_are_checked() -> None:
    """All dataclasses that a role describes its application with: what a description gets wrong never gets further."""
    names = {vars(module)[name] for module in (model, routes, stack) for name in vars(module) if name[0].isupper()}
    own = {cls for cls in names if str(getattr(cls, "__module__", "")).startswith(("orchestr.app", "orchestr.cont"))}
    assert {cls for cls in own if hasattr(cls, "__dataclass_fields__")} - {routes.Route} <= set(PARTS.values())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ContainerService("web", "web:1", init="yes"), "web: init is text, expected true or false"),
        (lambda: ContainerService("web", "web:1", ports=(80,)), "web: ports is a list with a number (80), expected"),
        (lambda: ContainerService("web", "web:1", ports="80:80"), "web: ports is text, expected a list of"),
        (lambda: stack.Deploy(mode="globl"), "Deploy: mode is text, expected 'replicated', 'global'"),
        (lambda: stack.MountedFile("/x", 5), "MountedFile /x: content is a number (5), expected text or a Secret"),
        (lambda: model.Site("80"), "Site: port is text, expected a whole number"),
        (lambda: model.Application((ContainerService("a", "a:1"),)), "services is a list with a ContainerService"),
    ],
)
def test_a_part_of_another_type_is_refused_in_plain_words(make: Any, message: str) -> None:
    """As a resource's field is."""
    with pytest.raises(FieldTypeError) as caught:
        make()
    assert message in str(caught.value)


def test_a_mode_of_a_mounted_file_is_as_that_of_a_file() -> None:
    """The same rule; the refusal has the file with it, for the message at the role's line."""
    assert stack.MountedFile("/x", "x", mode="0640").mode == 0o640
    with pytest.raises(ValueError, match="write 0o640") as caught:
        stack.MountedFile("/x", "x", mode=640)
    assert isinstance(caught.value.record, stack.MountedFile)  # type: ignore[attr-defined]
