"""Container images: sent from the controller layer by layer without a registry, or pulled where there is one.

``docker load`` takes a docker-save archive that lacks layers the engine already has (checked on 20.10 and 26.1), so
only missing ones travel. The archive is made while it is being read: no file, and no whole layer in memory.
Format: the Docker Image Specification v1.2, ``manifest.json`` with ``Config``, ``RepoTags`` and ``Layers``.
"""

from __future__ import annotations

import os

from orchestr.agent.light_json import dumps, loads
from orchestr.agent.record import record
from orchestr.agent.resource import Change, Resource, ResourceError, State, registered
from orchestr.agent.system import CommandFailed, Reader, System
from orchestr.resources.docker import engine as docker
from orchestr.resources.docker.names import check_reference
from orchestr.resources.files import Blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Dict, Generator, Iterator, List, Mapping, Optional, Sequence, Tuple

LOAD_S = 3600.0
BLOCK = 512  # tar's
KNOWN_IDS = "/var/lib/orchestr/images.json"
#: Where the logins for registries are (config.json, 0600); the role docker writes it. Only its path is in an argv.
LOGINS = "/var/lib/orchestr/docker"
READS_ZSTD = 23  # the first version of the engine that unpacks layers compressed with zstd
PROGRESS_BYTES = 32 << 20  # bytes of one layer between two progress messages


@record
@registered("image_layer")
class ImageLayer:
    """One layer: the sha256 of its unpacked tar (``sha256:…``) and the bytes that hold it, maybe compressed.

    ``is_zstd``: compressed with zstd, which engines before 23 do not read.
    """

    diff_id: str
    blob: Blob
    is_zstd: bool = False


