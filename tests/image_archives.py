"""Small image archives in the layouts that real tools write."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer(text: str) -> bytes:
    """A layer with one file in it."""
    return tar_of({"file": text.encode()})


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """Return a tar archive of files (name → content) and symbolic links (name → target)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return stream.getvalue()


def zstd_of(data: bytes) -> bytes:
    """Return a zstd frame of one raw block (RFC 8878): a real decoder unpacks it, and none is needed to make it."""
    assert 256 <= len(data) < 65_792
    header = b"\x28\xb5\x2f\xfd\x60" + (len(data) - 256).to_bytes(2, "little")
    return header + (len(data) << 3 | 1).to_bytes(3, "little") + data


def config_of(layers: list[bytes], command: str = "run", architecture: str = "amd64") -> bytes:
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": [command]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(data)}" for data in layers]},
    }
    return json.dumps(document).encode()


def save_20(path: Path, layers: list[bytes], tags: list[str], command: str = "run") -> str:
    """Write what `docker save` 20.10 does: a directory per layer, a repeated layer as a link. Return the image id."""
    config = config_of(layers, command)
    files, links, names = {f"{sha256(config)}.json": config}, {}, []
    for number, data in enumerate(layers):
        name = f"{number:064x}/layer.tar"
        if data in layers[:number]:
            links[name] = f"../{layers.index(data):064x}/layer.tar"
        else:
            files[name] = data
        names.append(name)
    manifest = [{"Config": f"{sha256(config)}.json", "RepoTags": tags or None, "Layers": names}]
    path.write_bytes(tar_of({**files, "manifest.json": json.dumps(manifest).encode()}, links))
    return f"sha256:{sha256(config)}"


def save_25(path: Path, layers: list[bytes], tags: list[str], command: str = "run") -> str:
    """Write what `docker save` 25 and later do: blobs by digest, manifest.json beside index.json."""
    config = config_of(layers, command)
    blobs = {f"blobs/sha256/{sha256(data)}": data for data in (config, *layers)}
    names = [f"blobs/sha256/{sha256(data)}" for data in layers]
    manifest = [{"Config": f"blobs/sha256/{sha256(config)}", "RepoTags": tags or None, "Layers": names}]
    path.write_bytes(tar_of({**blobs, "index.json": b"{}", "manifest.json": json.dumps(manifest).encode()}))
    return f"sha256:{sha256(config)}"


def save_oci(path: Path, layers: list[bytes], tags: list[str], command: str = "run") -> str:
    """Write an OCI layout without manifest.json: an index in an index, compressed layers, an attestation beside."""
    config = config_of(layers, command)
    packed = [gzip.compress(data, mtime=0) for data in layers]
    manifest = json.dumps({"config": _descriptor(config), "layers": [_descriptor(data) for data in packed]}).encode()
    inner = json.dumps({"manifests": [_descriptor(manifest)]}).encode()
    attestation = {**_descriptor(b"{}"), "platform": {"os": "unknown", "architecture": "unknown"}}
    index = json.dumps({"manifests": [_descriptor(inner), attestation]}).encode()
    blobs = {f"blobs/sha256/{sha256(data)}": data for data in (config, manifest, inner, b"{}", *packed)}
    path.write_bytes(tar_of({**blobs, "index.json": index}))
    return f"sha256:{sha256(config)}"


def save_podman(path: Path, images: dict[str, list[bytes]]) -> None:
    """Write what `podman save -m` does: one manifest.json for several images, layers by their diff id, full names."""
    files, manifest = {}, []
    for name, layers in images.items():
        config = config_of(layers)
        files[f"{sha256(config)}.json"] = config
        files.update({f"{sha256(data)}.tar": data for data in layers})
        names = [f"{sha256(data)}.tar" for data in layers]
        manifest.append({"Config": f"{sha256(config)}.json", "RepoTags": [name], "Layers": names})
    path.write_bytes(tar_of({**files, "manifest.json": json.dumps(manifest).encode()}))


def save_layout(path: Path, images: dict[str, list[bytes]], key: str = "org.opencontainers.image.ref.name") -> None:
    """Write what skopeo does when it copies several images into one oci-archive: an index with their names."""
    blobs, entries = {}, []
    for name, layers in images.items():
        parts = [config_of(layers), *layers]
        document = {
            "schemaVersion": 2,
            "config": {**_descriptor(parts[0]), "mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [_descriptor(data) for data in layers],
        }
        manifest = json.dumps(document).encode()
        entries.append({**_descriptor(manifest), "annotations": {key: name}})
        blobs.update({f"blobs/sha256/{sha256(data)}": data for data in (manifest, *parts)})
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    path.write_bytes(tar_of({**blobs, "index.json": index, "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}))


def save_directory(path: Path, layers: list[bytes], manifest: dict[str, object] | None = None) -> str:
    """Write the transport ``dir`` of skopeo (``podman save --format docker-dir``); return the image's id."""
    parts = [config_of(layers), *layers]
    document = manifest or {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {**_descriptor(parts[0]), "mediaType": "application/vnd.docker.container.image.v1+json"},
        "layers": [_descriptor(data) for data in layers],
    }
    path.mkdir()
    (path / "version").write_text("Directory Transport Version: 1.1\n")
    (path / "manifest.json").write_text(json.dumps(document))
    for data in parts:
        (path / sha256(data)).write_bytes(data)
    return f"sha256:{sha256(parts[0])}"


def save_documents(path: Path, index: object, *documents: object, name: str = "index.json") -> None:
    """Write an archive with an index (or manifest) of any content, and JSON documents as blobs."""
    blobs = [json.dumps(document).encode() for document in documents]
    files = {f"blobs/sha256/{sha256(data)}": data for data in blobs}
    path.write_bytes(tar_of({**files, name: json.dumps(index).encode()}))


def descriptor(document: object) -> dict[str, object]:
    """Return the descriptor of a document that `save_documents` writes."""
    return _descriptor(json.dumps(document).encode())


def _descriptor(data: bytes) -> dict[str, object]:
    return {"digest": f"sha256:{sha256(data)}", "size": len(data)}


SAVERS = {"docker 20.10": save_20, "docker 25": save_25, "oci": save_oci}
