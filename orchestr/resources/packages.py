"""Packages of the host's package system, installed or removed."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, NotObservable, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.apt import Apt
from orchestr.resources.package_backend import Backend, Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Optional, Sequence, Tuple, Union

#: A new package system is one class and its place here.
BACKENDS: Tuple[Backend, ...] = (Apt(),)
IN_ARCHITECTURE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
IN_NAME = IN_ARCHITECTURE | frozenset("+.")


def backend_of(reader: Reader) -> Backend:
    """Return the package system of this host. Raises NotObservable when none is known."""
    for backend in BACKENDS:
        if reader.which(backend.program):
            return backend
    known = ", ".join(backend.program for backend in BACKENDS)
    raise NotObservable("this host has no package system orchestr knows (%s)" % known)


def check_name(name: str) -> None:
    """Raise ValueError unless ``name`` can only mean one package: ``NAME`` or ``NAME:ARCHITECTURE`` (deb-control(5)).

    Package systems read more into a name: ``NAME-`` removes, ``NAME/RELEASE`` and ``NAME=VERSION`` choose, ``*`` and
    ``?`` match others.
    """
    base, colon, architecture = name.partition(":")
    if name.endswith("-"):
        raise ValueError("%r is not a name of a package: apt reads NAME- as 'remove NAME'" % name)
    if not base or base[0] not in IN_NAME - set("+.-") or not IN_NAME.issuperset(base):
        raise ValueError("%r is not a name of a package (lower-case letters, digits and + - .)" % name)
    if colon and (architecture in ("", "any", "native", "all") or not IN_ARCHITECTURE.issuperset(architecture)):
        raise ValueError("%r does not name one architecture, as in %s:amd64" % (name, base))


@record
@registered("package")
class Package(Resource):
    """Packages by name (one, or a tuple installed in one step), or the first of ``any_of`` that the host offers.

    ``version`` pins a single package (``*`` matches anything). The lists of installable packages are fetched when they
    are older than ``update_cache_s`` seconds or than the sources, or lack the name. Recommended packages are left out,
    configuration files that were changed stay. Observes: dpkg's status file. Changes: these packages and their
    dependencies; first finishes the interrupted work of a killed run. Never touches: held packages, configuration
    (also with ``present=False``). Sources: apt-get(8), dpkg(1).
    """

    names: Union[str, Tuple[str, ...]] = ()
    version: str = ""
    present: bool = True
    update_cache_s: float = 86400.0
    any_of: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self._names and not self.any_of:
            raise ValueError("a Package needs a name")
        if self.version and (len(self._names) != 1 or self.any_of):
            raise ValueError("version pins a single package, not %s" % self.label)
        for name in (*self._names, *self.any_of):
            check_name(name)
        if any(c.isspace() or c in "/|" for c in self.version):
            raise ValueError("%r is not a version of a package" % self.version)

    @property
    def _names(self) -> Tuple[str, ...]:
        return (self.names,) if isinstance(self.names, str) else tuple(self.names)

    @property
    def label(self) -> str:
        return " ".join([*self._names, *([self._choice] if self.any_of else [])])

    @property
    def _choice(self) -> str:
        return "|".join(self.any_of)

    def desired(self) -> Optional[State]:
        wanted = (self.version or "installed") if self.present else "absent"
        return {name: wanted for name in (*self._names, *([self._choice] if self.any_of else []))}

    def observe(self, reader: Reader) -> Optional[State]:
        backend = backend_of(reader)
        state = {name: self._observe_one(backend, reader, name) for name in self._names}
        if self.any_of:
            states = [backend.installed(reader, name, self.present).state for name in self.any_of]
            state[self._choice] = "installed" if "installed" in states else "absent"
        return state

    def _observe_one(self, backend: Backend, reader: Reader, name: str) -> str:
        installed = backend.installed(reader, name, or_provided=self.present)
        if installed.state != "installed" or not self.version or not self.present:
            return installed.state
        from fnmatch import fnmatchcase

        return self.version if fnmatchcase(installed.version, self.version) else installed.version

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        wanted = (self.version or "installed") if self.present else "absent"
        return {("package", name): wanted for name in self._names}

    def require(self, reader: Reader, change: Change) -> None:
        """Raise ResourceError for a package that the package system would refuse to remove."""
        backend = backend_of(reader)
        for name in (*self._names, *self.any_of) if not self.present else ():
            is_there = backend.installed(reader, name, False).state != "absent"
            obstacle = backend.obstacle(reader, name) if is_there else ""
            if obstacle:
                raise ResourceError("the package %s cannot be removed: %s" % (name, obstacle), "leave it installed")

    def apply(self, system: System, change: Change) -> None:
        backend = backend_of(system)
        if not self.present:
            named = (*self._names, *self.any_of)
            backend.remove(system, [n for n in named if backend.installed(system, n, False).state != "absent"])
            return
        backend.refresh(system, self.update_cache_s)
        wanted = [Wanted(name, self.version) for name in self._names if name in change.differing]
        if self.any_of and self._choice in change.differing:
            wanted.append(Wanted(self._chosen(backend, system)))
        backend.install(system, wanted)

    def _chosen(self, backend: Backend, system: System) -> str:
        offered: Sequence[str] = backend.offered(system, self.any_of)
        if not offered:
            backend.refresh(system, 0.0)
            offered = backend.offered(system, self.any_of)
        if not offered:
            raise ResourceError("this host offers none of %s" % ", ".join(self.any_of), "check its package sources")
        return offered[0]
