"""The machine has its packages, kernel settings, time zone and directories."""

from __future__ import annotations

from typing import Any

from orchestr.resources.modes import mode_bits

from . import Params


def test_packages_are_installed(host: Any, params: Params) -> None:
    """The packages of base_packages are installed."""
    missing = [name for name in params.packages if not host.package(name).is_installed]
    assert not missing, f"missing: {', '.join(missing)}; look at: apt-cache policy {' '.join(missing)}"


def test_kernel_settings_hold(host: Any, params: Params) -> None:
    """The kernel runs with the settings of base_sysctl."""
    for name, value in params.sysctl.items():
        current = host.check_output("sysctl -n %s", name).split()
        assert current == str(value).split(), (
            f"{name} is {' '.join(current)}, not {value}: another program set it; look at: grep -rs {name} /etc/sysctl*"
        )


def test_time_zone_is_the_one_wanted(host: Any, params: Params) -> None:
    """The host uses the time zone of base_timezone, where one is set."""
    if params.timezone:
        target = host.run("readlink /etc/localtime").stdout.strip()
        assert target == f"/usr/share/zoneinfo/{params.timezone}", (
            f"/etc/localtime points to {target or 'nothing'}, not to {params.timezone}; look at: timedatectl"
        )


def test_directories_are_there(host: Any, params: Params) -> None:
    """The directories of base_directories exist, are owned by root and have their modes."""
    for path, mode in params.directories.items():
        current = host.run("stat -c '%%F %%U %%a' %s", path).stdout.strip()
        wanted = f"directory root {mode_bits(mode):o}"
        assert current == wanted, f"{path} is {current or 'missing'}, not {wanted}; look at: ls -ld {path}"
