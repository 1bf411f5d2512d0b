"""``restorekit score``: score images that any other program made."""

from __future__ import annotations

from pathlib import Path

import click

from restorekit.cli.benchmark import metric_option, metric_settings, protocol_option, show


@click.command("score")
@click.argument("outputs", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, metavar="NAME|FOLDER[@SPLIT]", help="The set that the images were made from.")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), help="Also write results, tables and the page there."
)
@click.option("--name", help="The row's title [default: the folder's name].")
@protocol_option
@metric_option
@metric_settings
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def score(
    outputs: Path,
    dataset: str,
    out: Path | None,
    name: str | None,
    protocols: tuple[str, ...],
    metrics: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score the images in the folder OUTPUTS under the same protocols as `restorekit benchmark`.

    Each file is matched to the image whose name it has or begins with. Images without a file are left out, of
    the degraded row too, and the label says how many were scored.
    """
    from restorekit.benchmark.extra_metrics import chosen_metrics, composed_protocols
    from restorekit.benchmark.foreign import score as score_folder
    from restorekit.benchmark.progress import Bar

    extra = chosen_metrics(metrics, settings) + composed_protocols(protocols)
    with Bar() as bar:
        report = score_folder(outputs, dataset, out, name=name, metrics=extra, progress=bar)
    show(report, out, as_json)


command = score
