"""Images on hosts: what is seen, and which bytes travel."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.converge import converge
from orchestr.agent.resource import Task
from orchestr.blobs import BlobStore
from orchestr.images.archive import ImageSource, open_archive
from orchestr.resources.docker.engine import familiar, tagged
from orchestr.resources.docker.images import LOGINS, PulledImage, repository, verified
from orchestr.transport.memory import MemorySystem
from tests.image_archives import config_of, layer, save_25, sha256, tar_of, zstd_of
from tests.resources.engine_double import ENGINES, EngineDouble, answers
from tests.resources.fakes.image_engine import ImageEngine

DIGEST = "sha256:" + "b" * 64
LAYERS = [layer("base"), layer("middle"), layer("top")]


class Host:
    """An engine that loads what is piped into it, beside a controller that counts the bytes it sends."""

    def __init__(self, tmp_path: Path) -> None:
        self.engine = EngineDouble()
        self.engine.host.commands[("docker", "load")] = self._load
        self.store = BlobStore()
        self.sent: list[str] = []
        self.said: list[str] = []
        self.loads: list[list[str]] = []
        self.refuses_partial = False
        self._path = tmp_path

    def source(self, layers: list[bytes], command: str = "run") -> ImageSource:
        path = self._path / f"{len(list(self._path.iterdir()))}.tar"
        save_25(path, layers, ["app:1"], command)
        source = open_archive(path, cache=self._path)
        source.register(self.store)
        return source

    def run(self, source: ImageSource) -> dict[str, Any]:
        system = MemorySystem(self.engine.host, fetch=self._fetch, on_output=self.said.append)
        return converge(Task(source.resource()), system, False, False)

    def _fetch(self, digest: str, size_bytes: int) -> Iterator[bytes]:
        self.sent.append(digest)
        yield from self.store.chunks(digest)

    def _load(self, system: MemorySystem, words: tuple[str, ...], archive: bytes) -> Any:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            names = tar.getnames()
            self.loads.append(names)
            entry = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
            config = tar.extractfile(entry["Config"]).read()  # type: ignore[union-attr]
            given = {name: sha256(tar.extractfile(name).read()) for name in entry["Layers"] if name in names}  # type: ignore[union-attr]
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        if self.refuses_partial and len(given) < len(diff_ids):
            return 1, "", "open /var/lib/docker/tmp/0/layer.tar: no such file or directory"
        assert all(f"sha256:{digest}" == diff_ids[entry["Layers"].index(name)] for name, digest in given.items())
        for image in self.engine.images:
            image["RepoTags"] = [tag for tag in image["RepoTags"] if tag not in entry["RepoTags"]]
        image_id = f"sha256:{sha256(config)}"
        self.engine.images.append({"Id": image_id, "RepoTags": entry["RepoTags"]})
        self.engine.details[image_id] = {"Id": image_id, "RootFS": {"Layers": diff_ids}}
        return 0, f"Loaded image: {entry['RepoTags'][0]}\n"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_first_push_sends_everything_and_a_second_nothing(host: Host) -> None:
    """The image arrives whole, under its name; then it is ok, without a process and without a byte."""
    source = host.source(LAYERS)
    assert host.run(source)["verdict"] == "changed"
    assert sorted(host.sent) == sorted(source.blobs)
    assert tagged(host.engine.system, "app:1")["Id"] == source.image_id  # type: ignore[index]
    host.sent.clear()
    host.engine.host.log.clear()
    assert host.run(source)["verdict"] == "ok"
    assert host.sent == [] and host.engine.host.log == []


def test_a_new_top_layer_sends_only_that(host: Host) -> None:
    """Of a rebuilt image only the changed layer and the configuration travel."""
    host.run(host.source(LAYERS))
    host.sent.clear()
    source = host.source([*LAYERS[:2], layer("new top")])
    result = host.run(source)
    assert result["verdict"] == "changed" and result["diff"].endswith(source.image_id[7:19])
    assert host.sent == [source.config.sha256, source.layers[2].blob.sha256]


def test_only_layers_with_the_same_ones_below_count(host: Host) -> None:
    """A layer the engine has on top of others is not the layer that is needed, and is sent."""
    host.run(host.source(LAYERS))
    host.sent.clear()
    source = host.source([layer("other base"), LAYERS[1], LAYERS[2]])
    assert host.run(source)["verdict"] == "changed"
    assert len(host.sent) == 4


def test_another_configuration_of_the_same_layers_is_another_image(host: Host) -> None:
    """An image that differs in its command alone is sent again, but none of its layers."""
    host.run(host.source(LAYERS))
    host.sent.clear()
    source = host.source(LAYERS, command="serve")
    assert host.run(source)["verdict"] == "changed" and host.sent == [source.config.sha256]


def test_an_engine_that_refuses_a_partial_archive_gets_all(host: Host) -> None:
    """When the engine does not load without the layers it has, the whole image is sent."""
    host.run(host.source(LAYERS))
    host.refuses_partial = True
    source = host.source([*LAYERS[:2], layer("new top")])
    assert host.run(source)["verdict"] == "changed"
    assert len(host.loads[-1]) == 5 and any("sending all" in line for line in host.said)


def test_a_full_disk_is_not_tried_twice(host: Host) -> None:
    """The engine's complaint reaches the user, and a full disk is not filled again."""
    host.run(host.source(LAYERS))
    host.engine.host.commands[("docker", "load")] = (1, "", "write /layer.tar: no space left on device")
    host.engine.host.log.clear()
    error = host.run(host.source([*LAYERS[:2], layer("x")]))["error"]
    assert "refused app:1" in error["message"] and "no space left" in error["stderr"]
    assert len(host.engine.ran("docker", "load")) == 1


