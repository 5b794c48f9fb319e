"""A shop: one web service, its database, and a directory with what customers upload."""

from orchestr import (
    Application,
    ApplicationService,
    ContainerParams,
    ContainerService,
    Data,
    Deploy,
    Directory,
    Field,
    Host,
    HttpAnswer,
    Network,
    Placement,
    Rule,
    Site,
    Use,
)

UPLOADS = "/srv/shop/uploads"
WEB = Placement("shop_web", otherwise="first")
USES = (Use("mysql", instance="shop_mysql", own=True),)


class Params(ContainerParams):
    """The image is required."""

    image: str = Field(description="the shop's image, with its tag")
    port: int = Field(default=8090, description="the port of the web service")


def application(host: Host, params: Params) -> Application:
    """Return the web service; the database comes along as a part."""
    web = ContainerService(
        "web",
        params.image,
        environment={"DATABASE": "shop_mysql:3306"},
        volumes=(f"{UPLOADS}:/uploads",),
        ports=(f"{params.port}:8080",),
        networks=("shop",),
    )
    deploy = Deploy(publish="host", endpoint_mode="dnsrr")
    web_hosts = host.placed(WEB)
    is_here = host.name in [peer.name for peer in web_hosts]
    return Application(
        services=(ApplicationService(web, placement=WEB, deploy=deploy),),
        before=(Directory(UPLOADS),) if is_here else (),
        ready=(HttpAnswer(f"http://{web_hosts[0].address}:{params.port}/", timeout_s=60),),
        ports=(f"{params.port}/tcp",),
        rules=(Rule(params.port, comment="shop"),) if is_here else (),
        sites=(Site(params.port),),
        data=(Data("uploads", "web", WEB, path=UPLOADS, container_path="/uploads"),),
        networks=(Network("shop"),),
        backup=(UPLOADS,),
        spreads=False,
    )
