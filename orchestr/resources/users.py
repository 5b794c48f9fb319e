"""Users and groups of the host, with their SSH keys.

Sources: passwd(5), group(5), shadow(5), useradd(8), usermod(8), groupadd(8), groupmod(8), chpasswd(8), sshd(8).
"""

from __future__ import annotations

import re

from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.secret import Secret
from orchestr.agent.system import Reader, System
from orchestr.resources.authorized_keys import edit_keys, keys_with, present_keys, read_keys
from orchestr.resources.places import require_directory_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?\Z")


def _check_name(kind: str, name: str) -> None:
    if not _NAME.match(name):
        raise ValueError("%r is not a name a %s can have" % (name, kind))


def _check_id(number: Optional[int]) -> None:
    """Raise ValueError for a number that is not an id: -1 is "leave it as it is" to chown(2)."""
    if number is not None and not 0 <= number < 0xFFFFFFFF:
        raise ValueError("%r is not an id of a user or group" % number)


def _fields(reader: Reader, path: str, name: str) -> Optional[List[str]]:
    """Return the fields of a name's line in a file like /etc/passwd, None when it has none."""
    for line in (reader.read_text(path) or "").splitlines():
        if line.startswith(name + ":"):
            return line.split(":")
    return None


@record
@registered("group")
class Group(Resource):
    """A group; ``gid`` None leaves the number to the host.

    Observes: /etc/group. Changes: the group. Never touches: its members (User does), files that had its old number.
    """

    name: str
    gid: Optional[int] = None
    system: bool = False
    present: bool = True

    touches: ClassVar[Tuple[str, ...]] = ("users",)

    def __post_init__(self) -> None:
        _check_name("group", self.name)
        _check_id(self.gid)

    @property
    def label(self) -> str:
        return self.name

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        owned: Dict[Tuple[str, ...], object] = {("group", self.name): "present" if self.present else "absent"}
        return owned if self.gid is None else {**owned, ("group", self.name, "gid"): self.gid}

    def desired(self) -> Optional[State]:
        if not self.present:
            return None
        return {"name": self.name} if self.gid is None else {"name": self.name, "gid": self.gid}

    def observe(self, reader: Reader) -> Optional[State]:
        entry = _fields(reader, "/etc/group", self.name)
        return None if entry is None else {"name": self.name, "gid": int(entry[2])}

    def apply(self, system: System, change: Change) -> None:
        number = [] if self.gid is None else ["-g", str(self.gid)]
        if not self.present:
            system.run(["groupdel", "--", self.name])
        elif change.is_creation:
            system.run(["groupadd", *(["-r"] if self.system else []), *number, "--", self.name])
        else:
            system.run(["groupmod", *number, "--", self.name])


