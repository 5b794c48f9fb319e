"""The JSON documents of image archives: the image that a name means, and the files it is made of.

Nothing is assumed of a document but that it is JSON. Sources: Docker Image Specification v1.2 (``manifest.json``); OCI
Image Format Specification 1.1 (index, manifest, configuration, ``org.opencontainers.image.ref.name``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestr.resources.docker.engine import familiar

DEEPEST = 4  # an index in an index: more than tools write
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "",
)
#: Architectures of images (GOARCH) that machines run, by the kernel's name of the machine (uname -m).
RUNS: Mapping[str, tuple[str, ...]] = {
    "x86_64": ("amd64", "386"),
    "aarch64": ("arm64", "arm"),
    "armv8l": ("arm",),
    "armv7l": ("arm",),
    "armv6l": ("arm",),
    "i686": ("386",),
    "i386": ("386",),
    "ppc64le": ("ppc64le",),
    "s390x": ("s390x",),
    "riscv64": ("riscv64",),
    "loongarch64": ("loong64",),
}


class BadDocument(ValueError):
    """A document does not describe one image; the message says why."""


@dataclass(frozen=True)
class Parts:
    """An image as a manifest names it: its name ("" without one), its configuration, its layers in order.

    ``saved_as``: the name in the archive, if another one was asked for that it does not fit.
    """

    name: str
    config: str
    layers: tuple[str, ...]
    saved_as: str = ""


@dataclass(frozen=True)
class Details:
    """The contents of an image's configuration that matter here; ``architecture`` is "" where it has none."""

    architecture: str
    diff_ids: tuple[str, ...]


def can_run(machine: str, architecture: str) -> bool:
    """Return True if a machine (``uname -m``) runs images of an architecture, or if either is unknown.

    >>> can_run("x86_64", "arm64"), can_run("x86_64", "386"), can_run("aarch64", "arm64"), can_run("mips", "arm")
    (False, True, True, True)
    """
    return not architecture or architecture in RUNS.get(machine, (architecture,))


def platform_of(machine: str) -> str:
    """Return the platform to fetch images for, for a machine (``uname -m``).

    >>> platform_of("aarch64")
    'linux/arm64'
    """
    return f"linux/{RUNS.get(machine, (machine,))[0]}"


# -- manifest.json of docker save and podman save ----------------------------------------------------------------------
def docker_parts(document: Any, reference: str) -> Parts:
    """Return the image that ``reference`` names in a ``manifest.json``. Raises BadDocument."""
    where = "manifest.json"
    entries = [_mapping(entry, f"{where}[{number}]") for number, entry in enumerate(_list(document, where))]
    names = [_texts(fields.get("RepoTags") or [], f"{where}[{n}].RepoTags") for n, fields in enumerate(entries)]
    number = _choose(names, reference)
    config = _text(entries[number].get("Config"), f"{where}[{number}].Config")
    layers = _texts(entries[number].get("Layers"), f"{where}[{number}].Layers")
    return Parts(reference or next(iter(names[number]), ""), config, layers, _other_name(names[number], reference))


# -- the transport "dir": a manifest, and each blob under its digest ---------------------------------------------------
def is_manifest(document: Any) -> bool:
    """Return True if a ``manifest.json`` is the manifest of one image itself, not a list of them."""
    return isinstance(document, dict) and "schemaVersion" in document


def directory_parts(document: Any, reference: str) -> Parts:
    """Return the image of a directory that podman (``docker-dir``) or skopeo (``dir:``) wrote. Raises BadDocument."""
    parts = _parts_of(_mapping(document, "manifest.json"), reference)
    return Parts(reference, _bare(parts.config), tuple(map(_bare, parts.layers)))


def _bare(blob: str) -> str:
    return blob.rpartition("/")[2]


# -- an OCI layout -----------------------------------------------------------------------------------------------------
def oci_parts(index: Any, reference: str, names: Collection[str], read: Callable[[str], Any]) -> Parts:
    """Return the image that ``reference`` names in an OCI layout's ``index.json``. Raises BadDocument.

    ``names`` are the files of the layout; ``read`` returns the JSON of one.
    """
    where = "index.json"
    entries = [entry for entry in _descriptors(index, where) if not _is_attestation(entry)]
    if not entries:
        raise BadDocument("it holds no images")
    chosen = entries[_choose([_names_of(entry) for entry in entries], reference)]
    own_names = _names_of(chosen)
    parts = _parts_of(_manifest(chosen, names, read), reference or next(iter(own_names), ""))
    return replace(parts, saved_as=_other_name(own_names, reference))


def _parts_of(document: Mapping[str, Any], name: str) -> Parts:
    """Return the parts that a manifest lists. Raises BadDocument for several platforms, and for an artifact."""
    if "manifests" in document:
        raise BadDocument(_several_platforms(_descriptors(document, "manifest.json")))
    artifact = document.get("artifactType")
    config = _mapping(document.get("config"), "the manifest's config")
    kind = config.get("mediaType", "")
    if artifact or kind not in CONFIG_TYPES:
        raise BadDocument(f"it holds an artifact ({artifact or kind}), not an image")
    layers = _list(document.get("layers"), "the manifest's layers")
    return Parts(name, blob_name(config), tuple(map(blob_name, layers)))


