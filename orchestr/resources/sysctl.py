"""Kernel settings: the live value and the one after the next boot."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, NotObservable, Resource, ResourceError, State, registered
from orchestr.agent.system import Reader, System
from orchestr.resources.files import plain_path, real_path
from orchestr.resources.lines import bare, edit_lines, insert, predict_lines, read_lines
from orchestr.resources.names import IN_WORDS, check_path
from orchestr.resources.places import require_file_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, List, Mapping, Optional, Tuple, Union

IN_NAMES = IN_WORDS | frozenset("/:@+")  # without patterns, comments and the like of sysctl(8)


def spaced(value: str) -> str:
    """Return a value with single spaces, as the kernel means it: ``4096 131072 6291456``."""
    return " ".join(value.split())


@record
@registered("sysctl")
class Sysctl(Resource):
    """A kernel setting (``net.ipv4.ip_forward``), now and after a reboot.

    Observes: ``/proc/sys`` and ``name = value`` in ``file``. Changes: both, in the file this name's line only.
    Never touches: other settings, other files. Sources: proc(5), sysctl(8), sysctl.d(5) (there ``.`` and ``/`` swap
    when ``/`` comes first: ``net/ipv4/conf/eth0.100/rp_filter``).
    """

    name: str
    value: Union[str, int] = ""
    file: str = "/etc/sysctl.d/60-orchestr.conf"

    touches: ClassVar[Tuple[str, ...]] = ("files",)

    def __post_init__(self) -> None:
        check_path(self.file)
        parts = _with_slashes(self.name).split("/")
        is_one_path = all(parts) and not {".", ".."} & {*parts} and not self.name.startswith("-")
        if not is_one_path or not IN_NAMES.issuperset(self.name):
            raise ValueError("%r is not a name of one kernel setting" % self.name)
        if not str(self.value).strip() or any(ord(char) < 32 and char != "\t" for char in str(self.value)):
            raise ValueError("the kernel setting %s needs a value of one line" % self.name)

    @property
    def label(self) -> str:
        return self.name

    @property
    def proc_path(self) -> str:
        """Return where the kernel shows it."""
        return "/proc/sys/" + _with_slashes(self.name)

    def desired(self) -> Optional[State]:
        value = spaced(str(self.value))
        return {"value": value, "after boot": value}

    def observe(self, reader: Reader) -> Optional[State]:
        live = reader.read_text(self.proc_path)
        if live is None:
            raise NotObservable(
                "this kernel has no setting %s" % self.name, "load the module it belongs to, or check its spelling"
            )
        lines = read_lines(reader, real_path(reader, self.file), True)
        return {"value": spaced(live), "after boot": self._written(lines)}

    def _written(self, lines: List[str]) -> str:
        values = [value for line in lines for name, value in [_assignment(line)] if name == _with_slashes(self.name)]
        return ", ".join(values) if values else "not set"

    def _after(self, lines: List[str]) -> List[str]:
        """Return the lines with one for this name: the first there was, else a new one at the end."""
        mine = [number for number, line in enumerate(lines) if _assignment(line)[0] == _with_slashes(self.name)]
        new = "%s = %s" % (self.name, spaced(str(self.value)))
        if not mine:
            ended = [line if line.endswith("\n") else line + "\n" for line in lines]
            return insert(ended, len(ended), [new])
        end = lines[mine[0]][len(bare(lines[mine[0]])) :] or "\n"
        return [new + end if number == mine[0] else line for number, line in enumerate(lines) if number not in mine[1:]]

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        name = _with_slashes(self.name)
        line = ("path", plain_path(self.file), "setting " + name)
        return {("kernel setting", name): self.desired(), line: self.desired()}

    def require(self, reader: Reader, change: Change) -> None:
        path = real_path(reader, self.file)
        if change.touches("after boot") and reader.stat(path.rpartition("/")[0]) is not None:
            require_file_place(reader, path)

    def apply(self, system: System, change: Change) -> None:
        if change.touches("value"):
            done = system.run(["sysctl", "-q", "-w", "%s=%s" % (self.name, spaced(str(self.value)))], check=False)
            if not done.ok:
                raise ResourceError("the kernel does not take %s = %s" % (self.name, self.value), stderr=done.stderr)
        if change.touches("after boot"):
            self._write(system)

    def _write(self, system: System) -> None:
        path = real_path(system, self.file)
        folder = path.rpartition("/")[0]
        if system.stat(folder) is None:
            system.make_directory(folder)
        edit_lines(system, path, self._after, True, 0o644)

    def predict(self, reader: Reader, change: Change) -> None:
        if change.touches("after boot"):
            path = real_path(reader, self.file)
            predict_lines(reader, path, self._after(read_lines(reader, path, True)))


def _with_slashes(name: str) -> str:
    """Return a name as a path: the first of ``.`` and ``/`` is the separator, the other one stands for itself."""
    first = next((c for c in name if c in "./"), ".")
    return name if first == "/" else name.translate({ord("."): "/", ord("/"): "."})


def _assignment(line: str) -> Tuple[str, str]:
    """Return (name as a path, value) of a line of sysctl.d(5); ("", "") for any other."""
    name, equals, value = line.strip().lstrip("-").partition("=")
    if not equals or name.startswith(("#", ";")):
        return "", ""
    return _with_slashes(name.strip()), spaced(value)