def test_a_blob_damaged_on_the_way_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not the layer never become one."""
    source = host.source(LAYERS)
    good = host.store.chunks

    def chunks(digest: str) -> Iterator[bytes]:
        data = b"".join(good(digest))
        yield data if digest != source.layers[1].blob.sha256 else data[:-1] + b"!"

    monkeypatch.setattr(host.store, "chunks", chunks)
    assert "damaged" in host.run(source)["error"]["message"]
    assert host.engine.images == []


def test_what_an_engine_does_not_take_is_taken_off_the_line(host: Host) -> None:
    """When the engine stops reading inside a layer, the rest of it does not become the start of the next blob."""
    source = host.source(LAYERS)
    left = [b"a", b"b", b"c"]

    def fetch(digest: str, size_bytes: int) -> Iterator[bytes]:
        while left:
            yield left.pop(0)

    chunks = verified(MemorySystem(host.engine.host, fetch=fetch), source.layers[0].blob)
    next(chunks)
    assert left
    chunks.close()
    assert left == []


def test_progress_names_the_layer(host: Host) -> None:
    """A long transfer says which layer is under way and how large it is."""
    host.run(host.source(LAYERS))
    assert "app:1: layer 2 of 3, 0.0 MB\n" in host.said


def test_an_engine_that_names_images_by_manifest_is_understood(host: Host) -> None:
    """With a containerd store the id differs from the configuration's digest; what was loaded is remembered as ours."""
    host.engine.info = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    load = host._load

    def renamed(*given: Any) -> Any:
        answer = load(*given)
        host.engine.images[-1]["Id"] = "sha256:" + "f" * 64
        return answer

    host.engine.host.commands[("docker", "load")] = renamed
    source = host.source(LAYERS)
    assert host.run(source)["verdict"] == "changed"
    assert host.run(source)["verdict"] == "ok"
    host.engine.images[-1]["Id"] = "sha256:" + "e" * 64
    assert host.run(source)["verdict"] == "changed"


