"""The reference pages say what the program does."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

from tests.cli.conftest import Orchestr

ROOT = Path(__file__).parents[2]


def test_the_cli_page_is_current() -> None:
    """docs/reference/cli.md is what scripts/cli_reference.py makes of the verbs and options there are."""
    made = runpy.run_path(str(ROOT / "scripts/cli_reference.py"))["page"]()
    assert (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8") == made


def test_the_json_page_names_every_key(orchestr: Orchestr) -> None:
    """Every key that run, verify, ping, facts, exec, history, trust and doc print is in docs/reference/json.md."""
    page = (ROOT / "docs/reference/json.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z_]+)`", page))
    site = "inventories/site.yml"
    calls = [["run", site], ["verify", site], ["history"], ["doc", "app"], ["rnu"]]
    calls += [["exec", site, "web", "--json", "--", "true"], ["facts", site, "-l", "web1"]]
    printed: set[str] = set()
    for words in calls:
        said = orchestr(*(words if "--json" in words else [*words, "--json"])).out
        printed |= _keys(json.loads(said), names=("hosts", "facts"))
    assert printed - documented == set()


def _keys(value: object, names: tuple[str, ...]) -> set[str]:
    """Return all keys in a JSON value; below ``names`` the first level's keys are names of hosts or facts."""
    if isinstance(value, list):
        return {key for each in value for key in _keys(each, names)}
    if not isinstance(value, dict):
        return set()
    found = set(value)
    for key, each in value.items():
        inner = list(each.values()) if key in names and isinstance(each, dict) else each
        found |= _keys(inner, names)
    return found
