"""The locks of requirements/ belong to setup.cfg, and pip takes nothing from them without its hash."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = [
    "requirements/dev.txt",
    "requirements/minimum.txt",
    "benchmarks/requirements.txt",
    "requirements/uv.txt",
    "requirements/go.txt",
]


def _stated(*extras: str) -> list[Requirement]:
    """Return what setup.cfg asks for, the extra dev included."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"]
    lines += "".join(config["options.extras_require"][extra] for extra in ("dev", *extras))
    return [Requirement(line) for line in lines.splitlines() if line.strip()]


def _entries(lock: str) -> list[str]:
    """Return the entries of a lock, each with its hashes on one line."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _pinned(lock: str) -> dict[str, Version]:
    requirements = [Requirement(entry.partition(" --hash")[0]) for entry in _entries(lock)]
    return {canonicalize_name(one.name): Version(str(one.specifier).removeprefix("==")) for one in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    """With one that is not, pip would refuse the whole file."""
    for entry in _entries(lock):
        assert re.match(r"[a-z0-9-]+==\S+( ; [^-]*)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), entry[:80]


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], ["lab"]), (LOCKS[1], [])])
def test_the_lock_belongs_to_setup_cfg(lock: str, extras: list[str]) -> None:
    """After an edit of setup.cfg: ``make lock``."""
    pinned = _pinned(lock)
    for requirement in _stated(*extras):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, f"{requirement}: run make lock"


def test_the_oldest_versions_are_those_that_are_tried() -> None:
    """Each lower bound is the version that ``make test-minimums`` installs."""
    pinned = _pinned("requirements/minimum.txt")
    for requirement in _stated():
        bounds = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        assert not bounds or bounds == [pinned[canonicalize_name(requirement.name)]], requirement


@pytest.mark.parametrize("name", ["click", "fabric", "jinja2", "paramiko", "pydantic", "pytest", "websockets"])
def test_a_package_whose_internals_are_used_has_an_upper_bound(name: str) -> None:
    """A new major version may change them; it is allowed once its tests have passed."""
    [requirement] = [one for one in _stated() if canonicalize_name(one.name) == name]
    assert any(one.operator == "<" for one in requirement.specifier), requirement


def test_templates_need_the_repaired_sandbox() -> None:
    """Jinja2 before 3.1.6 let a template out of its sandbox (CVE-2025-27516)."""
    [requirement] = [one for one in _stated() if one.name == "jinja2"]
    assert Version("3.1.5") not in requirement.specifier and Version("3.1.6") in requirement.specifier


def test_an_install_checks_hashes() -> None:
    """Every package of a checkout comes from a lock; orchestr itself without dependencies."""
    recipes = [line for line in (ROOT / "Makefile").read_text().splitlines() if "$(PIP_INSTALL)" in line]
    assert len(recipes) >= 3
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in recipes)
