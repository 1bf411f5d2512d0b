"""``restorekit plugin new``: start a plugin of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from restorekit.plugin.scaffold import TEMPLATE_KINDS, new_plugin, plain_name


@click.group("plugin")
def plugin() -> None:
    """Start a plugin of your own."""


@plugin.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(TEMPLATE_KINDS), default="model", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder to create; restorekit-NAME by default.",
)
def new(name: str, kind: str, output: Path | None) -> None:
    """Write a package that installs, works and passes its checks: the plugin NAME."""
    name = plain_name(name)
    folder = new_plugin(name, kind, output or Path(f"restorekit-{name}"))
    click.echo(f"Wrote {folder}. Next:\n")
    click.echo(f"  pip install -e {folder}")
    click.echo(f"  restorekit plugins check {name}")
    if kind == "model":
        click.echo(f"  restorekit train {name} --data FOLDER -o run --set steps=100")
    click.echo(f"  pytest {folder}")


COMMANDS: dict[str, click.Command] = {"plugin": plugin}