@pytest.mark.parametrize("check", [True, False])
def test_layers_that_the_engine_does_not_read_are_not_sent(tmp_path: Path, check: bool) -> None:
    """An old engine would say "unexpected EOF" of zstd after all was sent; a plan says it too. A newer one loads it."""

    def load(system: MemorySystem, words: tuple[str, ...], archive: bytes) -> Any:
        host.engine.images.append({"Id": source.image_id, "RepoTags": ["app:1"]})
        return 0, "Loaded image: app:1\n"

    for version, verdict in (("20.10", "failed"), ("26.1", "changed")):
        host = Host(tmp_path)
        host.engine = EngineDouble(version)
        host.engine.host.commands[("docker", "load")] = load
        config = config_of(LAYERS)
        manifest = [{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a", "b", "c"]}]
        files = {"c.json": config, "manifest.json": json.dumps(manifest).encode(), "a": zstd_of(LAYERS[0])}
        (tmp_path / "z.tar").write_bytes(tar_of({**files, "b": LAYERS[1], "c": LAYERS[2]}))
        source = open_archive(tmp_path / "z.tar", cache=tmp_path)
        source.register(host.store)
        system = MemorySystem(host.engine.host, fetch=host._fetch, read_only=check)
        result = converge(Task(source.resource()), system, check, False)
        assert (result["verdict"], host.sent == []) == (verdict, check or verdict == "failed"), result
        if verdict == "failed":
            assert "compressed with zstd, which Docker 20.10" in result["error"]["message"]
            assert "--dest-compress-format gzip" in result["error"]["next_step"]


@pytest.mark.parametrize("version", ENGINES)
def test_references_are_found_in_real_listings(version: str) -> None:
    """A reference is found however fully it is written."""
    engine = EngineDouble(version)
    engine.images = answers(version)["images"]
    for name in ("exp/app:1", "docker.io/exp/app:1"):
        assert tagged(engine.system, name) is not None
    assert tagged(engine.system, "exp/app") is None


@pytest.mark.parametrize(
    ("reference", "name", "repo"),
    [
        ("redis", "redis:latest", "redis"),
        ("docker.io/library/redis:7", "redis:7", "redis"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app"),
        ("registry.example.com/a/b:1", "registry.example.com/a/b:1", "registry.example.com/a/b"),
    ],
)
def test_references_are_written_as_the_engine_lists_them(reference: str, name: str, repo: str) -> None:
    """Default registry and default tag are what Docker makes of them; a port is not a tag."""
    assert (familiar(reference), repository(reference)) == (name, repo)


# -- pulled ----------------------------------------------------------------------------------------------------------
def test_a_present_image_is_not_pulled() -> None:
    """An image that is there by name is left alone, also when the registry has a newer one."""
    engine = EngineDouble()
    engine.images = [{"Id": "sha256:1", "RepoTags": ["redis:7"], "RepoDigests": ["redis@sha256:aa"]}]
    assert converge(Task(PulledImage("redis:7")), engine.system, False, False)["verdict"] == "ok"
    assert engine.host.log == []


def test_a_pinned_image_is_pulled_by_digest_and_named() -> None:
    """With a digest the tag may mean something else; that digest is pulled and takes the name."""
    engine = EngineDouble()
    engine.images = [{"Id": "sha256:1", "RepoTags": ["redis:7"], "RepoDigests": ["redis@sha256:aa"]}]

    def tag(*_: Any) -> None:
        engine.images[0]["RepoDigests"] = [f"redis@{DIGEST}"]

    engine.host.commands[("docker", "pull")] = ""
    engine.host.commands[("docker", "tag")] = tag
    assert converge(Task(PulledImage("redis:7", DIGEST)), engine.system, False, False)["verdict"] == "changed"
    assert engine.host.log == [
        ("docker", "pull", "--quiet", f"redis@{DIGEST}"),
        ("docker", "tag", f"redis@{DIGEST}", "redis:7"),
    ]


def test_a_failing_pull_says_what_else_can_be_done() -> None:
    """The registry's words and the way without a registry are in the error."""
    engine = EngineDouble()
    engine.host.commands[("docker", "pull")] = (1, "", "dial tcp: lookup registry: no such host")
    error = converge(Task(PulledImage("redis:7")), engine.system, False, False)["error"]
    assert error["message"] == "redis:7 could not be pulled" and "no such host" in error["stderr"]
    assert "over SSH" in error["next_step"]


PINNED = "redis:7@sha256:" + "7" * 64


@pytest.fixture
def registry() -> ImageEngine:
    """An engine whose registry has redis:7."""
    engine = ImageEngine()
    engine.offered = {"redis:7": "sha256:" + "7" * 64}
    return engine


@pytest.mark.parametrize("reference", [PINNED, "docker.io/library/" + PINNED, PINNED.replace(":7@", "@")])
def test_a_reference_with_a_digest_is_that_content(registry: ImageEngine, reference: str) -> None:
    """It is pulled by digest alone, found by digest however it is written, and no tag is moved for it."""
    registry.give("redis:7", "sha256:1", [], "sha256:" + "1" * 64)
    assert converge(Task(PulledImage(reference)), registry.system, False, False)["verdict"] == "changed"
    assert registry.host.log == [("docker", "pull", "--quiet", "redis@sha256:" + "7" * 64)]
    assert converge(Task(PulledImage(reference)), registry.system, False, False)["verdict"] == "ok"
    assert (tagged(registry.system, "redis:7") or {})["Id"] == "sha256:1"


@pytest.mark.parametrize("arguments", [("redis@7",), (PINNED, DIGEST), ("redis:7", "bb")])
def test_digests_that_are_none_are_refused(arguments: tuple[str, ...]) -> None:
    """A mistake in a digest is told before any host is touched."""
    with pytest.raises(ValueError, match="digest"):
        PulledImage(*arguments)


def test_logins_come_from_a_file(registry: ImageEngine) -> None:
    """Where there are logins, docker is told the directory that holds them, and nothing else."""
    registry.host.add_file(f"{LOGINS}/config.json", '{"auths": {}}', 0o600)
    assert converge(Task(PulledImage("redis:7")), registry.system, False, False)["verdict"] == "changed"
    assert registry.host.log == [("docker", "--config", LOGINS, "pull", "--quiet", "redis:7")]


def test_a_large_layer_tells_how_much_of_it_has_gone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one layer is on its way for long, its percentage is said now and then."""
    monkeypatch.setattr("orchestr.resources.docker.images.PROGRESS_BYTES", 1024)
    good = host.store.chunks
    monkeypatch.setattr(host.store, "chunks", lambda digest: iter(_pieces(b"".join(good(digest)), 1024)))
    host.run(host.source(LAYERS))
    shares = [line.rpartition(", ")[2] for line in host.said if "layer 1 of 3" in line and "%" in line]
    assert len(shares) > 3 and shares == sorted(shares, key=lambda text: int(text.split()[0]))


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
