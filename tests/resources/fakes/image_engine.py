"""An engine that takes images: docker load, pull and tag over the state that its API then shows."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

from orchestr.resources.docker.images import LOGINS
from orchestr.transport.memory import MemorySystem
from tests.image_archives import sha256
from tests.resources.engine_double import EngineDouble


class ImageEngine(EngineDouble):
    """``offered``: what a registry has, reference → digest. ``blobs``: what the controller has, digest → bytes.

    ``refuses_partial``: it does not load an archive that lacks layers, as an engine may.
    """

    def __init__(self, version: str = "26.1") -> None:
        super().__init__(version)
        self.offered: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.refuses_partial = False
        self.host.commands[("docker", "load")] = self._load
        self.host.commands[("docker", "pull")] = self._pull
        self.host.commands[("docker", "--config", LOGINS, "pull")] = self._pull
        self.host.commands[("docker", "tag")] = self._tag
        self.host.commands[("systemctl", "start", "docker")] = self._start
        self.host.commands[("journalctl",)] = ""

    def fetch(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob as the controller sends it, in two pieces."""
        data = self.blobs[digest]
        yield data[: len(data) // 2]
        yield data[len(data) // 2 :]

    def give(self, reference: str, image_id: str, layers: list[str], digest: str = "") -> None:
        """Put an image there under a reference, and take the reference from whoever had it."""
        self._untag(reference)
        found = next((each for each in self.images if each["Id"] == image_id), None)
        if found is None:
            found = {"Id": image_id, "RepoTags": [], "RepoDigests": []}
            self.images.append(found)
            self.details[image_id] = {"Id": image_id, "RootFS": {"Layers": layers}}
        if reference:
            found["RepoTags"].append(reference)
        name = reference.rpartition(":")[0]
        if digest and f"{name}@{digest}" not in found["RepoDigests"]:
            found["RepoDigests"].append(f"{name}@{digest}")

    def _untag(self, reference: str) -> None:
        for image in self.images:
            image["RepoTags"] = [tag for tag in image["RepoTags"] if tag != reference]

    def _load(self, system: MemorySystem, words: tuple[str, ...], archive: bytes) -> Any:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        entry = json.loads(files["manifest.json"])[0]
        config = files[entry["Config"]]
        layers = json.loads(config)["rootfs"]["diff_ids"]
        missing = [number for number, name in enumerate(entry["Layers"]) if name not in files]
        known = [each["RootFS"]["Layers"][: len(layers)] for each in self.details.values()]
        has_them = any(found[: len(missing)] == layers[: len(missing)] for found in known)
        if missing and (self.refuses_partial or not has_them):
            return 1, "", "open /var/lib/docker/tmp/0/layer.tar: no such file or directory"
        self.give(entry["RepoTags"][0], f"sha256:{sha256(config)}", layers)
        return f"Loaded image: {entry['RepoTags'][0]}\n"

    def _pull(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        wanted = words[-1]
        name, _, digest = wanted.partition("@")
        if digest:
            offered = [ref for ref, each in self.offered.items() if (ref.rpartition(":")[0], each) == (name, digest)]
        else:
            offered = [wanted] if wanted in self.offered else []
        if not offered:
            return 1, "", f"Error response from daemon: manifest for {wanted} not found: manifest unknown"
        digest = self.offered[offered[0]]
        self.give("" if "@" in wanted else wanted, f"sha256:{sha256(digest.encode())}", [], "")
        found = next(each for each in self.images if each["Id"] == f"sha256:{sha256(digest.encode())}")
        exact = f"{offered[0].rpartition(':')[0]}@{digest}"
        found["RepoDigests"] = sorted({*found["RepoDigests"], exact})
        return wanted + "\n"

    def _tag(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        found = [each for each in self.images if words[2] in (*each["RepoTags"], *each["RepoDigests"])]
        if not found:
            return 1, "", f"Error response from daemon: No such image: {words[2]}"
        self._untag(words[3])
        found[0]["RepoTags"].append(words[3])
        return None

    def _start(self, system: MemorySystem, words: tuple[str, ...], input: bytes) -> Any:
        self.is_up = True
