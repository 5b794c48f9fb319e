"""Images of applications: the parameters of every role with an image, and the sources of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from orchestr.agent.resource import Resource
from orchestr.errors import InputError
from orchestr.planning.role import Params
from orchestr.resources.docker.images import PulledImage
from orchestr.resources.docker.names import check_reference
from orchestr.secret import Secret

if TYPE_CHECKING:
    from orchestr.images.archive import ImageSource
    from orchestr.planning.plan import Host, Peer

#: The examples have it instead of secrets.
PLACEHOLDER = "CHANGE-ME"
#: The inventory variable with the source of images, for all roles at once.
IMAGE_SOURCE = "orchestr_image_source"
SOURCES = ("pull", "push")
ARCHIVE = "archive:"


def is_placeholder(value: Any) -> bool:
    """Return True if a secret, alone or in a mapping, contains the public placeholder of the examples."""
    if isinstance(value, Mapping):
        return any(is_placeholder(item) for item in value.values())
    return isinstance(value, Secret) and PLACEHOLDER in value.reveal()


def is_source(text: str) -> bool:
    """Return True for a valid source of images."""
    return text in SOURCES or (text.startswith(ARCHIVE) and len(text) > len(ARCHIVE))


class ContainerParams(Params):
    """Parameters of every role with an image; a role sets its own default of ``image``."""

    image: str = Field(description="the image, with its tag: pin it, and change the tag to upgrade")
    image_source: str = Field(
        default="",
        description="pull: the host fetches it from a registry; push: this machine's Docker sends it over SSH, "
        "only the layers the host lacks; archive:PATH: the same from a docker save archive or an OCI layout. "
        "Empty: the value of orchestr_image_source, else pull",
    )

    uses: dict[str, str] = Field(
        default={},
        description="the instance of a role to use if the playbook has several: {redis: newapi_redis}",
    )

    @field_validator("image")
    @classmethod
    def _is_reference(cls, reference: str) -> str:
        check_reference(reference)
        return reference

    @field_validator("image_source")
    @classmethod
    def _is_source(cls, source: str) -> str:
        if source and not is_source(source):
            raise ValueError(f"expected pull, push or {ARCHIVE}PATH")
        return source

    @field_validator("*")
    @classmethod
    def _is_no_placeholder(cls, value: Any) -> Any:
        if is_placeholder(value):
            raise ValueError(f"a secret is still the example's {PLACEHOLDER}; generate one: openssl rand -hex 24")
        return value


def image_source(host: Host, source: str = "") -> str:
    """Return "pull", "push" or "archive:PATH" for a role on a host. Raises InputError for another value."""
    chosen = source or str(host.variable(IMAGE_SOURCE, "pull"))
    if not is_source(chosen):
        raise InputError(
            f"{host.name}: {chosen!r} is not a source of images",
            next_step=f"set {IMAGE_SOURCE} to pull, push or {ARCHIVE}PATH",
        )
    return chosen


def image(host: Host, params: ContainerParams) -> tuple[Resource, dict[str, str]]:
    """Return the resource for the image of a role, and the ids of pushed images (reference → id)."""
    return image_named(host, params.image, image_source(host, params.image_source))


def image_named(host: Host, reference: str, source: str) -> tuple[Resource, dict[str, str]]:
    """Return the resource for an image from its source, and the ids of pushed images (reference → id).

    Raises InputError for a pushed image whose reference has a registry's digest, and for one of another architecture.
    """
    if source == "pull":
        return PulledImage(reference), {}
    if "@" in reference:
        raise InputError(
            f"{host.name}: {reference} has a registry's digest, which pushed images lack",
            next_step="leave out @sha256:…: the image of this machine is pushed, and identified by its id",
        )
    from orchestr.images.archive import open_archive, open_image

    def open_source() -> ImageSource:
        if source == "push":
            return open_image(reference)
        return open_archive(host.project_path(Path(source[len(ARCHIVE) :]).expanduser()), reference)

    archive = host.blobs.once(("image", source, reference), open_source)
    archive.assert_runs_on(host.name, str(host.facts.get("architecture", "")))
    if archive.saved_as and source.startswith(ARCHIVE):
        file = source[len(ARCHIVE) :]
        host.note(f"{file}: the image in it is called {archive.saved_as}; it becomes {reference}, which was asked for")
    archive.register(host.blobs)
    return archive.resource(), {reference: archive.image_id}


def assert_same_image(reference: str, hosts: Iterable[Peer]) -> None:
    """Raise InputError if hosts that pulled an image in this run have different images under its name.

    A tag may move in the registry between two pulls: the service would run in two versions.
    """
    hosts_by_id: dict[str, list[str]] = {}
    for peer in hosts:
        image_id = peer.outcome(f"{PulledImage.kind}:{reference}").get("image")
        if image_id:
            hosts_by_id.setdefault(str(image_id), []).append(peer.name)
    if len(hosts_by_id) > 1:
        versions = "; ".join(f"{', '.join(names)}: {image_id[:19]}" for image_id, names in hosts_by_id.items())
        raise InputError(
            f"{reference} is not the same image on all hosts ({versions})",
            next_step=f"pin it (name:tag@sha256:…), use a new tag, or on outdated hosts: docker pull {reference}",
        )
