"""The options of one command, as they were typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Options:
    """The options verbs share; a verb that does not take one has its default here."""

    inventory_path: str = ""
    target: str = ""
    as_json: bool = False
    verbose: int = 0
    no_color: bool = False
    events: str | None = None
    extra_vars: tuple[str, ...] = ()
    vault_password_file: tuple[str, ...] = ()
    vault_ids: tuple[str, ...] = ()
    ask_vault_pass: bool = False
    ask_become_pass: bool = False
    limit: str | None = None
    forks: int = 32
    playbook: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    shared: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # values made once per command
