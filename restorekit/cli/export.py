"""``restorekit export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from restorekit.export import Exported


@click.command("export")
@click.argument("model")
@click.option(
    "-o", "--output", required=True, metavar="FILE.onnx", type=click.Path(path_type=Path), help="File to write."
)
@click.option("--weights", metavar="W", help="Weights to use: a file or a run. Default: those of the model.")
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Numbers to compute with.",
)
@click.option("--images", metavar="DATA", help="Data set or folder: int8 is calibrated on it, and the cost measured.")
@click.option("--overwrite", is_flag=True, help="Replace FILE.onnx and its card.")
def command(model: str, output: Path, weights: str | None, precision: str, images: str | None, overwrite: bool) -> None:
    """Write MODEL as one ONNX file, which runs without PyTorch.

    Batch, height and width stay free. The file is compared with PyTorch on three sizes before it is written; a card
    (.md) beside it states how to feed it. Needs `pip install 'restorekit[onnx]'`.
    """
    from restorekit.export import export_onnx

    done = export_onnx(model, output, weights=weights, precision=precision, images=images, overwrite=overwrite)
    _tell(done)


def _tell(done: Exported) -> None:
    size = done.path.stat().st_size / 1e6
    worst = max(done.differences.values())
    click.echo(f"{done.path}: {done.facts.model} in {done.facts.precision}, {size:.1f} MB; card: {done.card}")
    click.echo(f"largest difference to PyTorch in float32: {worst:.1e} on {', '.join(done.differences)}")
    if cost := done.cost:
        line = f"{done.facts.precision} agrees with float32 to {cost.agreement:.2f} dB on {cost.images}"
        if cost.before is not None and cost.after is not None:
            line += f"; PSNR {cost.after:.2f} dB, in float32 {cost.before:.2f}"
        click.echo(line)
