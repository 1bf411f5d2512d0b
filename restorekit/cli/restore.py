"""``restorekit restore``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from restorekit.restore.folders import Job, Report


class _TileType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``auto`` or a number of pixels."""

    name = "auto|PIXELS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto" or isinstance(value, int):
            return value
        if not value.isdecimal():
            self.fail(f"{value!r} is not 'auto' or a whole number such as 512", param, ctx)
        return int(value)


@click.command("restore")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Folder for the results; for a single input file also a file name.",
)
@click.option("-m", "--model", metavar="NAME", help="Model to use. Default: the installed one that is meant for it.")
@click.option("--weights", metavar="W", help="Weights to use: a file or a run. Default: those of the model.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "bf16", "fp16"]))
@click.option(
    "--tile",
    default="auto",
    show_default=True,
    type=_TileType(),
    help="Pixels per side of the pieces that large images are cut into; 0 for none.",
)
@click.option("--flips", is_flag=True, help="Average with the result of the mirror image: better, twice the time.")
@click.option("--overwrite", is_flag=True, help="Restore again what is in OUT already.")
@click.option("--format", "format_", metavar="SUFFIX", help="png, jpg, webp or tiff. Default: as the input.")
@click.option(
    "--budget-steps",
    type=click.IntRange(min=1),
    help="Steps per image: a model that adapts learns each, in place of its own weights. --weights come first.",
)
@click.option(
    "--budget-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds per image, likewise.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[Path, ...],
    out: Path,
    overwrite: bool,
    format_: str | None,
    **model: Any,
) -> None:
    """Restore photographs: INPUT is any number of image files and folders.

    Folders are searched with all their subfolders, and OUT keeps their tree. Inputs are never changed; what
    is in OUT already is skipped. The exit code is 1 if a file failed.
    """
    from restorekit.restore.folders import left_out, plan_jobs, run_jobs

    jobs = plan_jobs(inputs, out, overwrite=overwrite, format=format_)
    others = left_out(inputs, out)
    if others:
        kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
        click.echo(f"Note: {len(others)} pictures are left out, of formats that are not supported: {kinds}", err=True)
    if all(job.done for job in jobs):
        click.echo(f"0 restored, {len(jobs)} skipped, 0 failed: all are in {out} (--overwrite restores again)")
        return
    restorer = _load(**model)
    click.echo(f"model {restorer.info.model} on {restorer.device}, {restorer.precision}", err=True)
    report = _with_bar(jobs, lambda tick: run_jobs(jobs, restorer, tick))
    _tell(report)
    if not report.ok:
        ctx.exit(1)


def _load(model: str | None, budget_steps: int | None, budget_seconds: float | None, **settings: Any) -> Any:
    """Load the chosen model, or the default of those with weights."""
    import restorekit
    from restorekit.restore.memory import keep_freed_memory
    from restorekit.restore.restorer import Budget

    keep_freed_memory()
    if model is None:
        from restorekit.plugin.registry import registry
        from restorekit.weights import default_model

        model, why = default_model(registry())
        click.echo(f"no model named: taking {model}, {why}", err=True)
    return restorekit.load(model, budget=Budget(budget_steps, budget_seconds), **settings)


def _with_bar(jobs: list[Job], work: Callable[[Callable[[Job, int, int], None]], Report]) -> Report:
    """Run `work` under a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(jobs), completed=sum(job.done for job in jobs))
        return work(lambda job, done, _: bar.update(task, completed=done, description=job.source.name))


def _tell(report: Report) -> None:
    for path, note in report.notes:
        click.echo(f"Note: {path}: {note}", err=True)
    for _, message in report.failed:
        click.echo(f"Failed: {message}", err=True)
    if report.stopped:
        click.echo(f"Stopped: {report.stopped}", err=True)
    click.echo(report.summary())
