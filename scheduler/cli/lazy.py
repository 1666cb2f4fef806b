"""A group of commands whose modules are imported only when one of them runs."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from scheduler.cli.catalogue import COMMANDS, CommandEntry

PACKAGE = "scheduler.cli.commands"


class LazyGroup(TyperGroup):
    """A group that needs only the catalogue for `photochrom --help` and for completing a command's name."""

    entries: ClassVar[Mapping[str, CommandEntry]] = COMMANDS

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Names are looked up here; for a misspelt one, similar names are suggested.
        self.commands = {name: _summary(name, entry) for name, entry in self.entries.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Imports the command's module and returns the command. Raises what the import raises."""
        name, command, arguments = super().resolve_command(ctx, args)
        return name, command if name is None else load_command(name, self.entries[name]), arguments


def load_command(name: str, entry: CommandEntry) -> Any:
    """The command as its module defines it: a TyperCommand, or a TyperGroup."""
    group = get_group(import_module(f"{PACKAGE}.{entry.module}").app)
    return group if entry.is_group else group.commands[name]


def _summary(name: str, entry: CommandEntry) -> TyperCommand:
    return TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel, hidden=entry.hidden)
