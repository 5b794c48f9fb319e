"""A host with a Docker engine of either version: up or not, with images and a compose project in any condition."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from orchestr.resources.compose.project import ComposeProject, ComposeService
from orchestr.resources.docker.engine import DockerEngine
from orchestr.resources.docker.images import Image, ImageLayer, PulledImage
from orchestr.resources.files import Blob
from orchestr.testing import World
from orchestr.transport.memory import Node
from tests.image_archives import config_of, layer, sha256
from tests.resources.engine_double import ENGINES
from tests.resources.fakes.image_engine import ImageEngine

#: What the controller has, digest → bytes: filled as images are made.
BLOBS: dict[str, bytes] = {}
LAYERS = [layer(name) for name in ("base", "middle", "top", "other")]
OFFERED = {"redis:7": "sha256:" + "7" * 64, "redis:8": "sha256:" + "8" * 64}


def image_of(layers: list[bytes], reference: str) -> Image:
    """Return the image that these layers make."""
    config = config_of(layers)
    BLOBS.update((sha256(each), each) for each in (config, *layers))
    parts = tuple(ImageLayer(f"sha256:{sha256(each)}", Blob(sha256(each), len(each))) for each in layers)
    return Image(reference, f"sha256:{sha256(config)}", Blob(sha256(config), len(config)), parts)


STACKS = st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4, unique=True)
SERVICES = st.lists(
    st.builds(
        ComposeService,
        st.sampled_from(["web", "proxy", "job"]),
        definition=st.sampled_from(["", "d1", "d2"]),
        config=st.sampled_from([(), ("settings",)]),
        env_files=st.sampled_from([(), (".env",)]),
        image_id=st.sampled_from(["", "sha256:" + "b" * 64]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda service: service.name,
)
KINDS = {
    "compose_project": st.builds(
        ComposeProject,
        st.just("/opt/shop"),
        SERVICES.map(tuple),
        running=st.sampled_from([True, True, False]),
        present=st.sampled_from([True, True, False]),
        remove_orphans=st.booleans(),
        wait_s=st.just(5.0),
    ),
    "docker_engine": st.builds(DockerEngine, st.sampled_from(["20.10", "24.0"])),
    "image": st.builds(image_of, STACKS, st.sampled_from(["app:1", "app:2"])),
    "pulled_image": st.builds(
        PulledImage, st.sampled_from(["redis:7", "redis:8", "gone:1"]), st.sampled_from(["", *OFFERED.values()])
    )
    | st.builds(PulledImage, st.sampled_from([f"{name}@{OFFERED['redis:7']}" for name in ("redis", "redis:7")])),
}


@st.composite
def hosts(draw: st.DrawFn) -> ImageEngine:
    """An engine that has some of it, maybe under another name or with other content, or that is down."""
    engine = ImageEngine(draw(st.sampled_from(ENGINES)))
    engine.offered = dict(OFFERED)
    engine.refuses_partial = draw(st.booleans())
    engine.blobs = BLOBS
    for layers in draw(st.lists(STACKS, max_size=2)):
        image = image_of(layers, draw(st.sampled_from(["app:1", "app:2", "stranger:1"])))
        engine.give(image.reference, image.image_id, [each.diff_id for each in image.layers])
    if draw(st.booleans()):
        engine.give("redis:7", "sha256:" + "1" * 64, [], draw(st.sampled_from(["", *OFFERED.values()])))
    engine.host.nodes["/opt/shop"] = Node("directory", mode=0o755)
    for name, text in (("compose.yaml", "services: {}\n"), (".env", "A=1\n"), ("settings", "right\n")):
        engine.host.add_file(f"/opt/shop/{name}", text)
    for service in draw(st.sets(st.sampled_from(["web", "old"]))):
        engine.add("shop", service, digest=draw(st.sampled_from(["", "definition=d1"])))
        state = draw(st.sampled_from([{}, {"Status": "exited", "ExitCode": 137}]))
        engine.containers[f"shop-{service}-1"]["State"].update(state)
    engine.is_up = draw(st.sampled_from([True, True, True, False]))
    return engine


def state(engine: ImageEngine) -> Any:
    containers = {name: {**each, "State": dict(each["State"])} for name, each in engine.containers.items()}
    return copy.deepcopy((engine.host.nodes, engine.images, engine.details, containers, engine.is_up))


def options(engine: ImageEngine) -> dict[str, Any]:
    return {"fetch": engine.fetch}


REFUSALS = ("could not be pulled", "does not answer", "or newer is needed")
WORLD = World("containers", KINDS, hosts(), state, REFUSALS, options)
