"""Would frames before and after help a clip? A median over aligned restored frames, on clips with known truth.

    python benchmarks/temporal_median.py --model pix2pix

Drops stay where they are on the glass while a built-in photograph moves behind them: as a whole (`pan`, `slow`), not
at all (`static`), or the lower half faster than the upper, as the road does before a car (`parallax`). The middle frame
is restored alone; then other restored frames are laid over it by phase correlation, and

- `median`: the whole frame by one shift; the median of all takes its place;
- `cautious`: of the four best shifts each place takes the one that fits its surroundings; a pixel is replaced only
  where the others agree, differ from it, and fit all around it.

The table shows PSNR against the truth in dB.
"""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files
from typing import cast

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

import restorekit
from restorekit.data.synthesis.render import render
from restorekit.pixels import Pixels

Floats = NDArray[np.floating]
WIDTH, HEIGHT, FRAMES, STRIDE = 320, 240, 21, 3
LEFT, TOP, DROPS = 150, 80, 7
FITS = 9.0  # levels of 255 by which aligned surroundings may differ
MOTIONS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {  # pixels a frame: upper and lower half
    "pan": ((3.3, 1.1), (3.3, 1.1)),
    "slow": ((0.6, 0.2), (0.6, 0.2)),
    "static": ((0.0, 0.0), (0.0, 0.0)),
    "parallax": ((1.5, 0.0), (5.0, 0.0)),
}


def view(photo: Floats, left: float, top: float) -> Floats:
    """Return what a window of the photograph shows, between its pixels too."""
    x, y = int(left), int(top)
    part = photo[y : y + HEIGHT + 1, x : x + WIDTH + 1]
    part = part[:-1] * (1 - (top - y)) + part[1:] * (top - y)
    return part[:, :-1] * (1 - (left - x)) + part[:, 1:] * (left - x)


def make_clip(photo: Floats, motion: str) -> list[Pixels]:
    """Return the clean frames of one motion."""
    frames = []
    for time in range(-(FRAMES // 2), FRAMES // 2 + 1):
        upper, lower = (view(photo, LEFT + time * x, TOP + time * y) for x, y in MOTIONS[motion])
        frame = np.where(np.arange(HEIGHT)[:, None, None] < HEIGHT * 0.55, upper, lower)
        frames.append(np.rint(frame).astype(np.uint8))
    return frames


def shifts(one: Floats, other: Floats, count: int) -> list[tuple[float, ...]]:
    """Return the `count` likeliest (down, right) shifts of `other` onto `one`, by the peaks of phase correlation."""
    window = np.hanning(HEIGHT)[:, None] * np.hanning(WIDTH)
    spectra = [np.fft.rfft2((grey - grey.mean()) * window) for grey in (one, other)]
    cross = spectra[0] * spectra[1].conj()
    surface = np.fft.irfft2(cross / (np.abs(cross) + 1e-3 * np.abs(cross).mean()), one.shape)
    rest, found = surface.copy(), []
    for _ in range(count):
        peak = np.unravel_index(rest.argmax(), rest.shape)
        found.append(tuple(_between(np.take(surface, peak[1 - axis], 1 - axis), int(peak[axis])) for axis in (0, 1)))
        rest[np.ix_(*((np.arange(-2, 3) + peak[axis]) % rest.shape[axis] for axis in (0, 1)))] = -1
    return found


def _between(line: Floats, peak: int) -> float:
    """Return the place of a peak between its pixels, by a parabola, as a signed shift."""
    size = len(line)
    before, here, after = (float(line[(peak + step) % size]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    place = peak + (0.5 * (before - after) / bend if bend else 0.0)
    return place - size if place > size / 2 else place


def aligned(centre: Floats, frame: Floats, count: int) -> Floats:
    """Lay a frame over `centre`; NaN where it shows nothing or, with several shifts to choose from, does not fit."""
    best, cost = np.full_like(centre, np.nan), np.full((HEIGHT, WIDTH), np.inf)
    for shift in shifts(centre.mean(2), frame.mean(2), count):
        moved = ndimage.shift(frame, (*shift, 0), order=1, cval=np.nan)
        if count == 1:
            return cast(Floats, moved)
        differs = np.nan_to_num(np.abs(centre - moved).max(-1), nan=255.0)
        around = np.kron(ndimage.median_filter(differs[::4, ::4], 12), np.ones((4, 4)))
        best = np.where((around < cost)[..., None], moved, best)
        cost = np.minimum(cost, around)
    best[cost > FITS] = np.nan
    return best


def median(frames: list[Floats]) -> Floats:
    """Return the median of the middle frame and its aligned neighbours."""
    centre, others = _neighbours(frames, 1)
    return cast(Floats, np.nanmedian(np.stack([centre, *others]), axis=0))


def cautious(frames: list[Floats]) -> Floats:
    """Return the middle frame, replaced where its surroundings fit and it alone does not."""
    centre, others = _neighbours(frames, 4)
    stack = np.stack(others)
    enough = np.isfinite(stack[..., 0]).sum(0) >= 3
    middle = np.where(enough[..., None], np.nanmedian(np.where(enough[..., None], stack, 0), axis=0), centre)
    spread = np.where(enough, np.nanmedian(np.abs(np.where(enough[..., None], stack, 0) - middle), axis=0).max(-1), 99)
    differs = ndimage.uniform_filter(np.abs(centre - middle).max(-1), 5)
    weight = np.clip((differs - 2 * ndimage.uniform_filter(spread, 5) - 4) / 6, 0, 1) * enough
    weight = ndimage.uniform_filter(ndimage.maximum_filter(weight, 3), 5)[..., None]
    return cast(Floats, centre * (1 - weight) + middle * weight)


def _neighbours(frames: list[Floats], count: int) -> tuple[Floats, list[Floats]]:
    centre = frames[FRAMES // 2]
    return centre, [aligned(centre, f, count) for f in frames[FRAMES // 2 % STRIDE :: STRIDE] if f is not centre]


def psnr(image: Floats, truth: Pixels) -> float:
    """Return PSNR on RGB in dB."""
    return float(10 * np.log10(255**2 / np.mean((image - truth.astype(float)) ** 2)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pix2pix")
    parser.add_argument("--photos", default="raccoon,dandelions", help="built-in photographs, separated by commas")
    arguments = parser.parse_args()
    restorer = restorekit.load(arguments.model)
    click.echo("| photograph | motion | input | restored | median | cautious |\n|---|---|---|---|---|---|")
    for name in arguments.photos.split(","):
        with as_file(files("restorekit.data.builtin") / "photos" / f"{name}.jpg") as path, Image.open(path) as image:
            photo = np.asarray(image, dtype=np.float32)
        for motion in MOTIONS:
            clean = make_clip(photo, motion)
            rainy = [render(frame, DROPS, "raindrop")[0] for frame in clean]
            restored = [restorer.restore(frame).astype(np.float32) for frame in rainy]
            middle = FRAMES // 2
            results = [rainy[middle].astype(float), restored[middle], median(restored), cautious(restored)]
            click.echo(f"| {name} | {motion} | " + " | ".join(f"{psnr(r, clean[middle]):.2f}" for r in results) + " |")


if __name__ == "__main__":
    main()