@record
@registered("image")
class Image(Resource):
    """An image under a reference, exactly this one, sent from the controller.

    Observes: the image the reference names. Changes: loads it, fetching only layers that no image of the engine has.
    Never touches: other images; the one that had the reference before stays, untagged.
    """

    reference: str
    image_id: str
    config: Blob
    layers: Tuple[ImageLayer, ...]

    touches: ClassVar[Tuple[str, ...]] = ("images",)

    def __post_init__(self) -> None:
        check_reference(self.reference)
        if "@" in self.reference:
            raise ValueError("%s has a registry's digest, which pushed images lack" % self.reference)

    @property
    def label(self) -> str:
        return self.reference

    def desired(self) -> Optional[State]:
        return {"image": self.image_id}

    def observe(self, reader: Reader) -> Optional[State]:
        image = docker.tagged(reader, self.reference)
        if image is None:
            return None
        return {"image": _known_ids(reader).get(image["Id"], image["Id"])}

    def require(self, reader: Reader, change: Change) -> None:
        """Raise ResourceError for layers that the engine cannot unpack: it would say "unexpected EOF"."""
        if any(layer.is_zstd for layer in self.layers):
            version = docker.engine_version(reader)
            if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < READS_ZSTD:
                raise ResourceError(
                    "layers of %s are compressed with zstd, which Docker %s does not read" % (self.reference, version),
                    "compress them with gzip: skopeo copy --dest-compress-format gzip --dest-force-compress-format "
                    "oci-archive:FILE oci-archive:NEW, or update Docker to %d" % READS_ZSTD,
                )

    def apply(self, system: System, change: Change) -> None:
        is_containerd = has_containerd_store(system)
        present = 0 if is_containerd else self._layers_present(system)
        refusal = self._load(system, present)
        if refusal and present and "no space left" not in refusal:
            system.say("%s: the engine did not take it without the layers it has; sending all" % self.reference)
            refusal = self._load(system, 0)
        if refusal:
            raise ResourceError(
                "docker load refused %s" % self.reference, "see journalctl -u docker on the host", refusal
            )
        if is_containerd:
            self._remember_id(system)

    def diff(self, reader: Reader, change: Change) -> str:
        before = "absent" if change.before is None else _short(change.before["image"])
        return "- image: %s\n+ image: %s" % (before, _short(self.image_id))

    # -- the layers to send ---------------------------------------------------------------------------------------
    def _layers_present(self, reader: Reader) -> int:
        """Return how many of the first layers some image of the engine has below it too, in the same order."""
        wanted = [layer.diff_id for layer in self.layers]
        return max((_common_start(wanted, existing) for existing in layers_of_images(reader)), default=0)

    def _load(self, system: System, present: int) -> str:
        """Stream the archive without its first ``present`` layers into docker load; return its complaint, or ""."""
        done = system.run(
            ["docker", "load", "--quiet"], input=self._archive(system, present), check=False, timeout_s=LOAD_S
        )
        return "" if done.ok else done.stderr.strip() or "exit status %d" % done.exit

    def _archive(self, system: System, present: int) -> Iterator[bytes]:
        config_name = self.image_id.partition(":")[2] + ".json"
        names = ["%d/layer.tar" % number for number in range(len(self.layers))]
        manifest = [{"Config": config_name, "RepoTags": [docker.familiar(self.reference)], "Layers": names}]
        yield from _member("manifest.json", dumps(manifest).encode("utf-8"))
        yield from _member(config_name, b"".join(verified(system, self.config)))
        for number, layer in list(enumerate(self.layers))[present:]:
            size = layer.blob.size_bytes
            system.say("%s: layer %d of %d, %.1f MB" % (self.reference, number + 1, len(self.layers), size / 1e6))
            yield _header(names[number], size)
            yield from self._report_progress(system, verified(system, layer.blob), number, size)
            yield b"\0" * (-size % BLOCK)
        yield b"\0" * BLOCK * 2

    def _report_progress(self, system: System, chunks: Iterator[bytes], number: int, size: int) -> Iterator[bytes]:
        """Yield the chunks of a layer, and report now and then how much of a large one has been sent."""
        sent = reported = 0
        for chunk in chunks:
            yield chunk
            sent += len(chunk)
            if sent - reported >= PROGRESS_BYTES and sent < size:
                reported = sent
                progress = (self.reference, number + 1, len(self.layers), 100 * sent // size)
                system.say("%s: layer %d of %d, %d %% sent" % progress)

    # -- engines that name images by manifest -----------------------------------------------------------------------
    def _remember_id(self, system: System) -> None:
        """Remember this engine's name of the image: a containerd image store names it by a manifest, not its config."""
        system.forget(("images",))
        image = docker.tagged(system, self.reference)
        if image is None or image["Id"] == self.image_id:
            return
        if system.stat(os.path.dirname(KNOWN_IDS)) is None:
            system.make_directory(os.path.dirname(KNOWN_IDS), mode=0o700)
        known = dict(_known_ids(system), **{image["Id"]: self.image_id})
        system.write_bytes(KNOWN_IDS, dumps(known, indent=1, sort_keys=True).encode("utf-8"))


@record
@registered("pulled_image")
class PulledImage(Resource):
    """An image that comes from a registry the host reaches; with ``digest`` (``sha256:…``) exactly that one.

    A digest in the reference itself (``redis:7@sha256:…``) pins it too, and no tag is given to it. Logins are those of
    ``LOGINS``/config.json where that is there. Raises ValueError on an invalid digest, and on two.

    Observes: the references and repository digests the engine has. Changes: pulls. Never touches: other images.
    Outcome: ``{"image": id}``, the sha256 of its configuration, by which hosts are compared.
    """

    reference: str
    digest: str = ""

    touches: ClassVar[Tuple[str, ...]] = ("images",)

    def __post_init__(self) -> None:
        if "@" in self.reference and self.digest:
            raise ValueError("the image %s has a digest already" % self.reference)
        check_reference(self.reference + ("@" + self.digest if self.digest else ""))

    @property
    def label(self) -> str:
        return self.reference

    def desired(self) -> Optional[State]:
        return {"image": self.digest or "present"}

    def observe(self, reader: Reader) -> Optional[State]:
        image = docker.tagged(reader, self.reference)
        if image is None:
            return None
        digests = [text.partition("@")[2] for text in image.get("RepoDigests") or ()]
        if not self.digest or self.digest in digests:
            return {"image": self.digest or "present"}
        return {"image": ", ".join(digests) or "without a digest"}

    def outcome(self, reader: Reader) -> Mapping[str, Any]:
        image = docker.tagged(reader, self.reference)
        return {"image": image["Id"]} if image else {}

    def apply(self, system: System, change: Change) -> None:
        is_pinned = "@" in self.reference
        exact = docker.by_digest(self.reference) if is_pinned else docker.familiar(self.reference)
        if self.digest:
            exact = "%s@%s" % (repository(self.reference), self.digest)
        logins = ["--config", LOGINS] if system.stat(LOGINS + "/config.json") is not None else []
        try:
            system.run(["docker", *logins, "pull", "--quiet", exact], timeout_s=LOAD_S)
        except CommandFailed as failed:
            raise ResourceError(
                "%s could not be pulled" % exact,
                "see that the host reaches the registry and may pull (docker_registry_logins), or send it over SSH",
                failed.completed.stderr,
            ) from failed
        if self.digest:
            system.run(["docker", "tag", exact, docker.familiar(self.reference)])


# -- the engine's images ------------------------------------------------------------------------------------------
def layers_of_images(reader: Reader) -> List[Sequence[str]]:
    """Return the diff ids of every image's layers, intermediate ones of builds included."""
    listed = docker.get(reader, "/images/json", {"all": "1"})
    details = [docker.get(reader, "/images/%s/json" % item["Id"]) or {} for item in listed]
    return [(item.get("RootFS") or {}).get("Layers") or () for item in details]


def has_containerd_store(reader: Reader) -> bool:
    """Return True if the engine keeps images in containerd (default of fresh installations from 29 on)."""
    status = docker.get(reader, "/info").get("DriverStatus") or ()
    return any("io.containerd.snapshotter" in text for pair in status for text in pair)


def _known_ids(reader: Reader) -> Dict[str, str]:
    try:
        return dict(loads(reader.read_text(KNOWN_IDS) or "{}"))
    except ValueError:
        return {}


def _common_start(wanted: Sequence[str], existing: Sequence[str]) -> int:
    pairs = zip(wanted, existing)
    return next((number for number, (one, other) in enumerate(pairs) if one != other), min(len(wanted), len(existing)))


# -- names --------------------------------------------------------------------------------------------------------
def repository(reference: str) -> str:
    """Return a reference without its tag.

    >>> repository("localhost:5000/app:1")
    'localhost:5000/app'
    """
    return docker.familiar(reference).rpartition(":")[0]


def _short(image_id: str) -> str:
    return image_id.partition(":")[2][:12] or image_id


# -- the archive --------------------------------------------------------------------------------------------------
def verified(system: System, blob: Blob) -> Generator[bytes, None, None]:
    """Yield a blob's chunks, the last one only if the digest of all of them is right. Raises OSError.

    The rest is read off the line when the consumer stops early, so that the next blob starts with its own bytes.
    """
    from hashlib import sha256

    digest, held = sha256(), b""
    chunks = system.blob(blob.sha256, blob.size_bytes)
    try:
        for chunk in chunks:
            digest.update(chunk)
            if held:
                yield held
            held = chunk
        if digest.hexdigest() != blob.sha256:
            raise OSError("the content that arrived for %s is damaged (sha256 differs)" % blob.sha256[:12])
        yield held
    finally:
        for _ in chunks:
            pass


def _member(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data)) + data + b"\0" * (-len(data) % BLOCK)


def _header(name: str, size_bytes: int) -> bytes:
    import tarfile

    entry = tarfile.TarInfo(name)
    entry.size = size_bytes
    return entry.tobuf(tarfile.GNU_FORMAT)  # sizes above 8 GiB fit
