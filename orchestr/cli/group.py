"""The ``orchestr`` command: its verbs are the modules of ``orchestr.cli.verbs``, imported when they are named."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import click

from orchestr import __version__

#: The order of the verbs in the help: in the order of a person's first steps. Others follow by name.
ORDER = (
    "plan",
    "run",
    "verify",
    "upgrade",
    "rollback",
    "ping",
    "facts",
    "exec",
    "inventory",
    "secrets",
    "trust",
    "doc",
    "history",
    "show",
)


class VerbGroup(click.Group):
    """Finds a verb in the module of its name, so that ``orchestr run`` imports nothing that only ``trust`` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from orchestr.cli import verbs

        names = [module.name for module in pkgutil.iter_modules(verbs.__path__)]
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = import_module(f"orchestr.cli.verbs.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Name the closest verb when there is none of that name."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise _no_such_verb(args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def _no_such_verb(name: str, known: list[str]) -> Exception:
    from orchestr.errors import InputError
    from orchestr.inventory.closest import closest

    near = closest(name, known)
    return InputError(f"there is no verb {name!r}", suggestion=near, next_step="orchestr --help lists the verbs")


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 something failed, 2 bad input, 3 plan found changes, 4 unreachable, 5 locked, "
    "130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", prog_name="orchestr", message="%(prog)s %(version)s")
def orchestr() -> None:
    """Deploy and grow self-hosted clusters over SSH, out of one inventory file.

    orchestr VERB inventories/prod.yml
    """
