"""Exported models against PyTorch: seconds for an image, in float32 and bf16, and how far the results are apart.

    python benchmarks/onnx_speed.py --models attngan,pix2pix,remaen --threads 1

The ways take turns, and the fastest of their turns counts, so that a busy machine does not favour one of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

import restorekit
from restorekit.data.sets import resolve
from restorekit.export import export_onnx
from restorekit.padding import pad_to_rule
from restorekit.pixels import to_image
from restorekit.restoring import Restorer
from restorekit.runtime.network import OnnxNetwork

Way = Callable[[], Tensor]


def ways(model: str, image: Tensor, folder: Path, threads: int) -> dict[str, Way]:
    """Return what computes the image [1, 3, H, W] with a model, by name; the first is the reference."""
    found: dict[str, Way] = {}
    exported = OnnxNetwork(export_onnx(model, folder / f"{model}.onnx").path, "cpu", threads)
    padded, crop = pad_to_rule(image, exported.facts.rule)
    for precision in ("fp32", "bf16"):
        restorer = restorekit.load(model, device="cpu", precision=precision, tile=0)
        assert isinstance(restorer, Restorer)
        found[f"torch {precision}"] = lambda by=restorer: by.restore_tensor(image)  # type: ignore[misc]
    found["onnxruntime fp32"] = lambda: crop(torch.from_numpy(exported(padded.numpy())))
    return found


def measured(found: dict[str, Way], repeats: int) -> dict[str, tuple[float, float]]:
    """Return (seconds, PSNR in dB against the first way) by name."""
    results = {name: way() for name, way in found.items()}
    seconds = dict.fromkeys(found, float("inf"))
    for _ in range(repeats):
        for name, way in found.items():
            started = time.perf_counter()
            way()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    first = next(iter(results.values()))
    errors = {name: float((result - first).square().mean()) for name, result in results.items()}
    return {name: (seconds[name], -10 * np.log10(errors[name]) if errors[name] else np.inf) for name in found}


@click.command()
@click.option("--models", default="attngan,pix2pix,remaen", show_default=True, help="Names, separated by commas.")
@click.option("--threads", default=1, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--images", default="raindrop@builtin", show_default=True, help="Data set; its first image is taken.")
def main(models: str, threads: int, repeats: int, images: str) -> None:
    """Print a table."""
    torch.set_num_threads(threads)
    pixels = np.ascontiguousarray(resolve(images).read(0).degraded[:192, :256])
    image = to_image(pixels)
    click.echo(f"{image.shape[-1]}x{image.shape[-2]} pixels, {threads} thread(s)\n")
    click.echo("| model | way | seconds | agreement with torch fp32 |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for model in models.split(","):
            for name, (seconds, agreement) in measured(ways(model, image, Path(folder), threads), repeats).items():
                click.echo(f"| {model} | {name} | {seconds:.3f} | {agreement:.1f} dB |")


if __name__ == "__main__":
    main()
