"""Prompts: secrets typed by a person, unseen."""

from __future__ import annotations

import getpass
import sys
import warnings

from orchestr.errors import InputError


def ask_secret(prompt: str, next_step: str) -> str:
    """Return the secret that a person types. Raises InputError with ``next_step`` when the input ends instead."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", getpass.GetPassWarning)  # without a terminal: the value comes from a pipe
            return getpass.getpass(prompt)
    except EOFError:
        print(file=sys.stderr)  # the cursor stands behind the prompt
        raise InputError(f"nothing was typed at the prompt {prompt.strip(': ')!r}", next_step=next_step) from None
