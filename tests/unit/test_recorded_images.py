"""Image archives as real tools wrote them: docker 20.10 and 26.1, podman 4.3, skopeo 1.9.

All are of two tiny images, built by docker 20.10: ``fixture/app:1`` (two layers) and ``fixture/other:2`` (three, the
first two are those of the other). ``tests/resources/recorded/images.tar.xz`` has them as these commands wrote them:

    docker save fixture/app:1 fixture/other:2       docker save fixture/other
    podman save --format docker-archive|oci-archive|docker-dir|oci-dir IMAGE|ID       podman save -m IMAGE IMAGE
    podman manifest push --all LIST oci-archive:FILE|dir:DIRECTORY
    skopeo copy [--dest-compress-format zstd] docker-archive:FILE docker-archive:|oci-archive:|oci:|dir:…
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orchestr.blobs import BlobStore
from orchestr.errors import InputError
from orchestr.images.archive import open_archive

RECORDED = Path(__file__).parents[1] / "resources/recorded/images.tar.xz"
APP = "sha256:902fab565917a8cf7d23ad91333e69a1260fd812cb30fc52325522b9ddc64695"
OTHER = "sha256:db1faefdaa8e1abed57cd2c58e58e307339de8eb948cdbdc02e28f235526d833"
#: podman and skopeo write a configuration of their own when they make an OCI image of a docker image.
APP_OCI = "sha256:f6c88f0a17fc73ef2a5ebf99b8a402524493c62b5c077f1c83a94fbd363f9fc3"
OTHER_OCI = "sha256:351112bc1568779488180809e846c3bcf4104e56e2f096253cfe823d995b3f86"
ARM = "sha256:6a40935c76032d86bfc7940de1b488ed6acba5c8737f2e4b6f2d637cefd01c3d"
LAYERS = ["sha256:257a308b8560", "sha256:d2eabdbff9ed", "sha256:c0de6645b1a8"]
READ = [
    ("docker-20.10/two.tar", "fixture/app:1", "fixture/app:1", APP),
    ("docker-20.10/two.tar", "docker.io/fixture/other:2", "fixture/other:2", OTHER),
    ("docker-20.10/repository.tar", "fixture/other:latest", "fixture/other:latest", OTHER),
    ("docker-26.1/two.tar", "fixture/app:1", "fixture/app:1", APP),
    ("docker-26.1/two.tar", "fixture/other:2", "fixture/other:2", OTHER),
    ("podman-4.3/docker-archive.tar", "", "localhost/fixture/app:1", APP),
    ("podman-4.3/docker-archive.tar", "fixture/app:1", "fixture/app:1", APP),
    ("podman-4.3/docker-archive-by-id.tar", "fixture/app:1", "fixture/app:1", APP),
    ("podman-4.3/several.tar", "fixture/app:1", "fixture/app:1", APP),
    ("podman-4.3/several.tar", "localhost/fixture/other:2", "localhost/fixture/other:2", OTHER),
    ("podman-4.3/oci-archive.tar", "", "localhost/fixture/app:1", APP_OCI),
    ("podman-4.3/oci-archive.tar", "fixture/app:1", "fixture/app:1", APP_OCI),
    ("podman-4.3/oci-archive-by-id.tar", "fixture/app:1", "fixture/app:1", APP_OCI),
    ("podman-4.3/oci-dir", "fixture/app:1", "fixture/app:1", APP_OCI),
    ("podman-4.3/docker-dir", "fixture/app:1", "fixture/app:1", APP),
    ("podman-4.3/arm64.tar", "", "localhost/arm:1", ARM),
    ("skopeo-1.9/docker-archive.tar", "fixture/app:x", "fixture/app:x", APP_OCI),
    ("skopeo-1.9/oci-archive.tar", "fixture/app:1", "fixture/app:1", APP_OCI),
    ("skopeo-1.9/zstd.tar", "fixture/app:1", "fixture/app:1", APP_OCI),
    ("skopeo-1.9/oci", "fixture/app:1", "fixture/app:1", APP_OCI),
    ("skopeo-1.9/oci", "fixture/other:2", "fixture/other:2", OTHER_OCI),
    ("skopeo-1.9/dir", "fixture/app:1", "fixture/app:1", APP),
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with all archives."""
    directory = tmp_path_factory.mktemp("images")
    with tarfile.open(RECORDED) as tar:
        tar.extractall(directory, filter="data")
    return directory


@pytest.mark.parametrize(("path", "reference", "name", "image_id"), READ)
def test_each_archive_is_the_image_it_was_made_of(
    recorded: Path, tmp_path: Path, path: str, reference: str, name: str, image_id: str
) -> None:
    """By its id, and by its layers in order; each part of it can be sent."""
    source = open_archive(recorded / path, reference, cache=tmp_path)
    count = {OTHER: 3, OTHER_OCI: 3, ARM: 1}.get(image_id, 2)
    assert (source.reference, source.image_id, len(source.layers)) == (name, image_id, count)
    assert source.architecture == ("arm64" if image_id == ARM else "amd64") and not source.saved_as
    if image_id != ARM:
        assert [layer.diff_id[:19] for layer in source.layers] == LAYERS[:count]
    assert {layer.is_zstd for layer in source.layers} == {"zstd" in path}
    store = BlobStore()
    source.register(store)
    config: Any = json.loads(b"".join(store.chunks(source.config.sha256)))
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in source.layers]
    for layer in source.layers:
        assert sum(len(piece) for piece in store.chunks(layer.blob.sha256)) == layer.blob.size_bytes


@pytest.mark.parametrize(
    ("path", "reference", "words"),
    [
        ("docker-20.10/two.tar", "", "it holds 2 images (fixture/app:1, fixture/other:2)"),
        ("docker-26.1/two.tar", "nginx:1", "none (or more than one) is called nginx:1"),
        ("podman-4.3/several.tar", "", "it holds 2 images (localhost/fixture/app:1, localhost/fixture/other:2)"),
        ("podman-4.3/docker-archive-by-id.tar", "", "the image in it is unnamed"),
        ("podman-4.3/platforms.tar", "fixture/both:1", "it holds 2 platforms (linux/amd64, linux/arm64)"),
        ("skopeo-1.9/dir-platforms", "fixture/both:1", "it holds 2 platforms (linux/amd64, linux/arm64)"),
        ("skopeo-1.9/oci", "fixture/app:3", "it holds 2 images (1, 2); none"),
        ("skopeo-1.9/dir", "", "the image in it is unnamed"),
    ],
)
def test_an_archive_of_several_says_what_it_holds(
    recorded: Path, tmp_path: Path, path: str, reference: str, words: str
) -> None:
    """Whatever cannot be chosen is bad input, with the archive's name."""
    with pytest.raises(InputError) as caught:
        open_archive(recorded / path, reference, cache=tmp_path)
    assert words in str(caught.value) and path in str(caught.value)


def test_an_image_of_another_architecture_is_refused(recorded: Path, tmp_path: Path) -> None:
    """Before a byte of it is sent."""
    source = open_archive(recorded / "podman-4.3/arm64.tar", cache=tmp_path)
    with pytest.raises(InputError, match="is an image for arm64, and the host is x86_64"):
        source.assert_runs_on("web1", "x86_64")
    source.assert_runs_on("web1", "aarch64")
