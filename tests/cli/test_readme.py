"""The two READMEs are in step with each other and with the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestr.cli.group import ORDER
from tests.cli.conftest import Orchestr

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")


def _blocks(name: str) -> list[str]:
    return re.findall(r"```\w*\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def test_the_readmes_are_in_step() -> None:
    """Both languages show the same commands and code, headings, tables and links."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
    assert _blocks(READMES[0]) == _blocks(READMES[1])
    for pattern in (r"^(#+) ", r"^\| (`[^|]*`|\d+) \|", r"\]\((docs[^)]*)\)", r"^- (?=.)"):
        assert re.findall(pattern, english, re.MULTILINE) == re.findall(pattern, chinese, re.MULTILINE)


@pytest.mark.parametrize("name", READMES)
def test_a_readme_names_every_verb(name: str) -> None:
    """The table of verbs is whole, and every file a README links to is there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    table = set(re.findall(r"`(\w+)", "\n".join(re.findall(r"^\| (`[^|]*)", text, re.MULTILINE))))
    assert set(ORDER) <= table
    assert [link for link in re.findall(r"\]\(((?!http)[^)]+)\)", text) if not (ROOT / link).exists()] == []


def test_the_library_example_runs(
    orchestr: Orchestr, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's ten lines do what they say: plan, show, run, verify; hosts and group as in the example."""
    inventory = (project / "inventories/site.yml").read_text()
    (project / "inventories/prod.yml").write_text(inventory.replace("    web:", "    livekit:"))
    (project / "roles/app/verify.py").unlink()
    (example,) = [block for block in _blocks("README.md") if block.startswith("import orchestr")]
    exec(compile(example, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "web1 /opt/app/word - absent" in said
    assert "RunFinished(" in said
