"""Image archives: any file or directory is an image whose parts lie in it, or an InputError."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from orchestr.errors import InputError
from orchestr.images.layout import ImageSource, read_archive, read_layout
from tests.fuzz.effort import altered, fuzz, read_within_limits
from tests.image_archives import SAVERS, layer, sha256, tar_of

REFERENCES = st.sampled_from(["", "app:1", "app", "docker.io/library/app:1", "other:2", "app@sha256:" + "0" * 64])
SAVED = st.sampled_from(sorted(SAVERS))
LAYERS = [layer("base"), layer("top")]
DIGEST = "sha256:" + sha256(LAYERS[0])
#: Names and values of manifests, indexes and configurations, right and wrong.
NAMES = [
    "Config", "Layers", "RepoTags", "manifests", "config", "layers", "digest", "mediaType", "platform", "os",
    "architecture", "rootfs", "diff_ids", "annotations", "org.opencontainers.image.ref.name", "schemaVersion", "size",
    "variant",
]  # fmt: skip
WORDS = [
    "app:1", DIGEST, "sha256:", "sha256:../../../etc/passwd", "../x", "/etc/passwd",
    "blobs/sha256/" + sha256(LAYERS[0]), "linux", "amd64", "unknown", "application/vnd.oci.image.index.v1+json",
    "md5:00", "manifest.json", "", "app@sha256:" + "0" * 64, "App 1", "0" * 64,
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)


def _files_of(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar if member.isfile()}


def _saved(folder: Path, saver: str) -> bytes:
    SAVERS[saver](folder / "saved.tar", LAYERS, ["app:1"])
    return (folder / "saved.tar").read_bytes()


def _check(path: Path, source: ImageSource | None) -> None:
    """Every part lies within the file that was read, and is what the host will be told that it is."""
    for location in source.blobs.values() if source is not None else ():
        assert location.path == path or path in location.path.parents
        size_bytes = location.path.stat().st_size
        assert 0 <= location.offset <= location.offset + location.size_bytes <= size_bytes
    if source is not None:
        source.resource()


@fuzz(SAVED, REFERENCES, st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=4)), max_size=4), examples=120)
def test_a_damaged_archive_is_read_or_refused(
    tmp_path: Path, saver: str, reference: str, changes: list[tuple[int, bytes]]
) -> None:
    """Bytes changed anywhere: in headers of members, in JSON, in layers."""
    data = bytearray(_saved(tmp_path, saver))
    for place, new in changes:
        start = place % len(data)
        data[start : start + len(new)] = new
    path = tmp_path / "app.tar"
    path.write_bytes(data)
    _check(path, read_within_limits(lambda: read_archive(path, reference), InputError))


@fuzz(SAVED, REFERENCES, st.integers(0, 9), VALUES, st.booleans(), examples=150)
def test_any_document_in_an_archive_is_read_or_refused(
    tmp_path: Path, saver: str, reference: str, which: int, document: Any, is_unpacked: bool
) -> None:
    """A manifest, index or configuration with any content, under the digest that its name asks for or another."""
    files = _files_of(_saved(tmp_path, saver))
    documents = sorted(name for name, data in files.items() if data.startswith((b"{", b"[")))
    name = documents[which % len(documents)]
    files[name] = json.dumps([document] if name == "manifest.json" and which % 2 else document).encode()
    _read_both(tmp_path, files, reference, is_unpacked)


JSON = ["{", "}", "[", "]", ",", '"', ":", "null", "0", *(f'"{word}"' for word in (*NAMES, *WORDS))]
MANIFEST = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l/layer.tar"]}])


@fuzz(altered([MANIFEST, '{"manifests": []}'], JSON), REFERENCES, examples=60)
def test_any_manifest_is_read_or_refused(tmp_path: Path, text: str, reference: str) -> None:
    """Text that may be no JSON."""
    data = text.encode("utf-8", "surrogatepass")
    _read_both(tmp_path, {"manifest.json": data, "c.json": b"{}", "l/layer.tar": LAYERS[0]}, reference, False)
    _read_both(tmp_path, {"index.json": data, "oci-layout": b"{}"}, reference, False)


def _read_both(folder: Path, files: dict[str, bytes], reference: str, is_unpacked: bool) -> None:
    if not is_unpacked:
        path = folder / "app.tar"
        path.write_bytes(tar_of(files))
        _check(path, read_within_limits(lambda: read_archive(path, reference), InputError))
        return
    path = folder / sha256(json.dumps(sorted(files)).encode() + b"".join(files.values()))
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    _check(path, read_within_limits(lambda: read_layout(path, reference), InputError))
