"""Dataclasses whose fields are checked as those of resources are: services, their parts, and applications."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from orchestr.field_types import FieldTypeError, check_fields
from orchestr.secret import Secret

WOULD_SHOW = "`docker inspect` and the compose file would show"
SECRETS_GO = "put it into an EnvFile (mode 0600) named in env_files, or into a mounted file"


class Checked:
    """Base of a dataclass. A value of another type than its field's is refused when the value is made.

    Raises FieldTypeError (`orchestr.field_types`). A list becomes a tuple where a tuple is meant.
    """

    is_checked: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            check_fields(self)
        except FieldTypeError as error:
            if not holds_secret(error.value):
                raise
            raise FieldTypeError(f"{error}, which {WOULD_SHOW}: {SECRETS_GO}", error.value) from None
        try:
            self._complete()
        except ValueError as error:
            error.record = self  # type: ignore[attr-defined]  # for the message at the role's line
            raise

    def _complete(self) -> None:
        """Check and complete the values, whose types are right. Raises ValueError."""


def holds_secret(value: Any) -> bool:
    """Return True if a value is or contains a Secret, at any depth."""
    if isinstance(value, dict):
        return any(holds_secret(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(holds_secret(item) for item in value)
    fields: Iterable[str] = getattr(value, "__dataclass_fields__", ())
    return isinstance(value, Secret) or any(holds_secret(getattr(value, name)) for name in fields)
