"""How much memory a large picture takes, above the loaded model (Linux).

    python benchmarks/large_pictures.py --model remaen --megapixels 16 --megapixels 100 --format png

A JPEG, PNG or TIFF is read, restored and written as `restorekit restore` does; the peak of resident memory is that of
the process since the model was loaded and had restored one small picture.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

import restorekit
from restorekit.restoring.memory import keep_freed_memory


def write_picture(path: Path, pixels: int) -> None:
    """Write a picture of about so many pixels, 3:2, made of one patch of enlarged noise again and again."""
    height = round((pixels / 1.5) ** 0.5)
    patch = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    picture = Image.new("RGB", (round(1.5 * height), height))
    tile = Image.fromarray(patch).resize((1024, 1024))
    for top in range(0, picture.height, tile.height):
        for left in range(0, picture.width, tile.width):
            picture.paste(tile, (left, top))
    picture.save(path, **({"compression": "tiff_adobe_deflate"} if path.suffix == ".tiff" else {"quality": 90}))


def peak() -> float:
    """Return the highest resident memory since it was last cleared, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def measure(model: str, picture: str) -> None:
    """Restore one picture in this process and print megabytes and seconds."""
    keep_freed_memory()
    restorer = restorekit.load(model)
    folder = Path(picture).parent
    Image.new("RGB", (64, 64)).save(folder / "small.png")
    restorer.restore_file(folder / "small.png", folder / "small-out.png")
    Path("/proc/self/clear_refs").write_text("5")
    before, started = peak(), time.perf_counter()
    restorer.restore_file(picture, folder / f"out{Path(picture).suffix}")
    click.echo(f"{peak() - before:.0f} {time.perf_counter() - started:.0f}")


@click.command()
@click.option("--model", default="pix2pix", show_default=True)
@click.option("--megapixels", type=int, multiple=True, default=(16, 60, 100), show_default=True)
@click.option("--format", "kinds", multiple=True, default=("jpg",), show_default=True, help="jpg, png or tiff.")
def main(model: str, megapixels: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Print a table: megabytes above the loaded model and seconds, each picture in a process of its own."""
    click.echo("| model | format | megapixels | MB above the loaded model | seconds |\n| --- | --- | --- | --- | --- |")
    for kind in kinds:
        for size in megapixels:
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / f"in.{kind}"
                write_picture(picture, size * 1_000_000)
                command = [sys.executable, __file__, "--one", model, str(picture)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
            click.echo(f"| {model} | {kind} | {size} | {' | '.join(done.stdout.split())} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(*sys.argv[2:])
    else:
        main()
