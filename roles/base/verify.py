"""What every machine was promised is on it."""

from __future__ import annotations

from typing import Any

from . import Params


def test_packages_are_installed(host: Any, params: Params) -> None:
    """The packages of base_packages are installed."""
    missing = [name for name in params.packages if not host.package(name).is_installed]
    assert not missing, f"missing: {', '.join(missing)}; look at: apt-cache policy {' '.join(missing)}"


def test_kernel_settings_hold(host: Any, params: Params) -> None:
    """The kernel runs with the settings of base_sysctl."""
    for name, value in params.sysctl.items():
        found = host.check_output("sysctl -n %s", name).split()
        assert found == str(value).split(), (
            f"{name} is {' '.join(found)}, not {value}: something set it later; look at: grep -rs {name} /etc/sysctl*"
        )


def test_time_zone_is_the_one_wanted(host: Any, params: Params) -> None:
    """The clock shows the time zone of base_timezone, where one is set."""
    if params.timezone:
        found = host.run("readlink /etc/localtime").stdout.strip()
        assert found == f"/usr/share/zoneinfo/{params.timezone}", (
            f"/etc/localtime leads to {found or 'nowhere'}, not to {params.timezone}; look at: timedatectl"
        )


def test_directories_are_there(host: Any, params: Params) -> None:
    """The directories of base_directories are there, root's, with their modes."""
    for path, mode in params.directories.items():
        found = host.run("stat -c '%%F %%U %%a' %s", path).stdout.strip()
        wanted = f"directory root {int(mode, 8):o}"
        assert found == wanted, f"{path} is {found or 'missing'}, not {wanted}; look at: ls -ld {path}"
