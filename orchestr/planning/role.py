"""Roles: Python packages under ``roles/``, what they may see (`Host`) and what they take (`Params`).

A role's lifecycle functions (``deploy``, ``backup``, ``drain`` …) are generators that yield resources or Tasks and
never touch a host. ``ports(host, params)`` yields the firewall Rules the role needs; the firewall role collects them.

A parameter ``port`` of the role ``livekit`` is the inventory variable ``livekit_port``.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, input_error, shown
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Use
    from orchestr.applications.routes import FrontDoor
    from orchestr.inventory import Inventory
    from orchestr.planning.phases import Phase
    from orchestr.planning.plan import Host
    from orchestr.planning.playbook import Play, RoleUse

LIFECYCLE = (
    "deploy",
    "backup",
    "restore",
    "start",
    "stop",
    "restart",
    "drain",
    "status",
    "logs",
    "upgrade",
    "preflight",
    "leave",
)


class Params(BaseModel):
    """Base of every role's parameters: typed, frozen, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @classmethod
    def entry_of(cls, parameter: str) -> tuple[str, str] | None:
        """Return (field, key) of a mapping that a parameter of another name belongs to; None for an unknown name.

        A role overrides it to take one parameter per application: ``shop_domain`` → ``("domains", "shop")``.
        """
        return None


def _secret(value: Any) -> Any:
    return Secret(value) if isinstance(value, str) else value


#: A parameter that is a secret from the moment of reading, whether or not the inventory encrypts it.
SecretText = Annotated[Secret, BeforeValidator(_secret)]


def _fits_option_file(password: Secret) -> Secret:
    text = password.reveal()
    if len(text) < 8 or not all("!" <= char <= "~" and char not in "\"'\\#" for char in text):
        raise ValueError("at least 8 characters: letters, digits, punctuation; no space, quote, backslash, hash")
    return password


#: A password that stands in a server's option file, where quotes, backslashes and hashes would mean something.
OptionFilePassword = Annotated[SecretText, AfterValidator(_fits_option_file)]


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield every Secret in parameters, however deep."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, BaseModel):
        yield from secrets_in(list(vars(value).values()))  # dict() would ask for its keys, a name roles use
    elif isinstance(value, Mapping):
        yield from secrets_in(list(value.values()))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from secrets_in(each)


#: A lifecycle function, of a role or derived: host and parameters → resources or tasks. ``ports`` gives firewall rules.
Lifecycle = Callable[["Host", Any], Any]


@dataclass(frozen=True)
class Role:
    """A role's package, loaded: its parameters' class and the functions it has.

    ``name`` is that of the instance, ``kind`` that of the package: they differ where a playbook has the role more than
    once (``instance: newapi_redis``). ``within`` names the application that this one runs inside, if any.
    """

    name: str
    path: Path
    module: ModuleType
    kind: str = ""
    within: str = ""

    @property
    def params_class(self) -> type[Params]:
        return getattr(self.module, "Params", Params)

    @property
    def summary(self) -> str:
        """The first line of the role's docstring."""
        return (self.module.__doc__ or "").strip().partition("\n")[0]

    @property
    def describe(self) -> Callable[[Host, Any], Application] | None:
        """The function that describes the application, None for a role that yields its own steps."""
        return getattr(self.module, "application", None)

    @property
    def uses(self) -> tuple[Use, ...]:
        """The applications that this one says it needs."""
        return tuple(getattr(self.module, "USES", ()))

    @property
    def is_proxy(self) -> bool:
        """Whether this is a reverse proxy: it routes to the sites of all applications."""
        return bool(getattr(self.module, "IS_PROXY", False))

    @property
    def front_door(self) -> Callable[[Host, Any, str], FrontDoor] | None:
        """A proxy's function that tells how users meet an application."""
        return getattr(self.module, "front_door", None)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The steps of a play that the role names itself; those of an application are derived from its description."""
        return tuple(getattr(self.module, "PHASES", ()))

    def function(self, name: str) -> Lifecycle | None:
        """Return a lifecycle function: the role's own, else the one derived from its description; None without one.

        An application that runs inside another has none: the other one's include it.
        """
        if self.within:
            return None
        own: Lifecycle | None = getattr(self.module, name, None)
        if own is not None or self.describe is None:
            return own
        from orchestr.applications.verbs import derived_function

        return derived_function(name)


def role_directories(root: Path) -> list[Path]:
    """Return where roles are searched: the project's own ``roles/`` first, then those that ship with orchestr."""
    shipped = Path(__file__).resolve().parents[2] / "roles"
    if not shipped.is_dir():
        spec = importlib.util.find_spec("orchestr_roles")
        places = spec.submodule_search_locations if spec else None
        shipped = Path(next(iter(places))) if places else shipped
    return [path for path in dict.fromkeys((root / "roles", shipped)) if path.is_dir()]


@functools.lru_cache(maxsize=64)
def role_names(root: Path) -> tuple[str, ...]:
    """Return the names of all roles that can be used in the project at ``root``, sorted."""
    found = {entry.parent.name for place in role_directories(root) for entry in place.glob("*/__init__.py")}
    return tuple(sorted(found))


