"""Reading image archives where they lie, and saving an image at most once."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from orchestr.blobs import BlobStore
from orchestr.errors import InputError
from orchestr.images import archive as image_archive
from orchestr.images import layout as image_layout
from orchestr.images.archive import open_archive, open_image
from orchestr.images.layout import ImageSource, read_archive
from orchestr.resources.docker.engine import familiar
from tests.image_archives import (
    SAVERS,
    config_of,
    descriptor,
    layer,
    save_20,
    save_25,
    save_directory,
    save_documents,
    save_layout,
    save_oci,
    save_podman,
    sha256,
    tar_of,
    zstd_of,
)

LAYERS = [layer("base"), layer("middle"), layer("top")]
Saver = Callable[..., str]


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
def test_every_layout_gives_the_same_image(save: Saver, tmp_path: Path) -> None:
    """Whatever tool wrote the archive, the image has the same id and the same layers in order."""
    image_id = save(tmp_path / "app.tar", LAYERS, ["app:1"])
    source = open_archive(tmp_path / "app.tar", "app:1", cache=tmp_path)
    assert source.image_id == image_id
    assert [item.diff_id for item in source.layers] == [f"sha256:{sha256(data)}" for data in LAYERS]
    resource = source.resource()
    assert (resource.reference, resource.image_id) == ("app:1", image_id)


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
def test_blobs_are_served_out_of_the_archive(save: Saver, tmp_path: Path) -> None:
    """What the blob store sends for a layer is the layer, compressed or not, though nothing was unpacked."""
    save(tmp_path / "app.tar", LAYERS, ["app:1"])
    before = set(tmp_path.iterdir())
    store, source = BlobStore(), open_archive(tmp_path / "app.tar", "app:1", cache=tmp_path)
    source.register(store)
    for item, expected in zip(source.layers, LAYERS, strict=True):
        sent = b"".join(store.chunks(item.blob.sha256))
        assert len(sent) == item.blob.size_bytes and sha256(sent) == item.blob.sha256
        assert expected == (gzip.decompress(sent) if sent.startswith(b"\x1f\x8b") else sent)
    assert {path.suffix for path in set(tmp_path.iterdir()) - before} == {".json"}


def test_a_layer_that_occurs_twice_is_found_through_its_link(tmp_path: Path) -> None:
    """docker 20.10 writes a repeated layer as a link; both places mean the same bytes."""
    save_20(tmp_path / "app.tar", [LAYERS[0], LAYERS[1], LAYERS[0]], ["app:1"])
    source = open_archive(tmp_path / "app.tar", cache=tmp_path)
    assert source.layers[0] == source.layers[2] != source.layers[1]


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
def test_a_damaged_layer_is_refused(save: Saver, tmp_path: Path) -> None:
    """One byte changed anywhere in a layer is found before anything is sent."""
    path = tmp_path / "app.tar"
    save(path, LAYERS, ["app:1"])
    place = list(open_archive(path, "app:1", cache=tmp_path).blobs.values())[-1]
    content = bytearray(path.read_bytes())
    content[place.offset + place.size_bytes // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        open_archive(path, "app:1", cache=tmp_path)


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
def test_a_damaged_configuration_is_refused(save: Saver, tmp_path: Path) -> None:
    """A configuration that is still JSON but not the one its name says is found as well."""
    path = tmp_path / "app.tar"
    save(path, LAYERS, ["app:1"], command="run")
    content = path.read_bytes()
    assert content.count(b'"run"') == 1
    path.write_bytes(content.replace(b'"run"', b'"ruN"'))
    with pytest.raises(InputError, match="damaged"):
        open_archive(path, "app:1", cache=tmp_path)


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    """Half an archive is an error that says so, with the file's name."""
    path = tmp_path / "app.tar"
    save_25(path, LAYERS, ["app:1"])
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(InputError) as caught:
        open_archive(path, cache=tmp_path)
    assert str(path) in str(caught.value)


