"""One image of this machine, on every host."""

from collections.abc import Iterator

from orchestr import Resource
from orchestr.images.archive import open_image
from orchestr.planning.plan import Host
from orchestr.planning.role import Params as BaseParams


class Params(BaseParams):
    reference: str


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    source = open_image(params.reference)
    source.register(host.blobs)
    yield source.resource()
