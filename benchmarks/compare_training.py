"""Train models on equal budgets with several seeds, and say which differences are real.

    python benchmarks/compare_training.py --models pix2pix,pix2pix-channel --seeds 0,1,2 \\
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

import numpy as np
import torch
from numpy.typing import NDArray

from restorekit.data.imageset import ImageSet
from restorekit.data.sets import resolve
from restorekit.metrics.quality import PSNR
from restorekit.restore.load import load

RESAMPLES = 10_000
Gains = NDArray[np.float64]


def trained(model: str, seed: int, out: Path, arguments: list[str]) -> Path:
    """Train `model` with `seed`, or go on with it; return its run folder. Raises `SystemExit` when it fails."""
    run = out / f"{model}-{seed}"
    command = [sys.executable, "-m", "restorekit", "train", model, *arguments, "--set", f"seed={seed}", "-o", str(run)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{model} with seed {seed} was not trained: {' '.join(command)}")
    return run


def gains_of(model: str, run: Path, pairs: ImageSet, device: str) -> list[float]:
    """Return the gain in dB (PSNR, protocol rgb) of the run's weights for every pair."""
    restorer, psnr = load(model, weights=str(run), device=device), PSNR("rgb")
    found = []
    for index in range(len(pairs)):
        sample = pairs.read(index)
        clean, degraded = (torch.tensor(p).movedim(-1, 0)[None] / 255 for p in (sample.clean, sample.degraded))
        restored = (restorer.restore_tensor(degraded).cpu().clamp(0, 1) * 255).round() / 255
        found.append(float(psnr(restored, clean)) - float(psnr(degraded, clean)))
    return found


def interval(gains: Gains, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `gains` [seeds, images], both drawn again."""
    rng = np.random.default_rng(0)
    seeds, images = gains.shape
    of_seed = gains[:, rng.integers(0, images, (resamples, images))].mean(-1)
    drawn = rng.integers(0, seeds, (resamples, seeds))
    means = of_seed[drawn, np.arange(resamples)[:, None]].mean(-1)
    low, high = np.quantile(means, (0.025, 0.975))
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


def main(arguments: list[str] | None = None) -> int:
    """Train, score, print the table and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", required=True, help="names, separated by commas; the first is compared with")
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas (default 0,1,2)")
    parser.add_argument("--dataset", required=True, help="pairs to score on")
    parser.add_argument("--device", default="auto", help="to score on (default auto)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs and of comparison.json")
    parser.add_argument("train", nargs="*", help="behind --: arguments of every `restorekit train`")
    given = parser.parse_args(arguments)
    pairs = resolve(given.dataset).require_paired()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    gains: dict[str, Any] = {}
    for seed in seeds:  # a seed of every model first, so that a stopped comparison is a fair one, only smaller
        for model in given.models.split(","):
            run = trained(model, seed, given.output, given.train)
            gains.setdefault(model, []).append(gains_of(model, run, pairs, given.device))
        report = {"dataset": pairs.label, "seeds": seeds[: seeds.index(seed) + 1], "gains": gains}
        (given.output / "comparison.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        print(table({model: np.array(rows) for model, rows in gains.items()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
