"""Images on the controller, read in place: a docker-save or OCI archive, never unpacked.

Formats: the archives of ``docker save`` 20.10 (``<id>/layer.tar``, repeated layers as links) and 25 on
(``blobs/sha256/…`` beside ``manifest.json``), of ``podman save`` (one image or several), and OCI image layouts without
``manifest.json`` (skopeo, buildah, buildx). Sources: `manifests`; OCI Image Layout Specification 1.0.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from orchestr.errors import InputError
from orchestr.images import manifests
from orchestr.resources.docker.engine import familiar
from orchestr.resources.docker.images import Image, ImageLayer
from orchestr.resources.files import Blob

if TYPE_CHECKING:
    from orchestr.blobs import BlobStore

PIECE = 1 << 20
PACKED_PIECE = 1 << 16  # of compressed bytes, which may become a thousand times as many
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UNPACKERS = {GZIP: "gunzip", ZSTD: "unzstd", b"\xfd7zXZ": "unxz", b"BZh": "bunzip2"}
MAKE_IT = "make it with: docker save IMAGE -o FILE"
LARGEST_DOCUMENT = 64 << 20  # bytes of one JSON document


@dataclass(frozen=True)
class BlobLocation:
    """The bytes of a blob: a part of a file on this machine."""

    path: Path
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class ImageSource:
    """An image that can be pushed: its desired state on a host, and the location of the bytes that a host asks for."""

    reference: str
    image_id: str
    config: Blob
    layers: tuple[ImageLayer, ...]
    blobs: Mapping[str, BlobLocation]
    architecture: str = ""  # as its configuration names it (amd64), "" where it does not
    saved_as: str = ""  # its name in the archive, if the reference is another one

    def resource(self) -> Image:
        """Return the desired state of the image on a host."""
        return Image(self.reference, self.image_id, self.config, self.layers)

    def assert_runs_on(self, host: str, machine: str) -> None:
        """Raise InputError if a host's machine (``uname -m``, "" if unknown) cannot run it."""
        if machine and not manifests.can_run(machine, self.architecture):
            platform = manifests.platform_of(machine)
            raise InputError(
                f"{host}: {self.reference} is an image for {self.architecture}, and the host is {machine}",
                next_step=f"build or fetch it for the host: docker pull --platform {platform} IMAGE",
            )

    def register(self, store: BlobStore) -> None:
        """Add this image's layers and configuration to a run's blob store."""
        for digest, location in self.blobs.items():
            store.add_slice(digest, location.path, location.offset, location.size_bytes)


