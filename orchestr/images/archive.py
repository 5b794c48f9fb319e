"""Images of this machine, ready to be pushed over SSH: saved once by the local engine, or from an archive of the user.

Saved images stay in ``~/.cache/orchestr/images`` (0700; ``XDG_CACHE_HOME`` is respected) under the image's id, beside
an index of their layers (offset and digest), so that the next run neither saves nor reads the image again. When a name
points to another image, the former image is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from orchestr import atomic_file
from orchestr.errors import InputError
from orchestr.images.layout import BlobLocation, ImageSource, read_archive, read_layout
from orchestr.resources.docker.engine import familiar
from orchestr.resources.docker.images import ImageLayer
from orchestr.resources.files import Blob

INDEX_FORM = 2  # of the index beside an archive; another one is made anew

__all__ = ["BlobLocation", "ImageSource", "cache_directory", "open_archive", "open_image"]


def cache_directory() -> Path:
    """Return the directory of saved images; create it (0700) if it does not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = Path(base).expanduser() / "orchestr" / "images"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def open_image(reference: str, *, docker: str = "docker", cache: Path | None = None) -> ImageSource:
    """Return an image of the local engine, saved at most once. Raises InputError if the engine does not have it."""
    reference = familiar(reference)
    cache = cache or cache_directory()
    saved_as = _docker(docker, ["image", "inspect", "--format", "{{.Id}}", reference], reference).strip()
    archive = cache / f"{saved_as.rpartition(':')[2]}.tar"
    is_new = not archive.exists()
    if is_new:
        _save(docker, reference, archive)
    source = _open_indexed(archive, archive.with_suffix(".json"), reference, is_just_saved=is_new)
    _forget_former(cache, archive, reference)
    return source


def open_archive(path: Path, reference: str = "", *, cache: Path | None = None) -> ImageSource:
    """Return the image in a docker-save archive or an OCI layout, packed or a directory.

    Raises InputError if there is none, if it is damaged, or if there are several and no name is given.
    """
    if path.is_dir():
        return read_layout(path, reference)
    key = hashlib.sha256(f"{path.resolve()}\n{reference}".encode()).hexdigest()
    return _open_indexed(path, (cache or cache_directory()) / f"archive-{key}.json", reference)


def _docker(docker: str, arguments: list[str], reference: str) -> str:
    try:
        done = subprocess.run([docker, *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(
            f"the image {reference} is to be pushed from this machine, but {docker} cannot be run: {error.strerror}",
            next_step="install Docker here, or give the image as a file (docker save -o FILE on a machine that has it)",
        ) from error
    if done.returncode != 0:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise InputError(
            f"the image {reference} is to be pushed from this machine, which does not have it: {reason}",
            next_step=f"build it, or fetch it with: docker pull {reference}",
        )
    return done.stdout


def _save(docker: str, reference: str, archive: Path) -> None:
    with atomic_file.beside(archive) as temporary:
        _docker(docker, ["image", "save", "--output", str(temporary), reference], reference)
        temporary.chmod(atomic_file.PRIVATE)  # docker writes another file under this name
        atomic_file.put(temporary, archive)


# -- the index beside an archive: valid as long as the file stays the same ---------------------------------------------
def _open_indexed(archive: Path, index: Path, reference: str, is_just_saved: bool = False) -> ImageSource:
    known = _load(index)
    try:
        stamp = _stamp(archive)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=archive) from error
    references = known.get("references", [])
    if known.get("stamp") != stamp or known.get("form") != INDEX_FORM:
        source = read_archive(archive, reference, is_just_saved)
        known, references = {"form": INDEX_FORM, "stamp": stamp, "image": _plain(source)}, []
    else:
        source = _source(known["image"], archive, reference)
    if source.reference not in references:
        _write(index, {**known, "references": [*references, source.reference]})
    return source


def _stamp(archive: Path) -> list[int]:
    status = archive.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _plain(source: ImageSource) -> dict[str, Any]:
    return {
        "reference": source.reference,
        "image_id": source.image_id,
        "config": source.config.sha256,
        "architecture": source.architecture,
        "saved_as": source.saved_as,
        "layers": [[layer.diff_id, layer.blob.sha256, layer.is_zstd] for layer in source.layers],
        "blobs": {digest: [location.offset, location.size_bytes] for digest, location in source.blobs.items()},
    }


def _source(plain: dict[str, Any], archive: Path, reference: str) -> ImageSource:
    blobs = {digest: BlobLocation(archive, offset, size) for digest, (offset, size) in plain["blobs"].items()}
    layers = tuple(
        ImageLayer(diff_id, Blob(digest, blobs[digest].size_bytes), is_zstd)
        for diff_id, digest, is_zstd in plain["layers"]
    )
    config = Blob(plain["config"], blobs[plain["config"]].size_bytes)
    name = familiar(reference) if reference else plain["reference"]
    return ImageSource(name, plain["image_id"], config, layers, blobs, plain["architecture"], plain["saved_as"])


def _load(index: Path) -> dict[str, Any]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(index: Path, content: dict[str, Any]) -> None:
    atomic_file.write(index, json.dumps(content).encode())


def _forget_former(cache: Path, archive: Path, reference: str) -> None:
    """Remove a name from the other saved images; delete images without a name."""
    for index in cache.glob("*.json"):
        former = index.with_suffix(".tar")
        known = _load(index)
        if former == archive or index.name.startswith("archive-") or reference not in known.get("references", []):
            continue
        left = [name for name in known["references"] if name != reference]
        if left:
            _write(index, {**known, "references": left})
        else:
            index.unlink(missing_ok=True)
            former.unlink(missing_ok=True)
