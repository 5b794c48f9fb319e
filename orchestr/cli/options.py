"""Options that verbs share, named as in Ansible, and the decorator that passes them as one `Invocation`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from orchestr.cli.invocation import Invocation

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

#: An argument that names a file: shells complete it. The verb itself reports errors in it.
FILE = click.Path(readable=False)

_INVENTORY: list[Decorator] = [click.argument("inventory_path", metavar="INVENTORY", type=FILE)]
_OUTPUT: list[Decorator] = [
    click.option("-v", "--verbose", count=True, help="More output: -v tasks and live output, -vv timings, -vvv all."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."),
    click.option("--no-color", is_flag=True, help="Disable colours (as the environment variable NO_COLOR does)."),
]
_VAULT: list[Decorator] = [
    click.option(
        "--vault-password-file",
        multiple=True,
        metavar="FILE",
        type=FILE,
        help="File with the vault password, or an executable that prints it.",
    ),
    click.option(
        "--vault-id",
        "vault_ids",
        multiple=True,
        metavar="LABEL@SOURCE",
        help="As in Ansible; SOURCE is a file or 'prompt'.",
    ),
    click.option(
        "--ask-vault-pass", "--ask-vault-password", "ask_vault_pass", is_flag=True, help="Ask for the vault password."
    ),
]
_VARIABLES: list[Decorator] = [
    click.option(
        "-e", "--extra-vars", multiple=True, metavar="VARS", help="Variables: k=v …, JSON, YAML or @FILE; override all."
    ),
    *_VAULT,
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the sudo password of the hosts."),
]
_FORKS: list[Decorator] = [
    click.option(
        "-f", "--forks", type=click.IntRange(1), default=32, show_default=True, help="Hosts processed in parallel."
    ),
]
_HOSTS: list[Decorator] = [
    click.option(
        "-l", "--limit", metavar="PATTERN", help="Only these hosts: names, groups or patterns, as in Ansible."
    ),
    *_FORKS,
]
_PLAYBOOK: list[Decorator] = [
    click.option("--playbook", metavar="FILE", type=FILE, help="Playbook to use instead of the inventory's."),
]
_TAGS: list[Decorator] = [
    click.option(
        "-t", "--tags", multiple=True, metavar="TAGS", help="Only tasks with one of these tags; a role's name is a tag."
    ),
    click.option("--skip-tags", multiple=True, metavar="TAGS", help="Skip tasks with one of these tags."),
]
_EVENTS: list[Decorator] = [
    click.option("--events", metavar="FILE", type=FILE, help="Write every event as a JSON line to FILE (-: stdout)."),
]
_DIFF: list[Decorator] = [
    click.option("-D", "--diff", is_flag=True, help="Show full diffs instead of one line per change."),
]
_CHECK: list[Decorator] = [
    click.option("-C", "--check", is_flag=True, help="Dry run: show what would change (as plan does)."),
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
    """Add these groups of options to a verb. Its function gets an Invocation, and its own parameters by name."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**options: Any) -> Any:
            known = {field.name for field in fields(Invocation)}
            shared = {name: value for name, value in options.items() if name in known}
            own = {name: value for name, value in options.items() if name not in known}
            return function(Invocation(**shared), **own)

        wrapped: Callable[..., Any] = call
        for option in reversed([option for group in groups for option in GROUPS[group]]):
            wrapped = option(wrapped)
        return wrapped

    return decorate
