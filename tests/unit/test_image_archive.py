"""Reading image archives where they lie, and saving an image at most once."""

from __future__ import annotations

import gzip
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
from tests.image_archives import SAVERS, layer, save_20, save_25, save_oci, sha256

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