def read_archive(path: Path, reference: str = "", is_just_saved: bool = False) -> ImageSource:
    """Read an archive's only image, or the one called ``reference``; every byte is checked. Raises InputError.

    In an archive that the local engine has just saved, its digests are trusted: the host checks every blob it receives.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            return _Archive(path, tar, is_just_saved).image(reference)
    except tarfile.TarError as error:
        unpacker = _unpacker(path)
        step = f"unpack it first ({unpacker})" if unpacker else MAKE_IT
        raise InputError(f"not an image archive: {error}", file=path, next_step=step) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from error


def read_layout(path: Path, reference: str = "") -> ImageSource:
    """Read the image in an unpacked layout, a directory; every byte is checked. Raises InputError."""
    try:
        return _Directory(path).image(reference)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from error


def _unpacker(path: Path) -> str:
    """Return the program that unpacks a compressed file, "" for any other."""
    with path.open("rb") as stream:
        start = stream.read(8)
    return next((program for magic, program in UNPACKERS.items() if start.startswith(magic)), "")


class _Archive:
    """One open archive; ``path`` is for messages and for the locations of blobs."""

    _is_trusted = False

    def __init__(self, path: Path, tar: tarfile.TarFile, is_trusted: bool = False) -> None:
        self._path = path
        self._tar = tar
        self._is_trusted = is_trusted
        self._members = {str(PurePosixPath(member.name)): member for member in tar}
        self._names: Collection[str] = self._members

    def image(self, reference: str) -> ImageSource:
        """Return the image that ``reference`` names. Raises InputError."""
        try:
            return self._image(reference)
        except manifests.BadDocument as error:
            raise self._error(str(error)) from error

    def _image(self, reference: str) -> ImageSource:
        if "manifest.json" in self._names:
            document = self._json("manifest.json")
            if manifests.is_manifest(document):  # the transport "dir" of podman and skopeo
                return self._source(manifests.directory_parts(document, reference))
            return self._source(manifests.docker_parts(document, reference))
        if "index.json" in self._names:
            index = self._json("index.json")
            return self._source(manifests.oci_parts(index, reference, self._names, self._checked_json))
        raise self._error("not an image archive: it has neither manifest.json nor index.json")

    def _source(self, parts: manifests.Parts) -> ImageSource:
        if not parts.name:
            raise self._error("the image in it is unnamed; give the name it should have on the hosts")
        config, location = self._blob(parts.config)
        details = manifests.details_of(self._json(parts.config), "its configuration")
        if len(details.diff_ids) != len(parts.layers):
            raise self._error(f"damaged: {len(parts.layers)} layers, but {len(details.diff_ids)} in its configuration")
        blobs, layers = {config.sha256: location}, []
        for name, diff_id in zip(parts.layers, details.diff_ids, strict=True):
            blob, location = self._blob(name, diff_id)
            blobs[blob.sha256] = location
            layers.append(ImageLayer(diff_id, blob, self._begins_with(name, ZSTD)))
        image_id = f"sha256:{config.sha256}"
        name, architecture = familiar(parts.name), details.architecture
        source = ImageSource(name, image_id, config, tuple(layers), blobs, architecture, parts.saved_as)
        try:
            source.resource()
        except ValueError as error:  # the archive's own name for it may be any text
            step = "give the name it should have on the hosts: image: NAME:TAG"
            raise InputError(str(error), file=self._path, next_step=step) from None
        return source

    def _member(self, name: str) -> tarfile.TarInfo:
        """Return a regular file; links are followed (20.10 links a layer that occurs twice)."""
        for _ in range(8):
            member = self._members.get(str(PurePosixPath(name)))
            if member is None:
                break
            if member.isreg():
                return member
            name = _normal(PurePosixPath(name).parent / member.linkname) if member.issym() else member.linkname
        raise self._error(f"damaged: {name} is missing")

    def _begins_with(self, name: str, magic: bytes) -> bool:
        with self._open(name) as stream:
            return stream.read(len(magic)) == magic

    def _open(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(self._member(name))
        assert stream is not None
        return stream

    def _json(self, name: str) -> Any:
        try:
            if self._location(name).size_bytes > LARGEST_DOCUMENT:
                raise self._error(f"{name} is larger than {LARGEST_DOCUMENT >> 20} MB")
            with self._open(name) as stream:
                return json.loads(stream.read())
        except (ValueError, RecursionError) as error:
            raise self._error(f"damaged: {name} is not JSON") from error

    def _checked_json(self, name: str) -> Any:
        """Return the JSON of a blob, after its bytes were checked against its name."""
        self._blob(name)
        return self._json(name)

    def _blob(self, name: str, diff_id: str = "") -> tuple[Blob, BlobLocation]:
        """Return a blob and its location; unless the archive is trusted, check the bytes against name and diff id."""
        location = self._location(name)
        expected = PurePosixPath(name).name.removesuffix(".json")
        with self._open(name) as stream:
            named = _named_digest(stream, expected, diff_id) if self._is_trusted else ""
            packed, unpacked = (named, "") if named else _digests(stream)
        is_wrong = len(expected) == 64 and packed != expected
        if is_wrong or (diff_id and unpacked and diff_id != f"sha256:{unpacked}"):
            raise self._error(f"damaged: the content of {name} does not have the expected digest")
        return Blob(packed, location.size_bytes), location

    def _location(self, name: str) -> BlobLocation:
        member = self._member(name)
        return BlobLocation(self._path, member.offset_data, member.size)

    def _error(self, message: str) -> InputError:
        return InputError(message, file=self._path, next_step=MAKE_IT)


class _Directory(_Archive):
    """An unpacked archive: a blob is a whole file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
        self._names = self._files

    def _file(self, name: str) -> Path:
        file = self._files.get(str(PurePosixPath(name)))
        if file is None:
            raise self._error(f"damaged: {name} is missing")
        return file

    def _open(self, name: str) -> IO[bytes]:
        return self._file(name).open("rb")

    def _location(self, name: str) -> BlobLocation:
        return BlobLocation(self._file(name), 0, self._file(name).stat().st_size)


def _named_digest(stream: IO[bytes], name: str, diff_id: str) -> str:
    """Return the digest in a member's name, or the diff id of an uncompressed layer; else ""."""
    if len(name) == 64:
        return name
    is_packed = stream.read(4).startswith((GZIP, ZSTD))
    stream.seek(0)
    return "" if is_packed else diff_id.partition(":")[2]


def _digests(stream: IO[bytes]) -> tuple[str, str]:
    """Return the sha256 of the bytes, and of their uncompressed content ("" for zstd, which is not read here)."""
    magic = stream.read(4)
    stream.seek(0)
    packed = hashlib.sha256()
    if not magic.startswith(GZIP):
        for piece in _pieces(stream):
            packed.update(piece)
        return packed.hexdigest(), "" if magic == ZSTD else packed.hexdigest()
    unpacked, unzip = hashlib.sha256(), zlib.decompressobj(wbits=31)
    try:
        for piece in _pieces(stream, PACKED_PIECE):
            packed.update(piece)
            while piece:
                unpacked.update(unzip.decompress(piece))
                piece = unzip.unused_data
                if piece:
                    unzip = zlib.decompressobj(wbits=31)
    except zlib.error:
        return packed.hexdigest(), "damaged"
    return packed.hexdigest(), unpacked.hexdigest()


def _pieces(stream: IO[bytes], size_bytes: int = PIECE) -> Iterator[bytes]:
    yield from iter(lambda: stream.read(size_bytes), b"")


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)