def _manifest(descriptor: Mapping[str, Any], names: Collection[str], read: Callable[[str], Any]) -> Mapping[str, Any]:
    """Follow a descriptor to an image's manifest, through indexes of platforms of which only one is in the archive."""
    for _ in range(DEEPEST):
        name = blob_name(descriptor)
        document = _mapping(read(name), name)
        if "manifests" not in document:
            return document
        entries = [entry for entry in _descriptors(document, name) if not _is_attestation(entry)]
        there = [entry for entry in entries if blob_name(entry) in names] or entries
        if len(there) != 1:
            raise BadDocument(_several_platforms(there))
        descriptor = there[0]
    raise BadDocument("damaged: its indexes lead to each other")


def _descriptors(index: Any, where: str) -> list[Mapping[str, Any]]:
    entries = _list(_mapping(index, where).get("manifests"), f"{where}: manifests")
    return [_mapping(entry, f"{where}: manifests[{number}]") for number, entry in enumerate(entries)]


def blob_name(descriptor: Any) -> str:
    """Return the file of a layout that a descriptor means. Raises BadDocument unless it is named by sha256."""
    digest = _text(_mapping(descriptor, "a descriptor").get("digest"), "a descriptor's digest")
    algorithm, _, text = digest.partition(":")
    if algorithm != "sha256" or len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise BadDocument(f"damaged: {digest!r} is not a digest of the form sha256:…")
    return f"blobs/sha256/{text}"


def _names_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    annotations = _mapping(entry.get("annotations") or {}, "annotations")
    names = [annotations[key] for key in NAME_ANNOTATIONS if key in annotations]
    return tuple(dict.fromkeys(_texts(names, "annotations")))


def _is_attestation(entry: Mapping[str, Any]) -> bool:
    return bool(_mapping(entry.get("platform") or {}, "platform").get("os") == "unknown")


def _several_platforms(entries: list[Mapping[str, Any]]) -> str:
    platforms = ", ".join(map(_platform, entries)) or "none"
    return f"it holds {len(entries)} platforms ({platforms}); save it for one platform only"


def _platform(entry: Mapping[str, Any]) -> str:
    platform = _mapping(entry.get("platform") or {}, "platform")
    return "/".join(str(platform[key]) for key in ("os", "architecture", "variant") if platform.get(key)) or "unnamed"


# -- the configuration -------------------------------------------------------------------------------------------------
def details_of(config: Any, name: str) -> Details:
    """Return the architecture and layers of an image's configuration. Raises BadDocument for one not of Linux."""
    fields = _mapping(config, name)
    system = fields.get("os", "linux")
    if system != "linux":
        raise BadDocument(f"it is an image for {system}, not linux")
    diff_ids = _texts(_mapping(fields.get("rootfs"), f"{name}: rootfs").get("diff_ids"), f"{name}: rootfs.diff_ids")
    return Details(_text(fields.get("architecture", ""), f"{name}: architecture"), diff_ids)


# -- names -------------------------------------------------------------------------------------------------------------
def _choose(names: list[tuple[str, ...]], reference: str) -> int:
    """Return the index of the image that ``reference`` names: a full name counts before a shorter form of it.

    The only image of an archive has any name: it may have been saved by id.
    """
    for fits in (_is_same, _is_short, _is_tag) if reference else ():
        matching = [number for number, own in enumerate(names) if any(fits(name, reference) for name in own)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            break
    if len(names) == 1:
        return 0
    listed = ", ".join(own[0] if own else "unnamed" for own in names) or "none"
    why = f"; none (or more than one) is called {reference}" if reference else ""
    raise BadDocument(f"it holds {len(names)} images ({listed}){why}; give the name of one")


def _other_name(names: tuple[str, ...], reference: str) -> str:
    """Return the first name of an image that none of its names fits the reference, else ""."""
    fitting = (fits(name, reference) for fits in (_is_same, _is_short, _is_tag) for name in names)
    return names[0] if names and reference and not any(fitting) else ""


def _is_same(name: str, reference: str) -> bool:
    return familiar(name) == familiar(reference)


def _is_short(name: str, reference: str) -> bool:
    """``localhost/app:1``, as podman names its own images, is ``app:1``."""
    return familiar(name).endswith(f"/{familiar(reference)}") or familiar(reference).endswith(f"/{familiar(name)}")


def _is_tag(name: str, reference: str) -> bool:
    """A layout of one repository names its images by tag alone."""
    return "/" not in name and ":" not in name and familiar(reference).rpartition(":")[2] == name


# -- documents are as their makers wrote them --------------------------------------------------------------------------
def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadDocument(f"damaged: {where} is not a mapping")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadDocument(f"damaged: {where} is not a list")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadDocument(f"damaged: {where} is not a text")
    return value


def _texts(values: Any, where: str) -> tuple[str, ...]:
    items: Iterable[Any] = _list(values, where)
    return tuple(_text(item, where) for item in items)