def test_the_wrong_number_of_images_names_them(tmp_path: Path) -> None:
    """A file without a name for its image needs one; given one, the image takes it."""
    save_25(tmp_path / "app.tar", LAYERS, [])
    with pytest.raises(InputError, match="unnamed"):
        open_archive(tmp_path / "app.tar", cache=tmp_path)
    assert open_archive(tmp_path / "app.tar", "mine", cache=tmp_path).reference == "mine:latest"


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    """Any other file, and a compressed archive, are told from an image, with what to do."""
    (tmp_path / "x.tar").write_text("hello")
    with pytest.raises(InputError, match="docker save"):
        open_archive(tmp_path / "x.tar", cache=tmp_path)
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b"x" * 10000))
    with pytest.raises(InputError, match="gunzip"):
        open_archive(tmp_path / "x.tar.gz", cache=tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        open_archive(tmp_path / "none.tar", cache=tmp_path)


def test_digests_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that did not change is not read again; one that did is."""
    path, reads = tmp_path / "app.tar", list[Path]()

    def counted(path: Path, *others: Any) -> ImageSource:
        reads.append(path)
        return read_archive(path, *others)

    save_oci(path, LAYERS, [])
    first = open_archive(path, "app:1", cache=tmp_path)
    monkeypatch.setattr(image_archive, "read_archive", counted)
    assert open_archive(path, "app:1", cache=tmp_path) == first and reads == []
    save_oci(path, [*LAYERS, layer("more")], [])
    assert len(open_archive(path, "app:1", cache=tmp_path).layers) == 4 and len(reads) == 1


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
def test_what_was_just_saved_is_believed(save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same image comes of the digests an archive names, and of what is not packed not a byte is read for it."""
    path, read = tmp_path / "app.tar", list[bytes]()
    save(path, LAYERS, ["app:1"])
    checked = read_archive(path, "app:1")
    digests = image_layout._digests

    def counted(stream: IO[bytes]) -> tuple[str, str]:
        read.append(stream.read(2))
        stream.seek(0)
        return digests(stream)

    monkeypatch.setattr(image_layout, "_digests", counted)
    assert read_archive(path, "app:1", is_just_saved=True) == checked
    assert all(each == b"\x1f\x8b" for each in read)


# -- several images in one archive, and archives of other things ------------------------------------------------------
SEVERAL = {"docker.io/library/redis:7": [layer("redis")], "localhost/app:1": [layer("app")], "quay.io/me/app:2": LAYERS}


@pytest.mark.parametrize("save", [save_podman, save_layout], ids=["podman", "skopeo"])
@pytest.mark.parametrize(
    ("reference", "full"),
    [
        ("redis:7", "docker.io/library/redis:7"),
        ("docker.io/library/redis:7", "docker.io/library/redis:7"),
        ("docker.io/redis:7", "docker.io/library/redis:7"),
        ("app:1", "localhost/app:1"),
        ("localhost/app:1", "localhost/app:1"),
        ("me/app:2", "quay.io/me/app:2"),
    ],
)
def test_one_of_several_images_is_chosen_by_its_name(save: Any, tmp_path: Path, reference: str, full: str) -> None:
    """By the full name or a shorter form of it; it gets the name that was asked for."""
    save(tmp_path / "all.tar", SEVERAL)
    source = open_archive(tmp_path / "all.tar", reference, cache=tmp_path)
    assert [item.diff_id for item in source.layers] == [f"sha256:{sha256(data)}" for data in SEVERAL[full]]
    assert source.image_id == f"sha256:{sha256(config_of(SEVERAL[full]))}"
    assert source.reference in (reference, "redis:7")


@pytest.mark.parametrize("save", [save_podman, save_layout], ids=["podman", "skopeo"])
@pytest.mark.parametrize("reference", ["", "nginx:1", "redis:8", "app"])
def test_a_name_of_none_of_several_is_refused(save: Any, tmp_path: Path, reference: str) -> None:
    """The names that there are are listed."""
    save(tmp_path / "all.tar", SEVERAL)
    with pytest.raises(InputError, match="it holds 3 images") as caught:
        open_archive(tmp_path / "all.tar", reference, cache=tmp_path)
    assert all(name in str(caught.value) for name in SEVERAL)


def test_a_layout_names_its_images_as_its_tool_does(tmp_path: Path) -> None:
    """By tag alone in a layout of one repository; containerd by an annotation of its own; alone, it keeps its name."""
    save_layout(tmp_path / "tags.tar", {"7": LAYERS[:1], "8": LAYERS})
    assert len(open_archive(tmp_path / "tags.tar", "redis:8", cache=tmp_path).layers) == 3
    save_layout(tmp_path / "one.tar", {"docker.io/library/redis:7": LAYERS}, "io.containerd.image.name")
    assert open_archive(tmp_path / "one.tar", cache=tmp_path).reference == "redis:7"


def test_only_the_platform_that_is_there_counts(tmp_path: Path) -> None:
    """Docker's containerd store saves an index of all platforms and the blobs of one."""
    config = {"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}
    manifest = {"config": descriptor(config), "layers": []}
    absent = {**descriptor({"other": 1}), "platform": {"os": "linux", "architecture": "s390x"}}
    inner = {"manifests": [absent, {**descriptor(manifest), "platform": {"os": "linux", "architecture": "arm64"}}]}
    save_documents(tmp_path / "a.tar", {"manifests": [descriptor(inner)]}, inner, manifest, config)
    assert open_archive(tmp_path / "a.tar", "app:1", cache=tmp_path).architecture == "arm64"
    save_documents(tmp_path / "b.tar", {"manifests": [descriptor(inner)]}, inner, manifest, config, {"other": 1})
    with pytest.raises(InputError, match=r"2 platforms.*linux/s390x, linux/arm64"):
        open_archive(tmp_path / "b.tar", "app:1", cache=tmp_path)


def test_a_directory_of_skopeo_is_an_image(tmp_path: Path) -> None:
    """A manifest with the blobs beside it has no name of its own; damage in it is found."""
    image_id = save_directory(tmp_path / "app", LAYERS)
    source = open_archive(tmp_path / "app", "app:1", cache=tmp_path)
    assert (source.reference, source.image_id) == ("app:1", image_id)
    assert [item.diff_id for item in source.layers] == [f"sha256:{sha256(data)}" for data in LAYERS]
    with pytest.raises(InputError, match="unnamed"):
        open_archive(tmp_path / "app", cache=tmp_path)
    (tmp_path / "app" / sha256(LAYERS[1])).write_bytes(LAYERS[0])
    with pytest.raises(InputError, match="damaged"):
        open_archive(tmp_path / "app", "app:1", cache=tmp_path)
    save_directory(tmp_path / "all", LAYERS, {"schemaVersion": 2, "manifests": []})
    with pytest.raises(InputError, match="save it for one platform only"):
        open_archive(tmp_path / "all", "app:1", cache=tmp_path)


@pytest.mark.parametrize(
    ("name", "reference", "other"),
    [("app:1", "app:1", ""), ("localhost/app:1", "app:1", ""), ("docker.io/library/nginx:1", "app:1", "nginx:1"),
     ("app:1", "app:2", "app:1"), ("app:1", "", ""), ("", "app:1", "")],
)  # fmt: skip
def test_an_image_under_another_name_is_told(tmp_path: Path, name: str, reference: str, other: str) -> None:
    """The only image of an archive has any name; that it was saved under another one is not kept quiet."""
    save_25(tmp_path / "one.tar", LAYERS, [name] if name else [])
    save_layout(tmp_path / "two.tar", {name: LAYERS} if name else {"": LAYERS})
    for path in (tmp_path / "one.tar", tmp_path / "two.tar") if name else (tmp_path / "one.tar",):
        for _ in range(2):  # read, and from the index
            assert familiar(open_archive(path, reference, cache=tmp_path).saved_as or "-") == familiar(other or "-")


def test_an_entry_that_is_not_asked_for_may_be_anything(tmp_path: Path) -> None:
    """Of several images only the one that is named has to be whole."""
    save_podman(tmp_path / "all.tar", SEVERAL)
    with tarfile.open(tmp_path / "all.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    manifest = [*json.loads(files["manifest.json"]), {"RepoTags": ["broken:1"]}]
    (tmp_path / "all.tar").write_bytes(tar_of({**files, "manifest.json": json.dumps(manifest).encode()}))
    assert open_archive(tmp_path / "all.tar", "redis:7", cache=tmp_path).reference == "redis:7"
    with pytest.raises(InputError, match=r"manifest.json\[3\].Config is not a text"):
        open_archive(tmp_path / "all.tar", "broken:1", cache=tmp_path)


def test_layers_that_old_engines_do_not_read_are_marked(tmp_path: Path) -> None:
    """Also when the archive is not read again."""
    config = config_of(LAYERS)
    blobs = [zstd_of(LAYERS[0]), gzip.compress(LAYERS[1]), LAYERS[2]]
    names = [f"{number}/layer.tar" for number in range(3)]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": names}]).encode()
    files = {"c.json": config, "manifest.json": manifest, **dict(zip(names, blobs, strict=True))}
    (tmp_path / "app.tar").write_bytes(tar_of(files))
    for _ in range(2):
        source = open_archive(tmp_path / "app.tar", cache=tmp_path)
        assert [item.is_zstd for item in source.layers] == [True, False, False]


def test_a_layer_of_many_compressed_parts_is_read(tmp_path: Path) -> None:
    """As eStargz has them: a gzip member for each file."""
    config = config_of(LAYERS)
    packed = [b"".join(gzip.compress(data[at : at + 512]) for at in range(0, len(data), 512)) for data in LAYERS]
    names = [f"{number}/layer.tar" for number in range(3)]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": names}]).encode()
    files = {"c.json": config, "manifest.json": manifest, **dict(zip(names, packed, strict=True))}
    (tmp_path / "app.tar").write_bytes(tar_of(files))
    assert len(open_archive(tmp_path / "app.tar", cache=tmp_path).layers) == 3


CHART = {"config": {**descriptor({}), "mediaType": "application/vnd.cncf.helm.config.v1+json"}, "layers": []}
SIGNATURE = {"artifactType": "application/vnd.dev.cosign", "config": descriptor({}), "layers": []}
LOOP = {"manifests": [{"digest": "sha256:" + "0" * 64}]}


@pytest.mark.parametrize(
    ("name", "index", "documents", "words"),
    [
        ("manifest.json", {}, (), "manifest.json is not a list"),
        ("manifest.json", None, (), "manifest.json is not a list"),
        ("manifest.json", [], (), "holds 0 images"),
        ("manifest.json", [[]], (), r"manifest.json\[0\] is not a mapping"),
        ("manifest.json", [{"RepoTags": ["app:1"], "Layers": []}], (), r"manifest.json\[0\].Config is not a text"),
        ("manifest.json", [{"Config": "c.json"}], (), r"manifest.json\[0\].Layers is not a list"),
        ("manifest.json", [{"Config": "c.json", "Layers": [5]}], (), "Layers is not a text"),
        ("manifest.json", [{"Config": "c.json", "RepoTags": "app:1", "Layers": []}], (), "RepoTags is not a list"),
        ("manifest.json", [{"Config": "c.json", "Layers": []}], (), "c.json is missing"),
        ("index.json", {}, (), "index.json: manifests is not a list"),
        ("index.json", [], (), "index.json is not a mapping"),
        ("index.json", {"manifests": []}, (), "it holds no images"),
        ("index.json", {"manifests": [{}]}, (), "digest is not a text"),
        ("index.json", {"manifests": [{"digest": "sha256:../../etc/passwd"}]}, (), "is not a digest"),
        ("index.json", {"manifests": [{"digest": "sha512:" + "a" * 128}]}, (), "is not a digest"),
        ("index.json", {"manifests": [descriptor([])]}, ([],), "is not a mapping"),
        ("index.json", {"manifests": [descriptor({})]}, ({},), "config is not a mapping"),
        ("index.json", {"manifests": [descriptor(CHART)]}, (CHART, {}), "an artifact .*helm.*, not an image"),
        ("index.json", {"manifests": [descriptor(SIGNATURE)]}, (SIGNATURE, {}), "an artifact .*cosign.*, not an image"),
        ("index.json", LOOP, (), "is missing"),
        ("index.json", {"manifests": [{**descriptor({}), "annotations": 5}]}, ({},), "annotations is not a mapping"),
    ],
)
def test_documents_of_other_shapes_are_bad_input(
    tmp_path: Path, name: str, index: object, documents: tuple[object, ...], words: str
) -> None:
    """Whatever the JSON is, the error names the file and what is wrong with it, and nothing else is raised."""
    save_documents(tmp_path / "x.tar", index, *documents, name=name)
    with pytest.raises(InputError, match=words) as caught:
        open_archive(tmp_path / "x.tar", "app:1", cache=tmp_path)
    assert str(tmp_path / "x.tar") in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [[], {}, {"rootfs": []}, {"rootfs": {"diff_ids": 1}}, {"rootfs": {"diff_ids": [1]}}, {"os": "windows"},
     {"architecture": 1, "rootfs": {"diff_ids": []}}, {"rootfs": {"diff_ids": ["sha256:x"]}}],
)  # fmt: skip
def test_a_configuration_of_another_shape_is_bad_input(tmp_path: Path, config: object) -> None:
    """So is a configuration that names no layers, or those of another system."""
    manifest = {"config": descriptor(config), "layers": []}
    save_documents(tmp_path / "x.tar", {"manifests": [descriptor(manifest)]}, manifest, config)
    with pytest.raises(InputError, match=r"damaged|not linux"):
        open_archive(tmp_path / "x.tar", "app:1", cache=tmp_path)


@pytest.mark.parametrize("magic", [("xz", b"\xfd7zXZ\0"), ("bz2", b"BZh9"), ("zst", b"\x28\xb5\x2f\xfd")])
def test_a_compressed_archive_is_to_be_unpacked(tmp_path: Path, magic: tuple[str, bytes]) -> None:
    """The next step names the program that unpacks it."""
    (tmp_path / "x.tar").write_bytes(magic[1] + b"x" * 9000)
    with pytest.raises(InputError, match="unpack it first"):
        open_archive(tmp_path / "x.tar", cache=tmp_path)


# -- saved by the local engine ----------------------------------------------------------------------------------------
@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A `docker` that knows the images in a directory (name → archive) and counts what it is asked."""
    (tmp_path / "images").mkdir()
    script = tmp_path / "docker"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/asked
for word; do name=$word; done
file={tmp_path}/images/$name
[ -e "$file" ] || {{ echo "Error: No such image: $name" >&2; exit 1; }}
case $2 in
    inspect) cat "$file.id" ;;
    save) cp "$file" "$4" ;;
esac
"""
    )
    script.chmod(0o755)
    return script


def put(docker: Path, name: str, layers: list[bytes]) -> str:
    """Let the local engine have an image under a name."""
    path = docker.parent / "images" / name
    image_id = save_20(path, layers, [name])
    path.with_name(name + ".id").write_text(image_id + "\n")
    return image_id


def test_an_image_is_saved_once(docker: Path, tmp_path: Path) -> None:
    """Opening the same image twice saves it once, into files only the user can read."""
    cache = tmp_path / "cache"
    cache.mkdir()
    image_id = put(docker, "app:1", LAYERS)
    first = open_image("app:1", docker=str(docker), cache=cache)
    assert first.image_id == image_id and open_image("app:1", docker=str(docker), cache=cache) == first
    assert (tmp_path / "asked").read_text().count("image save") == 1
    assert {path.stat().st_mode & 0o077 for path in cache.iterdir()} == {0}


def test_the_image_a_name_meant_before_goes(docker: Path, tmp_path: Path) -> None:
    """A rebuilt image replaces the saved one, unless another name still means that."""
    cache = tmp_path / "cache"
    cache.mkdir()
    put(docker, "app:1", LAYERS[:2])
    put(docker, "app:stable", LAYERS[:2])
    open_image("app:1", docker=str(docker), cache=cache)
    open_image("app:stable", docker=str(docker), cache=cache)
    put(docker, "app:1", LAYERS)
    open_image("app:1", docker=str(docker), cache=cache)
    assert len(list(cache.glob("*.tar"))) == 2
    put(docker, "app:stable", LAYERS)
    source = open_image("app:stable", docker=str(docker), cache=cache)
    assert [path.stem for path in cache.glob("*.tar")] == [source.image_id.partition(":")[2]]


def test_an_image_that_is_not_here_says_how_to_get_it(docker: Path, tmp_path: Path) -> None:
    """A missing image, and a missing docker, are input errors with the next step."""
    with pytest.raises(InputError, match=r"No such image: app:9\n.*docker pull app:9"):
        open_image("app:9", docker=str(docker), cache=tmp_path)
    with pytest.raises(InputError, match="install Docker here"):
        open_image("app:9", docker=str(tmp_path / "nothing"), cache=tmp_path)


def test_the_cache_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache follows XDG_CACHE_HOME and is closed to others."""
    from orchestr.images.archive import cache_directory

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "orchestr" / "images"
    assert os.stat(cache_directory()).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("save", [save_25, save_oci], ids=["docker 25", "oci"])
def test_an_unpacked_layout_is_the_same_image(save: Saver, tmp_path: Path) -> None:
    """A directory is read as its archive is, its blobs served from its files, and damage in it is found."""
    image_id = save(tmp_path / "app.tar", LAYERS, ["app:1"])
    with tarfile.open(tmp_path / "app.tar") as tar:
        tar.extractall(tmp_path / "app", filter="data")
    store, source = BlobStore(), open_archive(tmp_path / "app", "app:1", cache=tmp_path)
    source.register(store)
    assert source.image_id == image_id
    for item in source.layers:
        assert sha256(b"".join(store.chunks(item.blob.sha256))) == item.blob.sha256
    source.blobs[source.layers[1].blob.sha256].path.write_bytes(LAYERS[0])
    with pytest.raises(InputError, match="damaged"):
        open_archive(tmp_path / "app", "app:1", cache=tmp_path)
