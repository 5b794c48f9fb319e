"""The functions of templates that are Ansible's: ``lookup``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from jinja2.exceptions import TemplateRuntimeError


def lookup(plugin: str, *terms: str, default: Any = None) -> Any:
    """``lookup('env', NAME)``, the one lookup orchestr has; unset and without default it is an empty text."""
    if plugin not in ("env", "ansible.builtin.env"):
        raise TemplateRuntimeError(
            f"lookup {plugin!r} is not supported; orchestr has lookup('env', NAME), and the tags !file and !command"
        )
    values = [os.environ.get(term, "" if default is None else default) for term in terms]
    return values[0] if len(values) == 1 else ",".join(values)


GLOBALS: dict[str, Callable[..., Any]] = {"lookup": lookup}
