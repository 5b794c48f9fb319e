"""What the benchmark makes of its measurements: turns, targets, tables and the picture."""

from __future__ import annotations

import doctest
import importlib
from xml.etree import ElementTree

import pytest

from benchmarks.lab import Spent
from benchmarks.meter import Measured
from benchmarks.plays import rounded, summary
from benchmarks.plot import WIDTH, position, svg
from benchmarks.schedule import rounds
from benchmarks.table import report, table
from benchmarks.targets import at_least, at_most, targets
from benchmarks.tools import pyinfra_changes

RECORD = {
    "converged_3": {"orchestr_s": 0.5, "floor_s": 0.4, "pyinfra_s": 4.0, "mitogen_s": 5.0, "runs": 3},
    "memory_5000": {"orchestr_s": 9.0, "cpu_ms_per_host": 2.0},
    "help": {"orchestr_s": 0.1, "unneeded_modules": 1},
    "machine": {"cores": 2},
}


@pytest.mark.parametrize("name", ["schedule", "targets", "plot", "tools", "transfers"])
def test_examples(name: str) -> None:
    """Examples in the docstrings hold."""
    found = doctest.testmod(importlib.import_module(f"benchmarks.{name}"))
    assert found.attempted > 0 and found.failed == 0


def test_each_tool_runs_as_often_as_it_is_to() -> None:
    """A slow tool's few runs are spread over all repetitions, and nobody is always the first."""
    turns = list(rounds({"a": 6, "b": 6, "slow": 2}))
    assert [sum(name in each for each in turns) for name in ("a", "b", "slow")] == [6, 6, 2]
    assert [number for number, each in enumerate(turns) if "slow" in each] == [0, 3]
    assert {each[0] for each in turns} >= {"a", "b"}


def test_summary_takes_medians_and_admits_what_is_unknown() -> None:
    """Medians by tool; a cost that one run could not read is null, not a smaller figure."""
    runs = [Measured(s, s / 2, 30.0, Spent(cpu, 100), "") for s, cpu in ((3.0, 1.0), (1.0, None), (2.0, 1.0))]
    found = summary({"orchestr": runs, "floor": runs[:1]})
    assert found["orchestr_s"] == 2.0 and found["floor_s"] == 3.0 and found["runs_of"] == {"orchestr": 3, "floor": 1}
    assert found["cost"]["orchestr"] == {
        "cpu_s": 1.0,
        "largest_process_mb": 30.0,
        "remote_cpu_s": None,
        "wire_bytes": 100.0,
    }


def test_spending_is_unknown_where_either_end_is() -> None:
    """A node that could not be read before or after gives no difference."""
    assert Spent(5.0, 10).since(Spent(2.0, 4)) == Spent(3.0, 6)
    assert Spent(None, 10).since(Spent(2.0, None)) == Spent(None, None)


def test_figures_keep_four_digits() -> None:
    """Small numbers keep four significant digits, large ones become whole."""
    assert [rounded(each) for each in (0.123456, 12.34567, 12345.6, None)] == [0.1235, 12.35, 12346, None]


def test_targets_say_met_or_by_how_much_missed() -> None:
    """At most and at least, both ways; cases that did not run have no verdict."""
    found = {each.what: (each.measured, each.verdict) for each in targets(RECORD)}
    assert found == {
        "converged, 3 hosts, over the floor": ("1.25×", "met"),
        "converged, 3 hosts, faster than pyinfra": ("8×", "met"),
        "converged, 3 hosts, faster than mitogen": ("10×", "missed by 50 %"),
        "5,000 memory hosts, controller's CPU per host": ("2 ms", "missed by 100 %"),
        "orchestr --help": ("0.1 s", "met"),
        "orchestr --help, modules it does not need": ("1", "missed by 100 %"),
    }


def test_limits_themselves_are_met() -> None:
    """Exactly the wanted figure is enough."""
    assert at_most("x", 1.6, 1.6, "×").verdict == at_least("x", 6, 6, "×").verdict == "met"
    assert at_least("x", 0.0, 3, "×").verdict.startswith("missed")


def test_tables_align_their_columns() -> None:
    """Words to the left, numbers to the right, every line of one width."""
    lines = list(table(("case", "s"), [["converged", "1.5"], ["x", "–"]]))
    assert lines == ["| case      |   s |", "| --------- | --: |", "| converged | 1.5 |", "| x         |   – |"]


def test_report_shows_absent_tools_as_such() -> None:
    """A tool that did not run has a dash, and the machine is no case."""
    text = report(RECORD)
    assert "| converged_3 |      0.5 |   0.4 |       4 |       5 |       – |" in text
    assert "| machine     | cores" in text and "machine" not in text.partition("## Further")[0]
    assert "## Cost" not in text


def test_picture_is_xml_with_a_bar_per_figure() -> None:
    """A bar per tool and case, as long as the logarithm of its seconds."""
    root = ElementTree.fromstring(svg(RECORD))
    bars = [each for each in root.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") != "#ffffff"]
    assert len(bars) == 6
    assert position(1.0, -1, 1) == WIDTH / 2 and position(10.0, -1, 1) == WIDTH
    assert ElementTree.fromstring(svg({"machine": {}})).tag.endswith("svg")


def test_changes_of_pyinfra_are_its_errors_too() -> None:
    """Hosts come from its connections, changes from the total of its table; without a total nothing is converged."""
    said = "    [h1] Connected\n    [h2] Connected\n"
    titles = "    Operation     Hosts   Success   Error   No Change\n"
    assert pyinfra_changes(said + titles + "    Grand total   114     -         -       114\n") == (2, 0)
    assert pyinfra_changes(said + titles + "    Grand total   114     25        -       89\n") == (2, 25)
    assert pyinfra_changes(said)[1] < 0
