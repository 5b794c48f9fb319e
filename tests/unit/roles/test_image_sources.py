"""Where a role's image comes from: a registry, this machine's Docker, or an archive; and the logins for a registry."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestr.errors import InputError
from orchestr.resources.compose.project import ComposeProject
from orchestr.resources.docker.images import LOGINS, Image, PulledImage
from orchestr.resources.files import Blob, File
from orchestr.secret import Secret
from tests import image_archives
from tests.image_archives import layer, save_25
from tests.unit.roles.conftest import Planned, plan_file

PASSWORD = "only-for-this-test"


def planned(tmp_path: Path, **variables: Any) -> Planned:
    (tmp_path / "playbook.yml").write_text("- hosts: all\n  roles: [docker, webapp]\n")
    (tmp_path / "inventory.yml").write_text("all: {hosts: {one: {ansible_host: 10.0.0.1}}}\n")
    defaults = {"webapp_image": "app:1"}
    return plan_file(tmp_path / "inventory.yml", tmp_path / "playbook.yml", **{**defaults, **variables})


@pytest.mark.parametrize("whole", [True, False])
def test_an_archive_is_sent_and_deploys_use_its_id(tmp_path: Path, monkeypatch: Any, whole: bool) -> None:
    """archive:PATH, whole or relative to the project: that image under the role's name, and services made of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    image_id = save_25(tmp_path / "app.tar", [layer("x")], ["other:7"])
    plan = planned(tmp_path, webapp_image_source=f"archive:{tmp_path / 'app.tar' if whole else 'app.tar'}")
    [image] = plan.resources("one", Image)
    assert (image.reference, image.image_id) == ("app:1", image_id)
    [(_, note)] = plan.run.context.notes
    assert "app.tar: the image in it is called other:7; it becomes app:1" in note
    [project] = plan.resources("one", ComposeProject)
    assert [service.image_id for service in project.services] == [image_id]


@pytest.mark.parametrize("source", ["archive:", "archive", "fetch"])
def test_an_unknown_source_is_refused(tmp_path: Path, source: str) -> None:
    """Another word is an error before the first connection, for a role and for all."""
    for name in ("webapp_image_source", "orchestr_image_source"):
        with pytest.raises(InputError, match="archive:PATH"):
            planned(tmp_path, **{name: source}).tasks("one")


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The path is in the error."""
    with pytest.raises(InputError, match="cannot be read") as caught:
        planned(tmp_path, webapp_image_source="archive:gone.tar").tasks("one")
    assert "gone.tar" in str(caught.value)


@pytest.mark.parametrize(
    ("machine", "architecture", "is_refused"),
    [("x86_64", "arm64", True), ("aarch64", "amd64", True), ("x86_64", "amd64", False), ("aarch64", "arm64", False),
     ("x86_64", "386", False), ("armv7l", "arm64", True), ("", "arm64", False), ("x86_64", "", False)],
)  # fmt: skip
def test_an_image_of_another_architecture_is_not_sent(
    tmp_path: Path, monkeypatch: Any, machine: str, architecture: str, is_refused: bool
) -> None:
    """An image that the host's machine cannot run is refused while planning, from the index too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(image_archives, "config_of", partial(image_archives.config_of, architecture=architecture))
    save_25(tmp_path / "app.tar", [layer("x")], ["app:1"])
    for _ in range(2):
        plan = planned(tmp_path, webapp_image_source="archive:app.tar")
        plan.run.context.facts["one"] = {"architecture": machine}
        if not is_refused:
            assert plan.resources("one", Image)
            continue
        with pytest.raises(InputError, match=f"an image for {architecture}, and the host is {machine}") as caught:
            plan.tasks("one")
        assert "docker pull --platform linux/" in caught.value.next_step


@pytest.mark.parametrize(
    "name", ["MyApp:1", "nginx: 1", "http://reg/x:1", "nginx:1.25@sha256:...", "-x", "a b", "app:", "a//b", ""]
)
def test_a_name_that_is_none_is_refused_in_the_inventory(tmp_path: Path, name: str) -> None:
    """Docker would refuse it in the middle of a run, or read an option in it."""
    with pytest.raises(InputError, match="webapp_image: ") as caught:
        planned(tmp_path, webapp_image=name)
    assert "image" in str(caught.value)
    for make in (PulledImage, lambda text: Image(text, "sha256:" + "0" * 64, Blob("0" * 64, 1), ())):
        with pytest.raises(ValueError, match="image"):
            make(name)


def test_a_digest_is_for_registries(tmp_path: Path) -> None:
    """A pinned image is pulled as it is, before the project; sending it is refused, for its digest is a registry's."""
    pinned = "registry.example.com/me/app:1@sha256:" + "a" * 64
    plan = planned(tmp_path, webapp_image=pinned)
    kinds = [type(task.resource) for task in plan.tasks("one")]
    assert plan.resources("one", PulledImage)[0].reference == pinned
    assert kinds.index(PulledImage) < kinds.index(ComposeProject)
    assert pinned in plan.text("one", "/opt/webapp/compose.yaml")
    with pytest.raises(InputError, match="registry's digest"):
        planned(tmp_path, webapp_image=pinned, webapp_image_source="push").tasks("one")


def test_logins_are_in_one_secret_file(tmp_path: Path) -> None:
    """A registry's login becomes a 0600 config.json whose text is a secret, and goes with the parameter."""
    login = {"registry.example": {"username": "me", "password": PASSWORD}}
    file = planned(tmp_path, docker_registry_logins=login).resource("one", f"{LOGINS}/config.json")
    assert isinstance(file, File) and file.mode == 0o600 and isinstance(file.content, Secret)
    coded = json.loads(str(file.content.reveal()))["auths"]["registry.example"]["auth"]
    assert base64.b64decode(coded).decode() == f"me:{PASSWORD}"
    assert PASSWORD not in repr(file) and coded not in repr(file)
    assert not planned(tmp_path).resource("one", f"{LOGINS}/config.json").present
