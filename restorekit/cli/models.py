"""``restorekit models``: list the models, or show one with its recipe. Listing imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import click

from restorekit.cli.listing import ComponentName, Described, describe, echo_json, echo_table
from restorekit.errors import UnknownNameError, WeightsError, closest
from restorekit.plugin.registry import Component, Registry, registry
from restorekit.weights import weights_state
from restorekit.weights.find import shipped_license

_UNREADY = ("none", "damaged")


def _weights(component: Component) -> str:
    try:
        return weights_state(component.entry)
    except WeightsError:  # listing goes on; using the model says what is wrong
        return "damaged"


class _Row(Described):
    weights: str
    weights_license: str


def _row(component: Component, found: Registry) -> _Row:
    return {
        **describe(component, found),
        "weights": _weights(component),
        "weights_license": _weights_license(component),
    }


def _weights_license(component: Component) -> str:
    try:
        return shipped_license(component.entry)
    except WeightsError:  # said where the weights are used
        return ""


@dataclass(frozen=True)
class _Wanted:
    """Which models are listed: all that fit one of `patterns` (any, without), a task, and readiness."""

    patterns: tuple[str, ...] = ()
    task: str | None = None
    ready: bool = False

    def takes(self, row: _Row) -> bool:
        """Whether a model is one of them; a pattern is of its name or its id."""
        names = (row["name"], row["id"])
        named = any(fnmatchcase(name, pattern) for name in names for pattern in self.patterns)
        return (
            (named or not self.patterns)
            and (self.task is None or self.task in row["tasks"])
            and not (self.ready and row["weights"] in _UNREADY)
        )


def _list(as_json: bool, wanted: _Wanted) -> None:
    found = registry()
    everything = [_row(component, found) for component in found.components("model")]
    rows = [row for row in everything if wanted.takes(row)]
    if everything and not rows:
        names = [row["name"] for row in everything]
        hint = closest(wanted.patterns[0], names) if wanted.patterns else ""
        raise UnknownNameError(f"no model fits what was asked for.{hint} Installed: {', '.join(names)}")
    if as_json:
        echo_json(rows)
    elif not rows:
        click.echo("No models are installed. Install one with: pip install restorekit-attngan")
    else:
        table = [
            [row["name"], row["plugin"], ", ".join(row["tasks"]) or "-", row["weights"], row["summary"]] for row in rows
        ]
        echo_table(["name", "plugin", "task", "weights", "summary"], table)


class _Models(click.Group):
    """A group in which whatever is no command is a pattern of names to list."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with, else the one that lists."""
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "list", self.commands["list"], args


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what is listed, and how."""
    for option in (
        click.option("--ready", is_flag=True, help="Only models that restore as they are, with weights or without."),
        click.option("--task", metavar="TASK", help="Only models for TASK, such as raindrop."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        command = option(command)
    return command


@click.group("models", cls=_Models, invoke_without_command=True, subcommand_metavar="[PATTERN... | COMMAND [ARGS]...]")
@_filters
@click.pass_context
def models(context: click.Context, as_json: bool, task: str | None, ready: bool) -> None:
    """List the installed models, those whose names fit a PATTERN such as 'pix2pix*', or show one."""
    if context.invoked_subcommand is None:
        _list(as_json, _Wanted((), task, ready))


@models.command("list", hidden=True)
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@_filters
@click.pass_context
def list_models(
    context: click.Context, patterns: tuple[str, ...], as_json: bool, task: str | None, ready: bool
) -> None:
    """List the models whose names fit a PATTERN; options may stand before and behind it."""
    before = context.parent.params if context.parent else {}
    wanted = _Wanted(patterns, task or before.get("task"), ready or bool(before.get("ready")))
    _list(as_json or bool(before.get("as_json")), wanted)


def _echo_facts(facts: _Row) -> None:
    click.echo(f"{facts['id']}: {facts['summary']}")
    for key in ("tasks", "weights", "weights_license", "paper", "license", "needs", "gives"):
        value = facts[key]
        text = ", ".join(value) if isinstance(value, list) else value
        if text:
            click.echo(f"{key.replace('_license', ' licence')}: {text}")
    click.echo(f"plugin: {facts['plugin']} ({facts['distribution']} {facts['version']})")
    for deviation in facts["deviations"]:
        click.echo(f"deviation: {deviation}")


@models.command("show")
@click.argument("name", metavar="ID", type=ComponentName("model"))
@click.option("--toml", "as_toml", is_flag=True, help="Print the recipe alone, as a TOML file.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def show(name: str, as_toml: bool, as_json: bool) -> None:
    """Show what the model ID is, and its recipe."""
    from restorekit.recipe import to_toml
    from restorekit.recipe.check import model_recipe

    if as_toml and as_json:
        raise click.UsageError("--toml and --json exclude each other; give one of them.")
    found = registry()
    recipe = model_recipe(found, name)
    if as_toml:
        click.echo(to_toml(recipe), nl=False)
        return
    facts = _row(found.find("model", name), found)
    if as_json:
        echo_json({**facts, "recipe": recipe.plain(), "digest": recipe.digest()})
        return
    _echo_facts(facts)
    click.echo(f"\nrecipe {recipe.digest()}:\n\n{to_toml(recipe)}", nl=False)


COMMANDS: dict[str, click.Command] = {"models": models}
