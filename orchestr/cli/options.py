"""The options verbs share, named as Ansible names them, and the decorator that hands them over as one `Invocation`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from orchestr.cli.invocation import Invocation

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_INVENTORY: list[Decorator] = [click.argument("inventory_path", metavar="INVENTORY")]
_OUTPUT: list[Decorator] = [
    click.option("-v", "--verbose", count=True, help="Say more: -v every task and live output, -vv timings, -vvv all."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there."),
    click.option("--no-color", is_flag=True, help="No colours (the variable NO_COLOR does the same)."),
]
_VAULT: list[Decorator] = [
    click.option(
        "--vault-password-file",
        multiple=True,
        metavar="FILE",
        help="Has the vault password, or is a program printing it.",
    ),
    click.option(
        "--vault-id", "vault_ids", multiple=True, metavar="LABEL@SOURCE", help="As Ansible's: a FILE, or prompt."
    ),
    click.option(
        "--ask-vault-pass", "--ask-vault-password", "ask_vault_pass", is_flag=True, help="Ask for the vault password."
    ),
]
_VARIABLES: list[Decorator] = [
    click.option("-e", "--extra-vars", multiple=True, metavar="VARS", help="k=v …, JSON, YAML or @FILE; win over all."),
    *_VAULT,
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the password sudo wants on the hosts."),
]
_FORKS: list[Decorator] = [
    click.option("-f", "--forks", type=click.IntRange(1), default=32, show_default=True, help="Hosts at a time."),
]
_HOSTS: list[Decorator] = [
    click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts: names, groups, patterns as in Ansible."),
    *_FORKS,
]
_PLAYBOOK: list[Decorator] = [
    click.option("--playbook", metavar="FILE", help="Instead of the one the inventory names (orchestr_playbook)."),
]
_TAGS: list[Decorator] = [
    click.option("-t", "--tags", multiple=True, metavar="TAGS", help="Only what has one of these tags; a role is one."),
    click.option("--skip-tags", multiple=True, metavar="TAGS", help="Nothing that has one of these tags."),
]
_EVENTS: list[Decorator] = [
    click.option("--events", metavar="FILE", help="Also write every event as a JSON line to FILE (- is stdout)."),
]
_DIFF: list[Decorator] = [
    click.option("-D", "--diff", is_flag=True, help="Show whole diffs instead of one line per change."),
]
_CHECK: list[Decorator] = [
    click.option("-C", "--check", is_flag=True, help="Change nothing, say what would change (as plan does)."),
]
GROUPS: dict[str, list[Decorator]] = {
    "inventory": _INVENTORY,
    "check": _CHECK,
    "diff": _DIFF,
    "hosts": _HOSTS,
    "forks": _FORKS,
    "tags": _TAGS,
    "playbook": _PLAYBOOK,
    "variables": _VARIABLES,
    "vault": _VAULT,
    "events": _EVENTS,
    "output": _OUTPUT,
}


def takes(*groups: str) -> Decorator:
    """Give a verb these groups of options; its function gets one Invocation, and its own parameters by name."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**given: Any) -> Any:
            known = {field.name for field in fields(Invocation)}
            shared = {name: value for name, value in given.items() if name in known}
            own = {name: value for name, value in given.items() if name not in known}
            return function(Invocation(**shared), **own)

        wrapped: Callable[..., Any] = call
        for option in reversed([option for group in groups for option in GROUPS[group]]):
            wrapped = option(wrapped)
        return wrapped

    return decorate
