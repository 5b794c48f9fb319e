"""Files of environment variables, written for the one program that reads them."""

from __future__ import annotations

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, State, attribute_diff, registered
from orchestr.agent.secret import REDACTED, Secret, reveal
from orchestr.agent.system import Reader, System
from orchestr.resources import env_grammars
from orchestr.resources.files import File, owned_path
from orchestr.resources.modes import secret_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Dict, List, Mapping, Optional, Tuple, TypeAlias, Union  # novm

    from orchestr.resources.modes import Mode

Value: TypeAlias = "Union[str, Secret]"
_ENTRY = r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)="


def text_of(value: object) -> Value:
    """Return a variable's value as text: numbers as they are written, booleans as true and false.

    Raises TypeError for anything else, None too.
    """
    if isinstance(value, (str, Secret)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError("a variable's value is a text, a number or a boolean, not %s" % type(value).__name__)


@record
@registered("env_file")
class EnvFile(Resource):
    """A file of KEY=value lines that ``reader`` (compose, docker, systemd or shell) reads back exactly.

    Observes: the whole file, its mode and owner. Changes: the whole file, atomically. Never touches: anything
    else in the directory. Raises ValueError when made with a key or value that its reader cannot express (the message
    names the key, never the value). Sources: see ``env_grammars``.
    """

    path: str
    variables: Tuple[Tuple[str, Value], ...] = ()
    reader: str = "compose"
    mode: Union[int, str] = 0o600
    owner: str = "root"
    group: str = "root"
    present: bool = True

    touches: ClassVar[Tuple[str, ...]] = ("files", "services")

    @classmethod
    def of(
        cls,
        path: str,
        variables: Mapping[str, object],
        *,
        reader: str = "compose",
        mode: Mode = 0o600,
        owner: str = "root",
        group: str = "root",
        present: bool = True,
    ) -> EnvFile:
        """Return an EnvFile from a mapping; numbers and booleans become text."""
        pairs = []
        for key, value in variables.items():
            try:
                pairs.append((str(key), text_of(value)))
            except TypeError as error:
                raise ValueError("the value of %s: %s" % (key, error)) from None
        return cls(path, tuple(pairs), reader, mode, owner, group, present)

    def __post_init__(self) -> None:
        File(self.path, owner=self.owner, group=self.group)  # checks them
        env_grammars.check_reader(self.reader)
        keys = [key for key, _ in self.variables]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError("%s is given twice for %s" % (", ".join(twice), self.path))
        self._entries()
        has_secret = any(isinstance(value, Secret) for _, value in self.variables)
        object.__setattr__(self, "mode", secret_mode(self.mode, 0o600, has_secret, self.path))

    @property
    def label(self) -> str:
        return self.path

    def _entries(self) -> Dict[str, str]:
        """Return key → entry, secrets in clear."""
        return {key: env_grammars.entry(self.reader, key, reveal(value)) for key, value in self.variables}

    def _shown(self) -> Dict[str, str]:
        """Return key → entry as a person may see it."""
        entries = self._entries()
        return {k: "%s=%s" % (k, REDACTED) if isinstance(v, Secret) else entries[k] for k, v in self.variables}

    def _file(self) -> File:
        text = "".join(line + "\n" for line in self._entries().values())
        parts = [value.reveal() for _, value in self.variables if isinstance(value, Secret)]
        content = Secret(text, parts) if parts else text
        return File(self.path, content, self.mode, self.owner, self.group, self.present)

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        return owned_path(self.path, self)

    def require(self, reader: Reader, change: Change) -> None:
        self._file().require(reader, change)

    def desired(self) -> Optional[State]:
        return self._file().desired()

    def observe(self, reader: Reader) -> Optional[State]:
        return self._file().observe(reader)

    def apply(self, system: System, change: Change) -> None:
        self._file().apply(system, change)

    def predict(self, reader: Reader, change: Change) -> None:
        self._file().predict(reader, change)

    def diff(self, reader: Reader, change: Change) -> str:
        """Return lines by key. Nothing of the old file is shown but values of keys that are now in clear."""
        rest = Change(change.before, change.after, tuple(n for n in change.differing if n != "sha256"))
        lines = [attribute_diff(rest)] if rest.differing else []
        if change.touches("sha256"):
            before = reader.read_text(self.path) if change.before and change.before["type"] == "file" else ""
            lines += self._changed_lines(before or "")
        return "\n".join(line for line in lines if line)

    def _changed_lines(self, before: str) -> List[str]:
        old, new, shown = _entries_in(before), self._entries(), self._shown()
        in_clear = {key for key, value in self.variables if not isinstance(value, Secret)}
        lines = []
        for key in [key for key in old if key not in new] + list(new):
            if old.get(key) == new.get(key):
                continue
            if key in old:
                is_shown = key in in_clear and _is_one_per_line(before)
                lines.append("- " + (old[key] if is_shown else "%s=%s" % (key, REDACTED)))
            if key in new:
                lines.append("+ " + shown[key])
        return lines or ["~ order or layout differs"]


def _entries_in(text: str) -> Dict[str, str]:
    """Return key → line of a file of variables, written by any program; of several lines the last."""
    entries = {}
    for line in text.split("\n"):
        key = _key_in(line)
        if key:
            entries[key] = line.strip()
    return entries


def _key_in(line: str) -> str:
    import re  # slow to import, and needed when the file differs

    match = re.match(_ENTRY, line)
    return match.group(1) if match else ""


def _is_one_per_line(text: str) -> bool:
    """Return True if every line is a variable, so that no line can be the middle of a secret."""
    return all(not line.strip() or _key_in(line) for line in text.split("\n"))
