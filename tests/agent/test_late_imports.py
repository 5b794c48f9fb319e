"""What functions on a host import is sent when they run, once, and nothing else can be had that way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestr.agent.resource import Task
from orchestr.blobs import BlobStore
from orchestr.engine import bundle
from orchestr.engine.session import Session, SessionOptions
from orchestr.inventory import ConnectionSettings
from orchestr.transport.local import LocalConnection
from tests.agent.late_imports import LateImports
from tests.counting import Costs, CountingConnector

LOCAL = ConnectionSettings(address="localhost", connection="local")


@pytest.fixture
def counting() -> CountingConnector:
    return CountingConnector(lambda settings: LocalConnection())


@pytest.fixture
def session(counting: CountingConnector) -> Iterator[Session]:
    session = Session("here", LOCAL, counting, SessionOptions("run"), BlobStore())
    session.open()
    yield session
    session.close()


def result(session: Session, resource: LateImports, check: bool = False) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    session.run_tasks([Task(resource, id="it")], check=check, on_message=messages.append)
    [found] = [message for message in messages if message["type"] == "result"]
    return found


def asked(counting: CountingConnector) -> tuple[int, int]:
    costs: Costs = counting.costs["localhost"]
    return costs.from_host["lacking"], costs.to_host["modules"]


def test_a_function_gets_what_it_imports_when_it_runs(
    session: Session, counting: CountingConnector, tmp_path: Path
) -> None:
    """Looking needs none of it; the first change asks for it, and no later one asks again."""
    assert "orchestr.resources.env_grammars" not in bundle.modules_for([LateImports])
    assert result(session, LateImports(str(tmp_path / "a")), check=True)["verdict"] == "changed"
    assert asked(counting) == (0, 1)
    assert result(session, LateImports(str(tmp_path / "a")))["verdict"] == "changed"
    assert (tmp_path / "a").read_text() == "orchestr.resources.env_grammars"
    assert asked(counting) == (1, 2)
    assert result(session, LateImports(str(tmp_path / "b")))["verdict"] == "changed"
    assert asked(counting) == (1, 2)


def test_a_module_comes_with_the_package_it_is_in(
    session: Session, counting: CountingConnector, tmp_path: Path
) -> None:
    """A package that no sent module is in is asked for once, and brings the module that the function imports."""
    assert result(session, LateImports(str(tmp_path / "a"), "package"))["verdict"] == "changed"
    assert (tmp_path / "a").read_text() == "orchestr.resources.compose.containers"
    assert asked(counting) == (1, 2)


@pytest.mark.parametrize("way", ["absent", "not ours"])
def test_nothing_else_is_sent(session: Session, tmp_path: Path, way: str) -> None:
    """A module that is not there, or that nothing sent imports, is an ordinary import error; the agent lives on."""
    failed = result(session, LateImports(str(tmp_path / "a"), way))
    assert failed["verdict"] == "failed" and "No module named" in failed["error"]["message"]
    assert result(session, LateImports(str(tmp_path / "a")))["verdict"] == "changed"


def test_constructors_import_nothing_late() -> None:
    """Messages are read by the thread that would hear the answer, so what makes a resource must have come along."""
    import ast

    for path in (bundle.PACKAGE / "resources").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in ("__post_init__", "__init__", "__new__"):
                inner = [each for each in ast.walk(node) if isinstance(each, ast.ImportFrom)]
                assert not [each for each in inner if (each.module or "").startswith("orchestr")], path
