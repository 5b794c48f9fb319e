"""Parameters of roles: typed, frozen, and read from inventory variables that are named after the role.

The parameter ``port`` of the role ``livekit`` is the inventory variable ``livekit_port``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.marked import OMIT, key_position, value_position
from orchestr.inventory.position import Position, input_error, shown
from orchestr.inventory.texts import check_texts
from orchestr.resources.modes import canonical_mode
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.inventory import Inventory
    from orchestr.planning.playbook import Play, RoleUse
    from orchestr.planning.role import Role


_NUMBERS = {int, float, bool}
_NOT_TEXT = (int, float, bool, datetime.date)  # of values that YAML reads where no quotes say that they are texts


class Params(BaseModel):
    """Base class of every role's parameters: typed and frozen; unknown parameters are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @classmethod
    def entry_of(cls, parameter: str) -> tuple[str, str] | None:
        """Return (field, key) for a parameter that is an entry of a mapping field; None for an unknown name.

        A role overrides it to accept one parameter per application: ``shop_domain`` → ``("domains", "shop")``.
        """
        return None


def _secret(value: Any) -> Any:
    return Secret(value) if isinstance(value, str) else value


#: A parameter that is a Secret as soon as it is read, whether or not the inventory encrypts it.
SecretText = Annotated[Secret, BeforeValidator(_secret)]


def _fits_option_file(password: Secret) -> Secret:
    text = password.reveal()
    if len(text) < 8 or not all("!" <= char <= "~" and char not in "\"'\\#" for char in text):
        raise ValueError("at least 8 characters: letters, digits, punctuation; no space, quote, backslash, hash")
    return password


#: A password for a server's option file, where quotes, backslashes and hashes have a meaning.
OptionFilePassword = Annotated[SecretText, AfterValidator(_fits_option_file)]


class _Bits:
    """Mark a parameter whose numbers are meant as such: ``0644`` in YAML is the number 0o644."""


