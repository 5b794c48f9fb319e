"""Run placements as pytest tests in this process: nothing is printed, each check is an event, and it works twice."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestr import events
from orchestr.errors import OrchestrError
from orchestr.redaction import redact
from orchestr.verification.backend import Sessions
from orchestr.verification.failure import explain, words_of
from orchestr.verification.outside import Outside
from orchestr.verification.placements import DERIVED, Placement

if TYPE_CHECKING:
    from testinfra.host import Host as TestinfraHost  # type: ignore[import-untyped]  # it has annotations, no marker

    from orchestr.engine.fleet import Fleet
    from orchestr.planning.plan import Host, Peer

#: The user's pytest settings and plugins are not used: only the plugins named here take part.
_SETTINGS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
_WITHOUT = ("terminal", "cacheprovider", "logging", "faulthandler", "junitxml", "pastebin", "stepwise", "doctest")


def run_checks(places: Sequence[Placement], fleet: Fleet, emit: events.Consumer) -> None:
    """Run the checks of all placements; each becomes a TaskFinished event. Raises KeyboardInterrupt, OrchestrError."""
    files = list(dict.fromkeys(placement.file for placement in places))
    plugin = Checks(places, Sessions(fleet, emit), emit)
    arguments = ["-c", os.devnull, "--rootdir", os.path.commonpath([file.parent for file in files]), "--noconftest"]
    arguments += ["--disable-plugin-autoload", "--capture=no", "--strict-markers"]
    arguments += [word for name in _WITHOUT for word in ("-p", f"no:{name}")]
    with _own_settings():
        code = pytest.main([*arguments, *map(str, files)], plugins=[plugin])
    if code == pytest.ExitCode.INTERRUPTED and not plugin.broken:
        raise KeyboardInterrupt
    if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        raise OrchestrError(f"pytest could not run the checks: {plugin.fault or pytest.ExitCode(code).name}")


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _SETTINGS if name in os.environ}
    silent = io.StringIO()
    try:
        with contextlib.redirect_stderr(silent):
            yield
    finally:
        os.environ.update(kept)


class RoleModule(pytest.Module):
    """A role's verify.py, imported as a module of its role, so that the role is loaded once and not twice."""

    def _getobj(self) -> Any:
        name = f"orchestr_roles.{self.path.parent.name}.verify"
        if self.path == DERIVED:
            name = f"orchestr.verification.{DERIVED.stem}"
        sys.modules.pop(name, None)
        pytest.register_assert_rewrite(name)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                return importlib.import_module(name)
        except SystemExit as error:
            raise self.CollectError(f"it ended the program: sys.exit({error.code!r})") from error


class Checks:
    """The pytest plugin: collection of checks, their fixtures, and the events about them."""

    def __init__(self, places: Sequence[Placement], sessions: Sessions, emit: events.Consumer) -> None:
        self._places, self._sessions, self._emit = places, sessions, emit
        self._reports: list[tuple[pytest.CallInfo[None], pytest.TestReport]] = []
        self.fault = ""
        self.broken = False

    # -- collection -----------------------------------------------------------------------------------------------
    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector:
        return pytest.Dir.from_parent(parent, path=path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module:
        module: RoleModule = RoleModule.from_parent(parent, path=module_path)
        return module

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        """Leave out derived checks that do not concern a host, such as checks of data where there is none."""
        items[:] = [item for item in items if item.path != DERIVED or _is_for_its_host(item)]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        module = metafunc.definition.getparent(RoleModule)
        assert module is not None
        places = [placement for placement in self._places if placement.file == module.path]
        metafunc.parametrize("placement", places, ids=[placement.host for placement in places], indirect=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A verify.py that cannot be loaded fails for every host that should have been checked with it."""
        if not report.failed:
            return
        self.broken = True
        for placement in self._places:
            if report.nodeid.endswith(f"{placement.role}/verify.py") or placement.file.name == report.nodeid:
                message = f"the checks of the role {placement.role} cannot be loaded"
                text = report.longreprtext[-2000:]
                self._emit(events.HostFailed(placement.host, message, f"correct {placement.file}", text))

    def pytest_internalerror(self, excrepr: Any) -> None:
        self.fault = str(excrepr)[-2000:]

    # -- fixtures -------------------------------------------------------------------------------------------------
    @pytest.fixture(autouse=True)
    def placement(self, request: pytest.FixtureRequest) -> Placement:
        """The role and host that are being checked."""
        current: Placement = request.param
        return current

    @pytest.fixture
    def host(self, placement: Placement) -> TestinfraHost:
        """testinfra's host: commands run on the machine, as the user the inventory makes the agent."""
        return self._sessions.host(placement.host)

    @pytest.fixture
    def machine(self, placement: Placement) -> Host:
        """The host as its role sees it: name, address, groups, facts, other hosts and their parameters."""
        return placement.machine

    @pytest.fixture
    def params(self, placement: Placement) -> Any:
        """The role's parameters for this host."""
        return placement.params

    @pytest.fixture
    def peers(self, placement: Placement) -> Callable[[str], list[Peer]]:
        """``peers(ROLE)``: all hosts that get a role, this one included when it does."""
        return placement.machine.with_role

    @pytest.fixture
    def outside(self) -> Outside:
        """The network as seen from this machine, the controller."""
        return Outside()

    # -- events ---------------------------------------------------------------------------------------------------
    def pytest_sessionstart(self) -> None:
        self._sessions.use()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function, nextitem: pytest.Item | None) -> Iterator[None]:
        placement = _place_of(item)
        task, name = _names(item, placement)
        self._emit(events.TaskStarted(placement.host, task, name))
        self._reports.clear()
        self._sessions.printed = ""
        with contextlib.redirect_stdout(io.StringIO()):
            result = yield
        self._emit(_event(item, placement, self._reports, self._sessions.printed))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        self._reports.append((call, report))
        return report


def _place_of(item: pytest.Function) -> Placement:
    placement = item.callspec.params["placement"]
    assert isinstance(placement, Placement)
    return placement


def _is_for_its_host(item: pytest.Function) -> bool:
    from orchestr.verification.application_checks import is_for

    return is_for(item.originalname, _place_of(item).machine)


def _names(item: pytest.Function, placement: Placement) -> tuple[str, str]:
    """Return a check's stable id and its name: the test function, with its own parameters but not the host."""
    others = [str(value) for key, value in item.callspec.params.items() if key != "placement"]
    name = item.originalname + (f"[{', '.join(others)}]" if others else "")
    return f"{placement.role}/{name}", name


def _event(
    item: pytest.Function,
    placement: Placement,
    reports: list[tuple[pytest.CallInfo[None], pytest.TestReport]],
    printed: str,
) -> events.TaskFinished:
    task, name = _names(item, placement)
    verdict, reason, error = "ok", "", {}
    for call, report in reports:
        if report.failed and verdict != "failed":
            explanation = explain(call.excinfo, placement.file, printed)
            verdict, error = "failed", {key: redact(text) for key, text in explanation.items()}
        elif report.skipped and verdict == "ok":
            verdict, reason = "skipped", _reason(report)
    return events.TaskFinished(
        host=placement.host,
        task=task,
        resource="check",
        name=name,
        verdict=verdict,
        reason=reason,
        error=error,
        elapsed_s=round(sum(report.duration for _, report in reports), 4),
        title=f"{placement.role}: {words_of(item.obj, name)}",
    )


def _reason(report: pytest.TestReport) -> str:
    where = report.longrepr
    return str(where[2]).removeprefix("Skipped: ") if isinstance(where, tuple) else "skipped"
