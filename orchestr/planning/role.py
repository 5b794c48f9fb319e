"""Roles: loaded Python packages of ``roles/``, with their own or derived lifecycle functions.

A role's lifecycle functions (``deploy``, ``backup``, ``drain`` …) are generators that yield resources or Tasks and
never touch a host. ``ports(host, params)`` yields the firewall Rules the role needs; the firewall role collects them.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestr.errors import InputError
from orchestr.inventory.closest import closest
from orchestr.inventory.position import Position, input_error
from orchestr.planning.params import OptionFilePassword as OptionFilePassword
from orchestr.planning.params import Params as Params
from orchestr.planning.params import SecretText as SecretText
from orchestr.planning.params import resolve_params as resolve_params
from orchestr.planning.params import secrets_in as secrets_in
from orchestr.planning.role_lines import ROLES, RoleError, RoleLine, role_line_of
from orchestr.planning.shipped import shipped_directory

if TYPE_CHECKING:
    from orchestr.applications.model import Application, Use
    from orchestr.applications.routes import FrontDoor
    from orchestr.planning.host import Host
    from orchestr.planning.phases import Phase


#: A lifecycle function, of a role or derived: host and parameters → resources or tasks; ``ports`` → firewall rules.
Lifecycle = Callable[["Host", Any], Any]


@dataclass(frozen=True)
class Role:
    """A loaded role: the class of its parameters and its functions.

    ``name`` is the name of the instance, ``kind`` the name of the package: they differ if a playbook has the role more
    than once (``instance: newapi_redis``). ``within`` names the application that this one runs inside, if any.
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
        """The function that describes the application; None for a role with its own lifecycle functions."""
        return getattr(self.module, "application", None)

    @property
    def uses(self) -> tuple[Use, ...]:
        """The applications that this one needs."""
        return tuple(getattr(self.module, "USES", ()))

    @property
    def is_proxy(self) -> bool:
        """True for a reverse proxy: it routes to the sites of all applications."""
        return bool(getattr(self.module, "IS_PROXY", False))

    @property
    def front_door(self) -> Callable[[Host, Any, str], FrontDoor] | None:
        """The function of a proxy that returns the users' entry to an application."""
        return getattr(self.module, "front_door", None)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that the role lists itself; the phases of an application are derived from its description."""
        return tuple(getattr(self.module, "PHASES", ()))

    def function(self, name: str) -> Lifecycle | None:
        """Return a lifecycle function: the role's own, else the one derived from its description; else None.

        None for an application that runs inside another one: the functions of the outer one cover it.
        """
        if self.within:
            return None
        own: Lifecycle | None = getattr(self.module, name, None)
        if own is not None or self.describe is None:
            return own
        from orchestr.applications.verbs import derived_function

        return derived_function(name)


def role_directories(root: Path, near: tuple[Path, ...] = ()) -> list[Path]:
    """Return the directories to search for roles: that of the project, those near the playbook, that of orchestr."""
    directories = (root / "roles", *near, shipped_directory("roles"))
    return [path for path in dict.fromkeys(directories) if path is not None and path.is_dir()]


def directories_near(playbook: Path) -> tuple[Path, ...]:
    """Return the directories of a playbook's own roles: ``roles/`` beside it, and that beside its ``playbooks/``.

    >>> [str(path) for path in directories_near(Path("/srv/shop/playbooks/site.yml"))]
    ['/srv/shop/playbooks/roles', '/srv/shop/roles']
    """
    directory = Path(os.path.abspath(playbook)).parent  # noqa: PTH100 - a link in the path may lead to other roles
    beside = (directory.parent / "roles",) if directory.name == "playbooks" else ()
    return (directory / "roles", *beside)


@functools.lru_cache(maxsize=64)
def role_names(root: Path, near: tuple[Path, ...] = ()) -> tuple[str, ...]:
    """Return the names of all roles available to the project at ``root`` and a playbook, sorted."""
    names = {file.parent.name for directory in role_directories(root, near) for file in directory.glob("*/__init__.py")}
    names = {name for name in names if name.isidentifier()}
    return tuple(sorted(names))


def load_role(
    name: str,
    root: Path,
    position: Position | None = None,
    *,
    instance: str = "",
    within: str = "",
    near: tuple[Path, ...] = (),
) -> Role:
    """Return the role ``name``, under the name of an instance if one is given; ``near``: see `directories_near`.

    Raises InputError, with the closest known name, for a role that is not found or cannot be loaded.
    """
    for directory in role_directories(root, near):
        path = directory / name
        if name.isidentifier() and (path / "__init__.py").is_file():
            role = Role(instance or name, path, _module(name, path, position), name, within)
            _check_constants(role)
            return _check_params(role)
    raise _not_found(name, root, near, position)


def _not_found(name: str, root: Path, near: tuple[Path, ...], position: Position | None) -> InputError:
    """Return the error for a role that no searched directory has under a name that Python can import."""
    directories = role_directories(root, near)
    for directory in directories:
        path = directory / name
        if not name.isidentifier() and (path / "__init__.py").is_file():
            valid = re.sub(r"\W|^(?=\d)", "_", name)
            step = f"rename the directory {path} to {valid}, and write {valid} in the playbook and in its variables"
            message = f"role {name!r} is a Python package whose name Python cannot import"
            return input_error(position, message, next_step=step)
    known = role_names(root, near)
    searched = ", ".join(str(directory) for directory in dict.fromkeys((root / "roles", *near, *directories)))
    step = f"roles: {', '.join(known)} (searched in {searched})"
    return input_error(position, f"role {name!r} not found", suggestion=closest(name, known), next_step=step)


def _check_params(role: Role) -> Role:
    """Return the role. Raises InputError when its Params is not a subclass of orchestr.Params, which validates."""
    params_class: object = getattr(role.module, "Params", Params)
    if isinstance(params_class, type) and issubclass(params_class, Params):
        return role
    file = role.path / "__init__.py"
    step = "from orchestr import Params as Base, then: class Params(Base):"
    raise InputError(f"Params of the role {role.name} is not a subclass of orchestr.Params", file=file, next_step=step)


def _check_constants(role: Role) -> None:
    """Raise RoleError for a USES or PHASES of another type."""
    file = RoleLine.at(str(role.path / "__init__.py"))
    for name in ("USES", "PHASES"):
        given = getattr(role.module, name, ())
        if not given and isinstance(given, (tuple, list)):
            continue
        if name == "USES":
            from orchestr.applications.model import Use as Item
        else:
            from orchestr.planning.phases import Phase as Item  # type: ignore[assignment]
        if not isinstance(given, (tuple, list)) or not all(isinstance(item, Item) for item in given):
            kind = Item.__name__
            raise RoleError(
                f"{name} of the role {role.kind} is not a list of {kind}", file, f"write: {name} = ({kind}(…),)"
            )
    for phase in () if role.within else role.phases:
        if role.function(phase.function) is None:
            message = f"PHASES of the role {role.kind} names {phase.function}(), which the role does not have"
            raise RoleError(message, file, f"define {phase.function}(host, params), or correct its name in PHASES")


#: sys.modules has a module before it is complete: only the thread that loads it may see it then.
_loading = threading.RLock()


def _module(name: str, path: Path, position: Position | None) -> ModuleType:
    with _loading:
        return _load_module(name, path, position)


def _load_module(name: str, path: Path, position: Position | None) -> ModuleType:
    key = f"{ROLES}{name}"
    module = sys.modules.get(key)
    if module is not None and getattr(module, "__file__", None) == str(path / "__init__.py"):
        return module
    for stale in [module_name for module_name in sys.modules if module_name.startswith(f"{key}.")]:
        del sys.modules[stale]  # modules of a role of the same name in another project
    spec = importlib.util.spec_from_file_location(key, path / "__init__.py", submodule_search_locations=[str(path)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # This role must not import modules of another package of the same name, of another project or edited since.
    for other in [name for name in sys.modules if name.startswith(f"{key}.")]:
        del sys.modules[other]
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[key]
        line = role_line_of(error)
        raise InputError(
            f"the role {name} cannot be loaded: {type(error).__name__}: {error}",
            file=line.file if line else path / "__init__.py",
            line=line.line if line else None,
            next_step="fix the error in the role",
        ) from error
    return module
