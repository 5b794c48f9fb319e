"""Images from a registry on a real machine: pinned by digest, with a login that only a file holds.

The registry is a stand-in on the node's loopback, which the engine talks to without TLS.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.resource import Resource
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory.settings import ConnectionSettings
from orchestr.resources.docker.images import LOGINS, PulledImage
from orchestr.resources.files import Directory, File
from orchestr.secret import Secret
from orchestr.transport.connect import connect
from roles.docker import Login, Params
from tests.image_archives import config_of, layer
from tests.lab.conftest import ADDRESSES, LAB, ssh
from tests.lab.test_containers import results

NODE = "lab5"
NODES = [NODE]
PORT = 5055
NAME = f"127.0.0.1:{PORT}/shop/app"
PASSWORD = "a-password-of-this-test"
PLACE = "/tmp/registry"


def run(*resources: Resource) -> list[dict[str, Any]]:
    options = ("-o", f"UserKnownHostsFile={LAB / 'known_hosts'}")
    settings = ConnectionSettings(
        address=ADDRESSES[NODE], user="root", key_file=str(LAB / "id_ed25519"), ssh_common_args=options
    )
    with closing(Session(NODE, settings, connect, SessionOptions(run="test"))) as session:
        session.open()
        return results(session, resources)


def stored(text: str) -> tuple[dict[str, bytes], str]:
    """Return the blobs of an image of one layer, by digest, and the digest of its manifest."""
    data = layer(text)
    config, packed = config_of([data]), gzip.compress(data, mtime=0)
    kinds = ("application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip")
    parts = [
        {"mediaType": kind, "size": len(each), "digest": digest(each)}
        for kind, each in zip(kinds, (config, packed), strict=True)
    ]
    document = {"schemaVersion": 2, "config": parts[0], "layers": [parts[1]]}
    manifest = json.dumps({**document, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}).encode()
    return {digest(each): each for each in (config, packed, manifest)}, digest(manifest)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture(scope="module")
def digests(bare: list[str]) -> list[str]:
    """The registry on the node, its tag app:1 on the second of two images; their digests."""
    images = [stored("first"), stored("second")]
    stream = io.BytesIO()
    files = {name.rpartition(":")[2]: data for blobs, _ in images for name, data in blobs.items()}
    files["tags.json"] = json.dumps({"shop/app:1": images[1][1]}).encode()
    files["login"] = f"me:{PASSWORD}".encode()
    files["registry.py"] = Path(__file__).with_name("registry_standin.py").read_bytes()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    ssh(NODE, f"mkdir -p {PLACE} && base64 -d | tar -x -C {PLACE}", input=base64.b64encode(stream.getvalue()).decode())
    ssh(NODE, f"systemd-run --quiet --unit=registry-standin python3 {PLACE}/registry.py {PLACE} {PORT} {PLACE}/login")
    listens = f"import socket; socket.create_connection(('127.0.0.1', {PORT}))"
    ssh(NODE, f'until python3 -c "{listens}" 2>/dev/null; do :; done')
    return [each for _, each in images]


def test_a_pinned_image_is_pulled_with_a_login_from_a_file(digests: list[str]) -> None:
    """Without the login it is refused in words; with it exactly the pinned image comes, though the tag is another's."""
    pinned = PulledImage(f"{NAME}:1@{digests[0]}")
    [refused] = run(pinned)
    assert refused["verdict"] == "failed" and "docker_registry_logins" in refused["error"]["next_step"]
    login = Login(username="me", password=Secret(PASSWORD))
    logins = Params(registry_logins={f"127.0.0.1:{PORT}": login}).logins_json
    files = (
        Directory("/var/lib/orchestr", mode=0o700),
        Directory(LOGINS, mode=0o700),
        File(f"{LOGINS}/config.json", logins, mode=0o600),
    )
    found = run(*files, pinned)
    assert found[-1]["verdict"] == "changed" and PASSWORD not in json.dumps(found, default=repr)
    assert [each["verdict"] for each in run(*files, pinned)] == ["ok"] * 4
    listed = json.loads(ssh(NODE, "curl -s --unix-socket /var/run/docker.sock http://d/images/json"))
    [image] = [each for each in listed if f"{NAME}@{digests[0]}" in (each["RepoDigests"] or [])]
    assert not image["RepoTags"] or f"{NAME}:1" not in image["RepoTags"]


def test_a_tag_is_pulled_as_it_is_now(digests: list[str]) -> None:
    """A reference without a digest is what the registry has under the tag, found by its name afterwards."""
    assert run(PulledImage(f"{NAME}:1"))[0]["verdict"] == "changed"
    assert run(PulledImage(f"{NAME}:1"))[0]["verdict"] == "ok"
    [found] = run(PulledImage(f"{NAME}:1", digests[1]))
    assert found["verdict"] == "ok"
    assert found["outcome"]["image"] == ssh(NODE, f"docker image inspect --format '{{{{.Id}}}}' {NAME}:1").strip()
    assert run(PulledImage(f"{NAME}:1", digests[0]))[0]["verdict"] == "changed"
    tagged = ssh(NODE, f"docker image inspect --format '{{{{.RepoDigests}}}}' {NAME}:1")
    assert digests[0] in tagged
