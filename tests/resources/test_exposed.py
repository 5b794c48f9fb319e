"""Paths for programs of root: refused where an ordinary user could lead the program elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.door import UnsafePath
from orchestr.agent.resource import ResourceError, Task
from orchestr.agent.system import Completed, System
from orchestr.resources.compose import apply as compose_apply
from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.exposed import require_roots_files, require_roots_way
from orchestr.resources.moves.forms import COMPOSE, FormRemoved
from orchestr.resources.users import User

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a second user is needed")

ALICE, BOB, DOCKER = 4242, 4243, 4244
PASSWD = f"root:x:0:0::/root:/bin/sh\nalice:x:{ALICE}:{ALICE}::/home/alice:/bin/sh\nbob:x:{BOB}:{BOB}::/b:/bin/sh\n"
GROUP = (
    f"root:x:0:\nalice:x:{ALICE}:\nbob:x:{BOB}:\ndocker:x:{DOCKER}:bob\nstaff:x:50:alice\nnone:x:51:\nfar:x:52:ldap\n"
)


class Host(System):
    """This machine with accounts of its own; its tools note how they were called."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[tuple[str, ...]] = []

    def read_text(self, path: str) -> str | None:
        return {"/etc/passwd": PASSWD, "/etc/group": GROUP}.get(path) or super().read_text(path)

    def _execute(self, argv: Any, *words: Any) -> Completed:
        self.called.append(tuple(argv))
        return Completed(tuple(argv), 0, "", "")


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory on whose way only root can write."""
    folder = Path(tempfile.mkdtemp(prefix="orchestr-exposed-"))
    folder.chmod(0o755)
    (folder / "app").mkdir()
    (folder / "app" / "compose.yaml").write_text("services: {}\n")
    yield folder
    shutil.rmtree(folder)


def is_refused(path: Path) -> str:
    """Return why a file is refused, "" when it is not."""
    try:
        require_roots_files(Host(), [str(path)], "compose")
    except ResourceError as error:
        return str(error)
    return ""


def set_rights(path: Path, uid: int = 0, gid: int = 0, mode: int = 0o755) -> None:
    os.chown(path, uid, gid)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("rights", "writer"),
    [
        ({}, ""),
        ({"uid": ALICE}, "user alice"),
        ({"uid": 9999}, "user 9999"),
        ({"uid": BOB}, ""),  # of the group docker
        ({"gid": 50, "mode": 0o775}, "the group staff"),
        ({"gid": 50, "mode": 0o755}, ""),
        ({"gid": DOCKER, "mode": 0o775}, ""),
        ({"gid": 7777, "mode": 0o775}, "the group 7777"),
        ({"gid": ALICE, "mode": 0o775}, "the group alice"),  # whose own group it is
        ({"uid": BOB, "gid": BOB, "mode": 0o775}, ""),  # as a umask of 0002 makes it
        ({"gid": 51, "mode": 0o2775}, ""),  # of which nobody is
        ({"gid": 52, "mode": 0o775}, "the group far"),  # somebody whom this host knows by another way
        ({"mode": 0o757}, "everybody"),
    ],
)
@pytest.mark.parametrize("place", ["", "app", "app/compose.yaml"])
def test_what_a_user_can_write_is_refused(place: str, rights: dict[str, int], writer: str, base: Path) -> None:
    """The file, its directory and any directory on the way; but for users who are root anyway."""
    set_rights(base / place, **rights)
    why = is_refused(base / "app" / "compose.yaml")
    assert bool(why) == bool(writer) and f"{base / place}".rstrip("/") in (why or str(base / place))
    assert f"can be written by {writer}," in why or not writer


def test_the_user_whose_sudo_made_the_agent_root_is_no_danger(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project in the home of the login that the inventory names is used."""
    set_rights(base, uid=ALICE)
    monkeypatch.setenv("SUDO_UID", str(ALICE))
    assert not is_refused(base / "app" / "compose.yaml")


def test_each_directory_on_the_way_counts(base: Path) -> None:
    """One who is root anyway does not stand for the next one."""
    set_rights(base, uid=BOB)
    set_rights(base / "app", uid=ALICE)
    assert "user alice" in is_refused(base / "app" / "compose.yaml")


