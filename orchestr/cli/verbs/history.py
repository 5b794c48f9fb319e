"""``orchestr history``: the runs recorded on this machine."""

from __future__ import annotations

import time
from typing import Any

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes
from orchestr.paths import nearby


@click.command("history")
@takes("output")
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="Number of runs to list.")
def command(call: Invocation, number: int) -> int:
    """List recorded runs, the newest last.

    A ? after the number of changes: a task failed or was cut off in the middle of a change.
    """
    from orchestr.engine.journal import runs

    records = [_summary(record) for record in sorted(runs(), key=_start)[-number:]]
    if call.as_json:
        call.print_json({"version": 1, "verb": "history", "exit": 0, "runs": records})
    elif not records:
        print("No run is on record yet.")
    else:
        _table(records)
    return 0


def _start(record: dict[str, Any]) -> float:
    return float(record.get("started") or 0)


def _summary(record: dict[str, Any]) -> dict[str, Any]:
    hosts = record.get("hosts", {})
    ended = isinstance(hosts, dict)
    return {
        "run": record.get("run"),
        "started": record.get("started"),
        "verb": record.get("verb"),
        "inventory": record.get("inventory"),
        "exit": record.get("exit_code"),
        "hosts": len(hosts),
        "changed": sum(host.get("changed", 0) for host in hosts.values()) if ended else None,
        "may_have_changed": sum(host.get("may_have_changed") is True for host in hosts.values()) if ended else None,
        "elapsed_s": record.get("elapsed_s"),
    }


def _table(records: list[dict[str, Any]]) -> None:
    from orchestr.reports.visible import visible  # as late as all reports: --help does not need them

    print(f"{'run':<21} {'started':<19} {'verb':<9} {'exit':>4} {'hosts':>5} {'changed':>7}  inventory")
    for record in records:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["started"] or 0))
        ended = "-" if record["exit"] is None else record["exit"]
        changed = "-" if record["changed"] is None else f"{record['changed']}{'?' * bool(record['may_have_changed'])}"
        numbers = f"{ended:>4} {record['hosts']:>5} {changed:>7}"
        line = f"{record['run']:<21} {started:<19} {record['verb']:<9} {numbers}  {nearby(str(record['inventory']))}"
        print(visible(line))
