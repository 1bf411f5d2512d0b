"""``restorekit models``: list the models, or show one with its recipe. Listing imports no torch."""

from __future__ import annotations

from typing import Any

import click

from restorekit.cli.listing import ComponentName, describe, echo_json, echo_table
from restorekit.errors import WeightsError
from restorekit.plugin.registry import Component, Registry, registry
from restorekit.weights import weights_state
from restorekit.weights.find import shipped_license


def _weights(component: Component) -> str:
    try:
        return weights_state(component.entry)
    except WeightsError:  # listing goes on; using the model says what is wrong
        return "damaged"


def _row(component: Component, found: Registry) -> dict[str, Any]:
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


def _list(as_json: bool) -> None:
    found = registry()
    rows = [_row(component, found) for component in found.components("model")]
    if as_json:
        echo_json(rows)
    elif not rows:
        click.echo("No models are installed. Install one with: pip install restorekit-attngan")
    else:
        table = [
            [row["name"], row["plugin"], ", ".join(row["tasks"]) or "-", row["weights"], row["summary"]] for row in rows
        ]
        echo_table(["name", "plugin", "task", "weights", "summary"], table)


@click.group("models", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the installed models, or show one."""
    if context.invoked_subcommand is None:
        _list(as_json)


def _echo_facts(facts: dict[str, Any]) -> None:
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