def test_what_is_not_there_yet_is_as_its_directory(base: Path) -> None:
    """The first directory that is there decides."""
    require_roots_way(Host(), str(base / "a" / "b" / "c"), "useradd")
    set_rights(base, uid=ALICE)
    with pytest.raises(ResourceError, match="user alice"):
        require_roots_way(Host(), str(base / "a" / "b" / "c"), "useradd")


def test_in_a_directory_for_everybody_names_can_be_made(base: Path) -> None:
    """Of /tmp only what root owns there is safe."""
    set_rights(base, mode=0o1777)
    assert not is_refused(base / "app" / "compose.yaml")
    with pytest.raises(ResourceError, match="everybody"):
        require_roots_way(Host(), str(base / "new"), "useradd")


def test_a_link_of_a_user_on_the_way_is_named(base: Path) -> None:
    """As the door does."""
    (base / "alice").mkdir()
    (base / "alice" / "app").symlink_to(base / "app")
    set_rights(base / "alice", uid=ALICE)
    with pytest.raises(UnsafePath, match="is not followed"):
        require_roots_files(Host(), [str(base / "alice/app/compose.yaml")], "compose")
    (base / "link").symlink_to(base / "app")
    assert not is_refused(base / "link" / "compose.yaml")
    (base / "roots").mkdir()
    (base / "roots" / "compose.yaml").symlink_to("../app/compose.yaml")
    assert not is_refused(base / "roots" / "compose.yaml")
    set_rights(base / "app", uid=ALICE)
    assert is_refused(base / "link" / "compose.yaml") and is_refused(base / "roots" / "compose.yaml")


# -- the programs -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["compose.yaml", "compose.override.yaml", ".env", ""])
def test_compose_is_not_called_for_a_users_files(name: str, base: Path) -> None:
    """Nor anything else: the project is refused before."""
    host, project = Host(), ComposeProject(str(base / "app"), ("web",))
    (base / "app" / ".env").touch()
    (base / "app" / "compose.override.yaml").write_text(compose_apply.OVERRIDE_HEADER)
    set_rights(base / "app" / name, uid=ALICE)
    with pytest.raises(ResourceError, match="docker compose, which acts as root"):
        compose_apply._start(host, project, [])
    assert host.called == []


def test_compose_removes_no_project_by_a_users_files(base: Path) -> None:
    """Such a file could name another project."""
    host, removed = Host(), FormRemoved("app", COMPOSE, str(base / "app"))
    set_rights(base / "app", uid=ALICE)
    with pytest.raises(ResourceError, match="user alice"):
        removed.perform(host)
    assert host.called == []
    set_rights(base / "app")
    removed.perform(host)
    assert host.called[0][-1] == "down"


def outcome(user: User) -> str:
    return str(converge(Task(user), Host(), False, False).get("error", {}).get("message", ""))


def test_a_home_is_not_made_below_a_users_directory(base: Path) -> None:
    """Useradd chowns it by its path, and its user could lead that to root's."""
    user = User("carol", home=str(base / "app" / "carol"))
    assert "user alice" not in outcome(user)
    set_rights(base / "app", uid=ALICE)
    assert "could lead useradd" in outcome(user) and "user alice" in outcome(user)


@pytest.mark.parametrize("change", [{"uid": 5000}, {"home": "{base}/new"}, {"home": "{base}/app/new"}])
def test_a_home_is_not_moved_or_given_away_below_a_users_directory(
    change: dict[str, Any], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usermod, too, where the home is and where it comes to."""
    old = base / ("" if change.get("home") == "{base}/app/new" else "app") / "bob"
    old.mkdir()
    monkeypatch.setattr(f"{__name__}.PASSWD", PASSWD.replace("::/b:", f"::{old}:"))
    given = {name: value.format(base=base) if name == "home" else value for name, value in change.items()}
    assert "could lead" not in outcome(User("bob", **given))
    set_rights(base / "app", uid=ALICE)
    assert "could lead usermod" in outcome(User("bob", **given))
