"""The command-line program: one small file per command, imported only when that command runs."""

from __future__ import annotations

import importlib
import os

import click
import pluggy

from restorekit.cli.ending import guarded
from restorekit.commands import COMMANDS
from restorekit.errors import closest
from restorekit.notices import notice, on_terminal
from restorekit.plugin.isolation import foreign_code
from restorekit.plugin.registry import registry
from restorekit.termination import hear_termination
from restorekit.version import __version__


class LazyGroup(click.Group):
    """A group that imports a command's module when it is run, and lets plugins add commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, those of plugins behind restorekit's own."""
        return [*COMMANDS, *sorted(super().list_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command of restorekit, or return that of a plugin."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = getattr(module, "COMMANDS", {}).get(cmd_name) or module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command is meant when there is none of that name."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = closest(args[0], self.list_commands(ctx))
            ctx.fail(f"There is no command {args[0]!r}.{hint} `restorekit --help` lists them.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries, without importing any."""
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        rows += [(name, c.get_short_help_str()) for name, c in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="restorekit")
@click.pass_context
def cli(ctx: click.Context, /) -> None:
    """Restore images: remove rain and raindrops, train and compare models."""
    ctx.with_resource(on_terminal())


def _add_commands(implementation: pluggy.HookImpl, name: str) -> str:
    """Let one plugin add its commands. Return a warning, or an empty string; on any error none is added."""
    before = dict(cli.commands)
    with foreign_code() as told:
        implementation.function(*[cli for _ in implementation.argnames])
    if told.error is not None:
        cli.commands = before
        return (
            f"plugin {name!r}: its restorekit_commands hook failed ({told.line});"
            f" its commands are missing; see `restorekit plugins check {name}`"
        )
    clashes = [c for c in cli.commands if c in COMMANDS or cli.commands[c] is not before.get(c, cli.commands[c])]
    if not clashes:
        return ""
    cli.commands = before
    return f"plugin {name!r}: command {clashes[0]!r} is taken; none of its commands was added; rename it"


def _plugin_commands(manager: pluggy.PluginManager) -> list[str]:
    """Let every plugin add its commands, in order of their names; return the warnings."""
    implementations = manager.hook.restorekit_commands.get_hookimpls()
    found = [_add_commands(i, i.plugin_name) for i in sorted(implementations, key=lambda i: i.plugin_name)]
    return [warning for warning in found if warning]


def _prepare() -> None:
    """Let plugins add their commands, and say which plugins failed."""
    found = registry()
    warnings = [*found.warnings, *_plugin_commands(found.manager)]
    if "_RESTOREKIT_COMPLETE" in os.environ:  # a shell asks for completions: nobody reads warnings now
        return
    for warning in warnings:
        notice(warning)


def _run() -> object:
    with on_terminal():
        _prepare()
        return cli(prog_name="restorekit", standalone_mode=False)


def main() -> None:
    """Run the program; what goes wrong ends in one sentence and the exit code 1, Ctrl-C in 130, SIGTERM in 143."""
    hear_termination()
    guarded(_run)
