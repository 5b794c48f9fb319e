"""One large file, on every host."""

from collections.abc import Iterator

from orchestr import Resource
from orchestr.planning.plan import Host
from orchestr.planning.role import Params as BaseParams
from orchestr.resources.files import File


class Params(BaseParams):
    path: str


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    yield File("/var/tmp/bench-payload", content=host.file(params.path), mode=0o600)