@record
@registered("user")
class User(Resource):
    """A user; attributes not given (None, "" or ()) are left to the host on creation and not compared later.

    ``groups`` are supplementary groups it is at least in. ``password_hash`` is as in shadow(5). ``authorized_keys`` are
    at least in its ~/.ssh/authorized_keys, and nothing else with ``only_these_keys``; a line with the same key but
    other options is replaced. ``system`` counts on creation only. Observes: /etc/passwd, group and shadow, ~/.ssh.
    Changes: these; the hash goes over stdin, never into an argument. Never touches: the home's other content;
    ``present=False`` removes the user and leaves its home.
    """

    name: str
    uid: Optional[int] = None
    group: str = ""
    groups: Tuple[str, ...] = ()
    shell: str = ""
    home: str = ""
    system: bool = False
    comment: str = ""
    present: bool = True
    authorized_keys: Tuple[str, ...] = ()
    only_these_keys: bool = False
    password_hash: Optional[Secret] = None

    touches: ClassVar[Tuple[str, ...]] = ("users",)

    def __post_init__(self) -> None:
        _check_name("user", self.name)
        for group in (*self.groups, *([self.group] if self.group else [])):
            _check_name("group", group)
        for value in (self.shell, self.home, self.comment):
            if ":" in value or any(ord(char) < 32 or ord(char) == 127 for char in value):
                raise ValueError("user %s: %r cannot stand in /etc/passwd" % (self.name, value))
        for path in filter(None, (self.shell, self.home)):
            if not path.startswith("/") or ".." in path.split("/"):
                raise ValueError("user %s: %r is not an absolute path" % (self.name, path))
        _check_id(self.uid)
        if self.password_hash is not None and re.search(r"[:\n]", self.password_hash.reveal()):
            raise ValueError("the password hash of user %s is not one of shadow(5)" % self.name)
        keys_with([], self.authorized_keys, False)

    @property
    def label(self) -> str:
        return self.name

    def owned(self) -> Mapping[Tuple[str, ...], object]:
        parts = {"uid": self.uid, "group": self.group, "shell": self.shell, "home": self.home, "comment": self.comment}
        owned: Dict[Tuple[str, ...], object] = {}
        owned.update({("user", self.name, name): value for name, value in parts.items() if value not in (None, "")})
        if self.only_these_keys:
            owned[("user", self.name, "authorized_keys")] = self.authorized_keys
        return {**owned, ("user", self.name): "present" if self.present else "absent"}

    # -- state ----------------------------------------------------------------------------------------------------
    def desired(self) -> Optional[State]:
        if not self.present:
            return None
        given: Dict[str, Any] = {"uid": self.uid, "password_hash": self.password_hash}
        given.update(group=self.group, shell=self.shell, home=self.home, comment=self.comment, groups=self.groups)
        state = {name: value for name, value in given.items() if value not in (None, "", ())}
        if self.authorized_keys or self.only_these_keys:
            state.update(authorized_keys=tuple(_strip_keys(self.authorized_keys)), ssh_access="0700 0600")
        return dict(state, name=self.name)

    def observe(self, reader: Reader) -> Optional[State]:
        entry = _fields(reader, "/etc/passwd", self.name)
        if entry is None:
            return None
        state: Dict[str, Any] = {"name": self.name, "uid": int(entry[2]), "comment": entry[4], "home": entry[5]}
        state.update(shell=entry[6], group=self._primary(reader, entry[3]), groups=self._member_of(reader))
        if self.password_hash is not None:
            shadow = _fields(reader, "/etc/shadow", self.name)
            state["password_hash"] = Secret(shadow[1] if shadow else "")
        if self.authorized_keys or self.only_these_keys:
            lines = read_keys(reader, entry[5], int(entry[2]))
            keys = present_keys(lines, _strip_keys(self.authorized_keys), self.only_these_keys)
            state.update(authorized_keys=keys, ssh_access=_access(reader, entry[5], int(entry[2])))
        return state

    def _primary(self, reader: Reader, gid: str) -> str:
        return self.group if self.group and reader.group_id(self.group) == int(gid) else gid

    def _member_of(self, reader: Reader) -> Tuple[str, ...]:
        """Return the wanted groups that the user is in."""
        lines = [line.split(":") for line in (reader.read_text("/etc/group") or "").splitlines()]
        mine = {fields[0] for fields in lines if len(fields) > 3 and self.name in fields[3].split(",")}
        return tuple(group for group in self.groups if group in mine)

    # -- change ---------------------------------------------------------------------------------------------------
    def apply(self, system: System, change: Change) -> None:
        if not self.present:
            system.run(["userdel", "--", self.name])
            return
        if change.is_creation:
            self._create(system)
        else:
            self._modify(system, change)
        if change.touches("password_hash") and self.password_hash is not None:
            line = "%s:%s\n" % (self.name, self.password_hash.reveal())
            system.run(["chpasswd", "-e"], input=line.encode("utf-8"))
        if change.touches("authorized_keys", "ssh_access"):
            self._write_keys(system)

    def require(self, reader: Reader, change: Change) -> None:
        """Raise ResourceError for a home that cannot be made or moved: useradd and usermod write /etc/passwd before.

        They make and chown it by its path, so no other user may be able to lead them elsewhere.
        """
        from orchestr.resources.exposed import require_roots_way

        if change.is_creation and self.present:
            if self.home:
                require_directory_place(reader, self.home, is_removal=False)
            if self.home or not self.system:
                require_roots_way(reader, self.home or "/home/" + self.name, "useradd")
        if change.before is None or not change.touches("home", "uid") or not self.present:
            return
        old = change.before["home"]
        if reader.stat(old) is not None:
            require_roots_way(reader, old, "usermod")
        if "home" not in change.differing or not self.home:
            return
        parent = self.home.rstrip("/").rpartition("/")[0] or "/"
        if reader.stat(old) is None:
            return
        if reader.stat(self.home) is not None:
            raise ResourceError(
                "the home of user %s cannot move from %s to %s: that is there already" % (self.name, old, self.home),
                "move one of them away, or copy what %s needs and remove %s" % (self.name, old),
            )
        if reader.stat(parent) is None:
            raise ResourceError("the directory %s of the home %s is not there" % (parent, self.home), "make it before")
        require_roots_way(reader, self.home, "usermod")

    def _create(self, system: System) -> None:
        group = self.group or (self.name if system.group_id(self.name) is not None else "")
        flags = ["-r"] if self.system else []
        flags.append("-M" if self.system and not self.home else "-m")
        flags += _given(("-u", self.uid), ("-g", group), ("-s", self.shell), ("-d", self.home), ("-c", self.comment))
        flags += ["-G", ",".join(self.groups)] if self.groups else []
        system.run(["useradd", *flags, "--", self.name])

    def _modify(self, system: System, change: Change) -> None:
        wanted = {"-u": "uid", "-g": "group", "-s": "shell", "-d": "home", "-c": "comment"}
        after = change.after or {}
        flags = _given(*((flag, after[name]) for flag, name in wanted.items() if name in change.differing))
        if "home" in change.differing and system.stat((change.before or {})["home"]) is not None:
            flags.append("-m")
        flags += ["-a", "-G", ",".join(self.groups)] if "groups" in change.differing else []
        if flags:
            system.run(["usermod", *flags, "--", self.name])

    def _write_keys(self, system: System) -> None:
        entry = _fields(system, "/etc/passwd", self.name)
        if entry is None:
            raise ResourceError("user %s is not there" % self.name)

        def edit(lines: List[str]) -> List[str]:
            return keys_with(lines, self.authorized_keys, self.only_these_keys)

        edit_keys(system, entry[5], edit, int(entry[2]), int(entry[3]))


def _given(*pairs: Tuple[str, Any]) -> List[str]:
    """Return the flags whose value is given, flattened."""
    return [word for flag, value in pairs if value not in (None, "") for word in (flag, str(value))]


def _strip_keys(keys: Tuple[str, ...]) -> List[str]:
    return [key.strip() for key in keys]


def _access(reader: Reader, home: str, uid: int) -> str:
    """Return the modes of ~/.ssh and its authorized_keys, with the owner where it is somebody else."""
    shown = []
    for path in (home + "/.ssh", home + "/.ssh/authorized_keys"):
        status = reader.stat(reader.real_path(path) if path.endswith("_keys") else path)
        owner = "" if status is None or status.uid == uid else " of uid %d" % status.uid
        shown.append("absent" if status is None else "%04o%s" % (status.mode, owner))
    return " ".join(shown)
