"""``orchestr facts``: system, memory and addresses of hosts."""

from __future__ import annotations

from typing import Any

import click

from orchestr.cli.invocation import Invocation
from orchestr.cli.options import takes


@click.command("facts")
@takes("inventory", "hosts", "variables", "output")
@click.argument("pattern", default="all")
def command(call: Invocation, pattern: str) -> int:
    """Show facts of the hosts: system, memory, addresses.

    PATTERN selects hosts; the default is all.
    """
    inventory = call.load()
    from orchestr.adhoc import facts

    def work(**options: Any) -> Any:
        result = facts(inventory, pattern, limit=call.limit, forks=call.forks, **options)
        for name, host in result.hosts.items():
            if host.facts and not call.as_json:
                _show(name, dict(host.facts))
        return result

    return call.perform(work, report=call.problems_only())


def _show(name: str, facts: dict[str, Any]) -> None:
    from orchestr.reports.visible import visible  # as late as all reports: --help does not need them

    print(name)
    width = max(len(key) for key in facts)
    for key in sorted(facts):
        value = facts[key]
        text = ", ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
        print(visible(f"  {key.ljust(width)}  {_with_unit(key, value, text)}".rstrip()))


def _with_unit(key: str, value: Any, text: str) -> str:
    is_size = key.endswith("_bytes") and isinstance(value, int)
    return f"{text} ({value / (1 << 30):.1f} GiB)" if is_size else text
