"""Draw what a model does to photographs, the best and the worst cases.

    python benchmarks/tools/picture_sheet.py attngan --dataset raindrop@builtin -o attngan.jpg
    python benchmarks/tools/picture_sheet.py rain2avoid-plus --dataset photographs/ -o sheet.jpg

With clean images: those with the largest and the smallest gain (PSNR, protocol rgb), each as degraded, restored and
clean. Without: the first ones, degraded and restored. `--crop` shows the square that was changed most.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.benchmark.pictures import Tile, sheet
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.data.sets import resolve
from restorekit.metrics.quality import score_image
from restorekit.restoring.load import load


@dataclass(frozen=True)
class Case:
    """One image, what the model made of it, and both PSNRs in dB (rgb; NaN without a clean image)."""

    sample: RawSample
    restored: NDArray[np.uint8]
    before: float = float("nan")
    after: float = float("nan")

    @property
    def gain(self) -> float:
        """How much better the restored image is, in dB."""
        return self.after - self.before


def cases(model: str, images: ImageSet, device: str, limit: int | None) -> list[Case]:
    """Restore the first `limit` images, or all."""
    restorer, found = load(model, device=device), []
    for index in range(len(images))[:limit]:
        sample = images.read(index)
        restored = restorer.restore(sample.degraded)
        if sample.clean is None:
            found.append(Case(sample, restored))
        else:
            before, after = (score_image(i, sample.clean, ["rgb"])["psnr-rgb"] for i in (sample.degraded, restored))
            found.append(Case(sample, restored, before, after))
    return found


def chosen(found: list[Case], best: int, worst: int) -> list[Case]:
    """Return the `best` cases with the largest gain and the `worst` with the smallest, best first."""
    ranked = sorted(found, key=lambda case: -case.gain)
    return ranked[:best] + ranked[max(best, len(ranked) - worst) :]


def cropped(case: Case, side: int) -> Case:
    """Return the case cut to the square of `side` pixels that the model changed most."""
    change = np.abs(case.restored.astype(np.int32) - case.sample.degraded).sum(-1)
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    high, wide = (min(side, length) for length in change.shape)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    top, left = (int(i) for i in np.unravel_index(inside.argmax(), inside.shape))
    window = slice(top, top + high), slice(left, left + wide)
    clean = None if case.sample.clean is None else case.sample.clean[window]
    sample = replace(case.sample, degraded=case.sample.degraded[window], clean=clean, mask=None)
    return replace(case, sample=sample, restored=case.restored[window])


def tiles(case: Case) -> list[Tile]:
    """Return the pictures of one row."""
    if case.sample.clean is None:
        return [Tile(case.sample.degraded, case.sample.name), Tile(case.restored, "restored")]
    return [
        Tile(case.sample.degraded, case.sample.name, f"{case.before:.2f} dB"),
        Tile(case.restored, "restored", f"{case.after:.2f} dB ({case.gain:+.2f})"),
        Tile(case.sample.clean, "clean"),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Restore, choose and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--dataset", required=True, help="a data set or a folder")
    parser.add_argument("--best", type=int, default=2, help="cases with the largest gain (default 2)")
    parser.add_argument("--worst", type=int, default=2, help="cases with the smallest gain (default 2)")
    parser.add_argument("--crop", type=int, default=0, help="show squares of so many pixels; 0 for whole pictures")
    parser.add_argument("--across", type=int, default=1, help="cases side by side (default 1)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    if min(given.best, given.worst) < 0 or given.best + given.worst == 0:
        parser.error(f"--best {given.best} --worst {given.worst}: give 0 or more of each, and at least one in all")
    images = resolve(given.dataset)
    found = cases(given.model, images, given.device, None if images.paired else given.best + given.worst)
    if images.paired:
        found = chosen(found, given.best, given.worst)
    rows = [tiles(cropped(case, given.crop) if given.crop else case) for case in found]
    columns = given.across * len(rows[0])
    picture = sheet([tile for row in rows for tile in row], f"{given.model} on {images.label}", columns=columns)
    picture.save(given.output, quality=85)
    return 0


if __name__ == "__main__":
    sys.exit(main())
