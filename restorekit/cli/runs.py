"""``restorekit runs``: look at training runs."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import click
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from restorekit.cli.listing import echo_json, echo_table
from restorekit.errors import DataError, RestorekitError
from restorekit.jsonfile import read_table
from restorekit.notices import notice
from restorekit.recipe import Recipe
from restorekit.recipe.toml import read_recipe_file

FOLDER = click.Path(path_type=Path)


class _Data(BaseModel):
    """What a run was trained on."""

    label: str = ""


class _Facts(BaseModel):
    """What ``run.json`` says."""

    data: _Data | None = None
    checked: str = ""


class _Status(BaseModel):
    """What ``status.json`` says."""

    model_config = ConfigDict(allow_inf_nan=True)

    step: NonNegativeInt = 0
    completed: bool = False
    seconds: float = 0.0
    best: dict[str, float] = {}


def _read(run: Path) -> tuple[Recipe, _Facts, _Status]:
    """Return recipe, facts and status of a run. Raises `DataError` when the folder holds none or it is damaged."""
    recipe = run / "recipe.toml"
    if not recipe.is_file():
        raise DataError(f"{run} is not a run: it has no recipe.toml; give a folder that `restorekit train` made")
    return read_recipe_file(recipe), read_table(run / "run.json", _Facts), read_table(run / "status.json", _Status)


class _Row(TypedDict):
    run: str
    recipe: str
    digest: str
    data: str
    checked: str
    step: int
    steps: int
    completed: bool
    hours: float
    best: dict[str, float]


def _row(run: Path) -> _Row:
    recipe, facts, status = _read(run)
    return {
        "run": str(run),
        "recipe": recipe.name,
        "digest": recipe.digest(),
        "data": facts.data.label if facts.data else "",
        "checked": facts.checked,
        "step": status.step,
        "steps": recipe.steps,
        "completed": status.completed,
        "hours": round(status.seconds / 3600, 2),
        "best": status.best,
    }


def _best(row: _Row) -> str:
    return "  ".join(f"{k} {v:.3f}" for k, v in sorted(row["best"].items())) or "-"


@click.group("runs")
def command() -> None:
    """List, show, plot and compare training runs."""


def _rows(folder: Path) -> list[_Row]:
    """Return what there is to say of each run in a folder. One that cannot be read is a warning."""
    rows = []
    for path in sorted(folder.glob("*/recipe.toml")):
        try:
            rows.append(_row(path.parent))
        except RestorekitError as error:
            notice(f"{path.parent} is left out: {error}")
    return rows


@command.command("list")
@click.argument("folder", type=FOLDER, default=Path("runs"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER."""
    rows = _rows(folder)
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo(f"No runs in {folder}. Give a folder that holds folders which `restorekit train` made.")
        return
    table = [
        [Path(r["run"]).name, r["recipe"], r["data"], f"{r['step']}/{r['steps']}", f"{r['hours']:.2f}", _best(r)]
        for r in rows
    ]
    echo_table(["run", "recipe", "data", "step", "hours", "best"], table)


@command.command("show")
@click.argument("run", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(run: Path, as_json: bool) -> None:
    """Show how far RUN is, its best values and its recipe."""
    from restorekit.recipe import to_toml

    row = _row(run)
    recipe = _read(run)[0]
    if as_json:
        echo_json({**row, "fields": recipe.plain()})
        return
    state = "finished" if row["completed"] else "not finished"
    click.echo(f"{run}: {row['recipe']} on {row['data']}, step {row['step']} of {row['steps']}, {state}")
    if row["checked"]:
        click.echo(row["checked"])
    click.echo(f"best: {_best(row)}\n\n{to_toml(recipe)}")


@command.command("plot")
@click.argument("runs", type=FOLDER, nargs=-1, required=True)
@click.option("-o", "--output", type=FOLDER, default=Path("curves.png"), show_default=True)
def plot(runs: tuple[Path, ...], output: Path) -> None:
    """Draw the curves of one or several RUNS into one PNG."""
    from restorekit.engine.run.pictures import save_curves

    for run in runs:
        _read(run)
    if not save_curves(runs, output):
        raise DataError(f"nothing was logged yet in {', '.join(map(str, runs))}; train on, then draw")
    click.echo(str(output))


@command.command("compare")
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
def compare(first: Path, second: Path) -> None:
    """Say in which fields two runs differ, and their best values side by side."""
    differences = _read(first)[0].difference(_read(second)[0])
    click.echo("\n".join(differences) or "the recipes are the same")
    rows = [_row(first), _row(second)]
    names = sorted({name for row in rows for name in row["best"]})
    values = [[name, *(f"{row['best'][name]:.4f}" if name in row["best"] else "-" for row in rows)] for name in names]
    echo_table(["best", first.name, second.name], values)
