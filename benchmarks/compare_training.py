r"""Train models on equal budgets with several seeds, and say which differences are real.

    python benchmarks/compare_training.py --models pix2pix,pix2pix-channel --seeds 0,1,2 \
        --dataset raindrop@builtin -o runs/verdict -- --data PHOTOS --set steps=1000

What stands behind ``--`` goes to every `restorekit train`, so that nothing but the model and the seed differs. The
table gives each model's gain over the degraded input, and its difference from the first model; the intervals hold
95 % of the means when both the images and the seeds are drawn again. Stopped and called again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from restorekit.benchmark.intervals import LEVEL, RESAMPLES
from restorekit.data.imageset import RawSample
from restorekit.data.sets import resolve
from restorekit.metrics.quality import score_image
from restorekit.restoring.load import load

Gains = NDArray[np.float64]


def trained(model: str, seed: int, out: Path, arguments: list[str]) -> Path:
    """Train `model` with `seed`, or go on with it; return its run folder. Raises `SystemExit` when it fails."""
    run = out / f"{model}-{seed}"
    command = [sys.executable, "-m", "restorekit", "train", model, *arguments, "--set", f"seed={seed}", "-o", str(run)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{model} with seed {seed} was not trained: {' '.join(command)}")
    return run


def scores(model: str, run: Path, pairs: list[RawSample], device: str) -> list[float]:
    """Return the PSNR in dB (protocol rgb) of what the run's weights restore."""
    restorer = load(model, weights=str(run), device=device)
    return [psnr(restorer.restore(pair.degraded), pair) for pair in pairs]


def psnr(image: NDArray[np.uint8], pair: RawSample) -> float:
    """Return the PSNR in dB (protocol rgb) of an image [H, W, 3] against the clean one of `pair`."""
    assert pair.clean is not None
    return score_image(image, pair.clean, ["rgb"])["psnr-rgb"]


def interval(gains: Gains) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `gains` [seeds, images], both drawn again."""
    rng = np.random.default_rng(0)
    seeds, images = gains.shape
    of_seed = gains[:, rng.integers(0, images, (RESAMPLES, images))].mean(-1)
    drawn = rng.integers(0, seeds, (RESAMPLES, seeds))
    means = of_seed[drawn, np.arange(RESAMPLES)[:, None]].mean(-1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _cell(gains: Gains) -> str:
    low, high = interval(gains)
    return f"{gains.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def table(gains: dict[str, Gains]) -> str:
    """Return the comparison as Markdown; `gains`: model -> [seeds, images]."""
    first, reference = next(iter(gains.items()))
    head = ["model", "gain in dB [95 %]", "of each seed", f"difference from `{first}` [95 %]", "images better"]
    rows = [head, ["---"] * len(head)]
    for model, own in gains.items():
        difference = own - reference
        seeds = ", ".join(f"{value:+.2f}" for value in own.mean(1))
        against = ("-", "-") if model == first else (_cell(difference), f"{(difference.mean(0) > 0).mean():.0%}")
        rows.append([f"`{model}`", _cell(own), seeds, *against])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def whole_numbers(text: str) -> list[int]:
    """Return the numbers of a list with commas."""
    return [int(number) for number in text.split(",")]


def main(arguments: list[str] | None = None) -> int:
    """Train, score, print the table and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", required=True, help="names, separated by commas; the first is compared with")
    parser.add_argument("--seeds", type=whole_numbers, default="0,1,2", help="separated by commas (default 0,1,2)")
    parser.add_argument("--dataset", required=True, help="pairs to score on")
    parser.add_argument("--device", default="auto", help="to score on (default auto)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs and of comparison.json")
    parser.add_argument("train", nargs="*", help="behind --: arguments of every `restorekit train`")
    given = parser.parse_args(arguments)
    image_set = resolve(given.dataset).require_paired()
    pairs = [image_set.read(index) for index in range(len(image_set))]
    degraded = np.array([psnr(pair.degraded, pair) for pair in pairs])
    gains: dict[str, list[Any]] = {model: [] for model in given.models.split(",")}
    for count, seed in enumerate(given.seeds, 1):  # all models with one seed first: stopped, it is fair, only smaller
        for model, rows in gains.items():
            run = trained(model, seed, given.output, given.train)
            rows.append((scores(model, run, pairs, given.device) - degraded).tolist())
        report = {"dataset": image_set.label, "seeds": given.seeds[:count], "gains": gains}
        (given.output / "comparison.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        click.echo(table({model: np.array(rows) for model, rows in gains.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
