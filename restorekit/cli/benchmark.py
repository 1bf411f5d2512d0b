"""``restorekit benchmark``: compare models on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from restorekit.errors import WeightsError
from restorekit.plugin.hooks import Hooks, check_trackers
from restorekit.plugin.registry import registry

if TYPE_CHECKING:
    from restorekit.benchmark.report import Report


def _weights(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read ``MODEL=PATH`` options. Raises `WeightsError` for one without ``=``."""
    table = {}
    for pair in pairs:
        model, equals, path = pair.partition("=")
        if not (model and equals and path):
            raise WeightsError(f"--weights {pair!r} is not MODEL=PATH, such as remaen=runs/remaen/weights")
        table[model] = path
    return table


def show(report: Report, folder: Path | None, as_json: bool) -> None:
    """Print the table, or the summary as JSON, and where the files are."""
    import json

    from rich.console import Console

    from restorekit.benchmark import table

    if as_json:
        click.echo(json.dumps(report.values(), indent=1, allow_nan=False))
        return
    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width of its own
        console = Console(width=table.WIDE)
    console.print(table.terminal(report.summary, console.width))
    summary = report.summary
    lines = (*summary.notes, *table.remarks(summary), *table.conditions(summary), *table.extra_lines(summary))
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if folder is not None:
        console.print(f"Page: {folder / 'index.html'}", markup=False, highlight=False, soft_wrap=True)


metric_option = click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Also measure this one of `restorekit metrics`."
)
protocol_option = click.option(
    "--protocol",
    "protocols",
    multiple=True,
    metavar="ID",
    help="Also score under this protocol, such as rgb+crop8 or y-matlab+resize256.",
)
metric_settings = click.option(
    "--set", "settings", multiple=True, metavar="METRIC.SETTING=VALUE", help="Change a setting of a --metric."
)


@click.command("benchmark")
@click.option("--models", default="all", show_default=True, help="all, or names separated by commas.")
@click.option("--dataset", required=True, metavar="NAME|FOLDER[@SPLIT]", help="What to restore and score against.")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), help="Output folder [default: ./benchmark-LABEL]."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "bf16", "fp16", "fp32"]))
@click.option("--weights", multiple=True, metavar="MODEL=PATH", help="Weights of one model; may be repeated.")
@click.option(
    "--budget-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds per image: a model that adapts learns each, in place of its own weights. --weights come first"
    " [default: 6 where it has none, unless steps are given].",
)
@click.option("--budget-steps", type=click.IntRange(min=1), help="Steps per image, likewise.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first images of the set.")
@click.option(
    "--onnx",
    is_flag=True,
    help="Also run each model exported, as a row: speed and dB against PyTorch.",
)
@protocol_option
@metric_option
@metric_settings
@click.option("--track", multiple=True, metavar="PLUGIN", help="Tell this plugin of the results; may be repeated.")
@click.option("--resume/--fresh", default=True, show_default=True, help="Keep finished results of the output folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def benchmark(
    ctx: click.Context,
    models: str,
    dataset: str,
    out: Path | None,
    device: str,
    precision: str,
    weights: tuple[str, ...],
    budget_seconds: float | None,
    budget_steps: int | None,
    limit: int | None,
    onnx: bool,
    protocols: tuple[str, ...],
    metrics: tuple[str, ...],
    settings: tuple[str, ...],
    track: tuple[str, ...],
    resume: bool,
    as_json: bool,
) -> None:
    """Compare models on a data set: scores, intervals, cost, and a page to look at.

    The first row is the degraded input. A model without weights, or one that fails, is a row that says so;
    after a failure the exit code is 1. Interrupted, run the same command again: it goes on where it stopped.
    """
    from restorekit.benchmark.extra_metrics import chosen_metrics, composed_protocols
    from restorekit.benchmark.progress import Bar
    from restorekit.benchmark.runner import run

    extra = chosen_metrics(metrics, settings) + composed_protocols(protocols)
    check_trackers(registry().manager, track)
    with Bar() as bar:
        report = run(
            models,
            dataset,
            out,
            device=device,
            precision=precision,
            weights=_weights(weights),
            budget_seconds=budget_seconds,
            budget_steps=budget_steps,
            limit=limit,
            onnx=onnx,
            metrics=extra,
            fresh=not resume,
            progress=bar,
        )
    if report.folder:
        hooks = Hooks(registry().manager, track, report.folder)
        hooks.call("benchmark_finished", folder=report.folder, results=report.values())
    show(report, report.folder, as_json)
    if report.failed:
        ctx.exit(1)


command = benchmark