#: Permission bits (`orchestr.resources.modes`): 0644, "0644", "u=rw,go=r"; 644 without quotes is refused.
FileMode = Annotated[int | str, BeforeValidator(canonical_mode), _Bits]


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield every Secret in parameters, at any depth."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, BaseModel):
        yield from secrets_in(list(vars(value).values()))  # dict() would ask for its keys, a name roles use
    elif isinstance(value, Mapping):
        yield from secrets_in(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from secrets_in(item)


def resolve_params(
    role: Role, use: RoleUse, play: Play, inventory: Inventory, host: str, names: Iterable[str] = ()
) -> Params:
    """Return the role's parameters for one host: from the inventory, then from the ``vars`` of the play and the role.

    ``names`` are the names of all roles and of all instances in the playbook: a variable belongs to the longest name
    that is a prefix of it.

    Raises InputError at the position of the value: for an unknown parameter (with the closest known one), a wrong
    type, a missing parameter.
    """
    scope = inventory.scope(host, play.variables, use.variables)
    prefix = f"{role.name}_"
    _refuse_names_without_prefix(role, use)
    longer = tuple(f"{name}_" for name in names if name.startswith(prefix))
    fields = role.params_class.model_fields
    values: dict[str, Any] = {}
    written: dict[tuple[str, str], str] = {}  # entry of a mapping → name of its variable
    for name in dict.fromkeys((*inventory.host(host).variables, *play.variables, *use.variables)):
        if not isinstance(name, str) or not name.startswith(prefix):
            continue
        parameter = name[len(prefix) :]
        entry = role.params_class.entry_of(parameter)
        if parameter in fields:
            if _Bits not in fields[parameter].metadata and _takes_text(fields[parameter].annotation):
                check_texts(scope.written(name), _position_of(name, use, play, inventory, host), scope.text(name))
            values[parameter] = scope.value(name)
        elif entry is not None:
            values[entry[0]] = {**values.get(entry[0], {}), entry[1]: scope.value(name)}
            written[entry] = name
        elif not name.startswith(longer or ("\0",)):
            raise input_error(
                _position_of(name, use, play, inventory, host),
                f"the role {role.name} has no parameter {parameter!r}",
                suggestion=_with_prefix(prefix, closest(parameter, fields)),
                next_step=f"orchestr doc {role.kind} lists its parameters",
            )
    values = {parameter: value for parameter, value in values.items() if value is not OMIT}
    try:
        return role.params_class(**values)
    except ValidationError as error:
        raise _params_error(role, error, use, play, inventory, host, written) from None


def _takes_text(annotation: Any) -> bool:
    """Return True if a parameter accepts both texts and numbers, and so is used as text."""
    inner = get_args(annotation)
    if _Bits in inner:
        return False
    return (str in inner and bool(_NUMBERS & {*inner})) or any(map(_takes_text, inner))


def _refuse_names_without_prefix(role: Role, use: RoleUse) -> None:
    """Raise InputError for ``vars: {port: 80}`` of a role: a parameter without its prefix would have no effect."""
    fields = role.params_class.model_fields
    for name in use.variables:
        if name in fields and not str(name).startswith(f"{role.name}_"):
            raise input_error(
                key_position(use.variables, name),
                f"{name!r} is not a variable of the role {role.name}: its parameters begin with {role.name}_",
                suggestion=f"{role.name}_{name}",
                next_step=f"orchestr doc {role.kind} lists its parameters",
            )


def _with_prefix(prefix: str, name: str | None) -> str | None:
    return prefix + name if name else None


def _position_of(
    name: str, use: RoleUse, play: Play, inventory: Inventory, host: str, *path: str | int
) -> Position | None:
    """Return the position of a variable's value: in the role of the play, else in the play, else in the inventory."""
    for variables in (use.variables, play.variables):
        if name in variables:
            return value_position(variables, name)
    return inventory.position(host, name, *path)


def _params_error(
    role: Role,
    error: ValidationError,
    use: RoleUse,
    play: Play,
    inventory: Inventory,
    host: str,
    written: Mapping[tuple[str, str], str],
) -> InputError:
    first = error.errors(include_url=False, include_context=False)[0]
    location = tuple(first["loc"])
    if not location:
        position = use.position
        step = f"orchestr doc {role.kind} describes its parameters"
        return input_error(position, f"{host}, role {role.name}: {_plain(first)}", next_step=step)
    name, rest = f"{role.name}_{location[0]}", location[1:]
    if rest and (str(location[0]), str(rest[0])) in written:
        name, rest = written[str(location[0]), str(rest[0])], rest[1:]
    noise = ("function-", "str", "int", "is-instance")
    inner = [part for part in rest if isinstance(part, int) or not str(part).startswith(noise)]
    if first["type"] == "missing" and len(location) == 1:
        return input_error(
            use.position or play.position,
            f"{host}: the role {role.name} needs {name}, which is not set",
            next_step=f"set {name} in {inventory.path} (a group's vars, group_vars/ or host_vars/)",
        )
    position = _position_of(name, use, play, inventory, host, *inner)
    shown = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    is_secret = _may_be_secret(role.params_class.model_fields.get(str(location[0])))
    step = f"orchestr doc {role.kind} describes {name}"
    if first["type"] in ("string_type", "is_instance_of") and isinstance(first.get("input"), _NOT_TEXT):
        text = inventory.scope(host, play.variables, use.variables).text(name, *inner)
        step = f"put quotes around it{f': {chr(39)}{text}{chr(39)}' if text and not is_secret else ''}"
    return input_error(position, f"{host}: {shown}: {_plain(first, is_secret)}", next_step=step)


def _may_be_secret(annotation: Any) -> bool:
    """Return True if a type is or contains Secret: messages do not show its values."""
    annotation = getattr(annotation, "annotation", annotation)
    inner = list(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = [info.annotation for info in annotation.model_fields.values()]
    return annotation is Secret or any(_may_be_secret(item) for item in inner)


def _plain(problem: Mapping[str, Any], is_secret: bool = False) -> str:
    """Return a pydantic problem as a sentence, with the wrong value unless it may be a secret."""
    text = str(problem["msg"]).removeprefix("Value error, ")
    text = text.replace("Input should be a valid", "expected a").replace("Input should be", "expected")
    text = text.replace("expected a integer", "expected an integer")
    if is_secret:
        return text
    if isinstance(problem.get("input"), Secret):
        return f"{text}, found a secret (it would be shown: this parameter is not meant for one)"
    if isinstance(problem.get("input"), (str, int, float, bool)) and "Secret" not in text:
        return f"{text}, found {shown(problem['input'])}"
    return text
