"""Lists of components, as tables for people and as JSON for programs. Imports no torch."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TypedDict

import click
from click.shell_completion import CompletionItem

from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import PLURALS, Component, Registry, registry


class ComponentName(click.ParamType):  # type: ignore[type-arg]
    """A component of one kind by name; shells complete it. Whether it exists is judged by who uses it."""

    name = "name"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the installed names that start with what was typed, each with its summary."""
        found = registry()
        names = ((found.unique_name(c), c.entry.summary) for c in found.components(self.kind))
        return [CompletionItem(name, help=text) for name, text in names if name.startswith(incomplete)]


def echo_json(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns; on a terminal the last column is cut to fit."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)][:-1]
    room = max(30, shutil.get_terminal_size((110, 24)).columns - sum(widths) - 2 * len(widths))
    for row in (header, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        last = textwrap.shorten(row[-1], room, placeholder=" ...") if sys.stdout.isatty() else row[-1]
        click.echo("  ".join((*cells, last)).rstrip())


class Described(TypedDict):
    """What is declared about a component, in plain values; the names of the fields are stable."""

    id: str
    name: str
    kind: Kind
    summary: str
    plugin: str
    distribution: str
    version: str
    tasks: list[str]
    needs: list[str]
    gives: list[str]
    paper: str
    license: str
    deviations: list[str]
    target: str


def describe(component: Component, found: Registry) -> Described:
    """Return what is declared about a component."""
    entry = component.entry
    return {
        "id": component.id,
        "name": found.unique_name(component),
        "kind": entry.kind,
        "summary": entry.summary,
        "plugin": component.plugin.name,
        "distribution": component.plugin.distribution,
        "version": component.plugin.version,
        "tasks": list(entry.tasks),
        "needs": sorted(entry.needs),
        "gives": sorted(entry.gives),
        "paper": entry.paper,
        "license": component.license,
        "deviations": list(entry.deviations),
        "target": entry.target,
    }


def list_components(kind: Kind, as_json: bool) -> None:
    """Print the installed components of one kind, as a table or as JSON."""
    found = registry()
    rows = [describe(component, found) for component in found.components(kind)]
    if as_json:
        echo_json(rows)
    elif not rows:
        click.echo(f"No {PLURALS[kind]} are installed.")
    else:
        header = ["name", "plugin", "needs", "gives", "summary"]
        lists = [(", ".join(row["needs"]) or "-", ", ".join(row["gives"]) or "-") for row in rows]
        table = [[row["name"], row["plugin"], *pair, row["summary"]] for row, pair in zip(rows, lists, strict=True)]
        echo_table(header, table)


def listing_command(kind: Kind) -> click.Command:
    """Return the command that lists the components of one kind."""

    @click.command(PLURALS[kind], help=f"List the installed {PLURALS[kind]}.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def command(as_json: bool) -> None:
        list_components(kind, as_json)

    return command
