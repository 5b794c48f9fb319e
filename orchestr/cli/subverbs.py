"""A verb that has verbs of its own, as ``orchestr secrets`` has."""

from __future__ import annotations

from typing import Any

import click


class SubverbGroup(click.Group):
    """Names the closest verb when there is none of that name; verbs are listed in the order they were written."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from orchestr.errors import InputError
        from orchestr.inventory.closest import closest

        if args and not args[0].startswith("-") and args[0] not in self.commands:
            step = f"orchestr {self.name} --help lists them"
            near = closest(args[0], self.commands)
            raise InputError(f"{self.name} has no verb {args[0]!r}", suggestion=near, next_step=step)
        return super().resolve_command(ctx, args)
