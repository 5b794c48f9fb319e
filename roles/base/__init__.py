"""The basics of every machine: a few packages and, optionally, a time zone, kernel settings and directories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from orchestr import Directory, File, FileMode, Link, Package, Resource, Sysctl
from orchestr import Params as Base

if TYPE_CHECKING:
    from orchestr import Host


class Params(Base):
    """Nothing is required; an empty parameter changes nothing on the host."""

    packages: tuple[str, ...] = Field(
        default=("ca-certificates", "curl"),
        description="packages of every machine; never upgraded or removed",
    )
    timezone: str = Field(default="", description="a name of the time zone database: Asia/Shanghai, Europe/Berlin, UTC")
    sysctl: dict[str, str | int] = Field(
        default={}, description="kernel settings, now and after a reboot: {vm.max_map_count: 262144}"
    )
    directories: dict[str, FileMode] = Field(
        default={}, description="directories and their modes, owned by root: {/srv/data: 0750}"
    )

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        if name.startswith("/") or ".." in name or any(char.isspace() for char in name):
            raise ValueError("expected a name of the time zone database, such as Asia/Shanghai")
        return name

    @field_validator("packages")
    @classmethod
    def _are_packages(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return names and Package(names).names  # type: ignore[return-value]

    @field_validator("sysctl")
    @classmethod
    def _are_settings(cls, settings: dict[str, str | int]) -> dict[str, str | int]:
        return {name: Sysctl(name, value).value for name, value in settings.items()}

    @field_validator("directories")
    @classmethod
    def _are_directories(cls, wanted: dict[str, FileMode]) -> dict[str, FileMode]:
        for path in wanted:
            if not path.startswith("/"):
                raise ValueError(f"{path} is not an absolute path")
        return wanted


def deploy(host: Host, params: Params) -> Iterator[Resource]:
    """Yield the packages, the time zone, the kernel settings and the directories."""
    packages = (*params.packages, *(("tzdata",) if params.timezone else ()))
    if packages:
        yield Package(tuple(dict.fromkeys(packages)))
    if params.timezone:
        yield Link("/etc/localtime", f"/usr/share/zoneinfo/{params.timezone}")
        yield File("/etc/timezone", f"{params.timezone}\n")
    for name, value in params.sysctl.items():
        yield Sysctl(name, value)
    for path, mode in params.directories.items():
        yield Directory(path, mode=mode)