def load_role(name: str, root: Path, position: Position | None = None, *, instance: str = "", within: str = "") -> Role:
    """Return the role ``name``, as an instance if need be.

    Raises InputError, with the closest known name, for a role that is not found or cannot be loaded.
    """
    for directory in role_directories(root):
        path = directory / name
        if name.isidentifier() and (path / "__init__.py").is_file():
            return _checked(Role(instance or name, path, _module(name, path, position), name, within))
    known = role_names(root)
    raise input_error(
        position, f"there is no role {name!r}", suggestion=closest(name, known), next_step=f"roles: {', '.join(known)}"
    )


def _checked(role: Role) -> Role:
    """Return the role. Raises InputError when its Params is not of the kind that checks itself."""
    found: object = getattr(role.module, "Params", Params)
    if isinstance(found, type) and issubclass(found, Params):
        return role
    file = role.path / "__init__.py"
    step = "from orchestr import Params as Base, then: class Params(Base):"
    raise InputError(f"Params of the role {role.name} is no subclass of orchestr.Params", file=file, next_step=step)


def _module(name: str, path: Path, position: Position | None) -> ModuleType:
    key = f"orchestr_roles.{name}"
    module = sys.modules.get(key)
    if module is not None and getattr(module, "__file__", None) == str(path / "__init__.py"):
        return module
    for stale in [each for each in sys.modules if each.startswith(f"{key}.")]:
        del sys.modules[stale]  # modules of another project's role of that name
    spec = importlib.util.spec_from_file_location(key, path / "__init__.py", submodule_search_locations=[str(path)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A package of the same name, of another project or edited since, must not lend its modules to this one.
    for other in [name for name in sys.modules if name.startswith(f"{key}.")]:
        del sys.modules[other]
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[key]
        line = getattr(error, "lineno", None) or _line_in(error, path)
        raise InputError(
            f"the role {name} cannot be loaded: {type(error).__name__}: {error}",
            file=path / "__init__.py",
            line=line,
            next_step="put the role's Python right",
        ) from error
    return module


def _line_in(error: Exception, path: Path) -> int | None:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(str(path)):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def resolve_params(
    role: Role, use: RoleUse, play: Play, inventory: Inventory, host: str, instances: Iterable[str] = ()
) -> Params:
    """Return the role's parameters for one host: the inventory's, then the ``vars`` of the play and of the role in it.

    ``instances`` are the names of all role instances of the playbook.

    Raises InputError where the value was written: an unknown parameter with the closest known one, a wrong type, a
    missing one.
    """
    scope = inventory.scope(host, play.variables, use.variables)
    prefix = f"{role.name}_"
    _refuse_strangers(role, use)
    names = dict.fromkeys((*role_names(inventory.root), *instances))
    longer = tuple(f"{name}_" for name in names if name.startswith(prefix))
    fields = role.params_class.model_fields
    values: dict[str, Any] = {}
    written: dict[tuple[str, str], str] = {}  # entries of mappings → the variable they were written as
    for name in dict.fromkeys((*inventory.host(host).variables, *play.variables, *use.variables)):
        if not isinstance(name, str) or not name.startswith(prefix):
            continue
        parameter = name[len(prefix) :]
        entry = role.params_class.entry_of(parameter)
        if parameter in fields:
            values[parameter] = scope.value(name)
        elif entry is not None:
            values[entry[0]] = {**values.get(entry[0], {}), entry[1]: scope.value(name)}
            written[entry] = name
        elif not name.startswith(longer or ("\0",)):
            raise input_error(
                _origin(name, use, play, inventory, host),
                f"the role {role.name} has no parameter {parameter!r}",
                suggestion=_with_prefix(prefix, closest(parameter, fields)),
                next_step=f"orchestr doc {role.kind} lists its parameters",
            )
    try:
        return role.params_class(**values)
    except ValidationError as error:
        raise _params_error(role, error, use, play, inventory, host, written) from None


def _refuse_strangers(role: Role, use: RoleUse) -> None:
    """Refuse ``vars: {port: 80}`` of a role: what was meant is its parameter, and would be passed over in silence."""
    from orchestr.inventory.marked import key_position

    fields = role.params_class.model_fields
    for name in use.variables:
        if name in fields and not str(name).startswith(f"{role.name}_"):
            raise input_error(
                key_position(use.variables, name),
                f"{name!r} is no variable of the role {role.name}: its parameters are named after it",
                suggestion=f"{role.name}_{name}",
                next_step=f"orchestr doc {role.kind} lists its parameters",
            )


def _with_prefix(prefix: str, name: str | None) -> str | None:
    return prefix + name if name else None


def _origin(name: str, use: RoleUse, play: Play, inventory: Inventory, host: str, *path: str | int) -> Position | None:
    from orchestr.inventory.marked import value_position

    for holder in (use.variables, play.variables):
        if name in holder:
            return value_position(holder, name)
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
    shown = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    return input_error(
        _origin(name, use, play, inventory, host, *inner),
        f"{host}: {shown}: {_plain(first, _may_be_secret(role.params_class.model_fields.get(str(location[0]))))}",
        next_step=f"orchestr doc {role.kind} describes {name}",
    )


def _may_be_secret(annotation: Any) -> bool:
    """Tell whether a type, or anything in it, is a Secret: then what was written there is not shown."""
    annotation = getattr(annotation, "annotation", annotation)
    inner = list(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = [each.annotation for each in annotation.model_fields.values()]
    return annotation is Secret or any(_may_be_secret(each) for each in inner)


def _plain(problem: Mapping[str, Any], is_secret: bool = False) -> str:
    """Return a pydantic problem as a sentence, with what was found unless it is to stay secret."""
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
