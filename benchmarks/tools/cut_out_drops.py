"""Find the sharp drops on photographs that have no clean side, for the setting `data.synthesis.cutouts`.

    python benchmarks/tools/cut_out_drops.py WET/*.jpg -o cutouts/
    python benchmarks/tools/cut_out_drops.py NEAR/*.jpg -o cutouts/ --pane

Without `--pane` a drop is what the mask of `--model` calls one, where the mask's region is compact. With it the
photographs are focused on the pane: whatever stands out from a smooth scene is a drop. Such panes hold so many that
each photograph gives `--parts` entries, with some of the drops each. Into cutouts/ go ``data/`` (the photograph),
``gt/`` (without drops, as far as known) and ``mask/``. Look at the masks, and remove what shows no drops.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from restorekit.data.decode import read_rgb8
from restorekit.pixels import Pixels
from restorekit.restoring import BaseRestorer
from restorekit.restoring.load import load
from restorekit.restoring.masks import mask_restorer

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

LONGEST = 960  # pixels: larger photographs are made smaller first
SURE = 0.8  # of a drop's mask, somewhere
AREA = (15, 3500)  # pixels
COMPACT = 0.35  # of the box around a drop is the drop
CONTRAST = (0.05, 0.09)  # of 1, of the faintest drop, in dark photographs and in others
RISES = (1.0, 1.25, 1.6, 2.0, 2.6, 3.4, 4.5)  # of that contrast, until drops that touch are apart
SINGLE = 900  # pixels, at most, of drops that are apart
ELEMENT = 21  # pixels per side: what is larger belongs to the scene


def drops_of_mask(mask: Plane) -> Mask:
    """Return the regions of a model's mask [H, W] that are compact, and somewhere all but certain."""
    return _compact(mask > 0.5, mask)


def drops_on_pane(luma: Plane) -> Mask:
    """Return what stands out from a smooth scene [H, W]: threshold by threshold, until drops that touch are apart."""
    size = (ELEMENT, ELEMENT)
    brighter, darker = luma - ndimage.grey_opening(luma, size=size), ndimage.grey_closing(luma, size=size) - luma
    contrast = np.maximum(brighter, darker)
    edges = ndimage.maximum_filter(ndimage.gaussian_gradient_magnitude(luma, 1.0), 5)
    found = np.zeros(luma.shape, dtype=bool)
    for rise in RISES:
        threshold = CONTRAST[int(luma.mean() > 0.25)] * rise
        core = ndimage.binary_fill_holes((contrast > threshold) & (edges > 0.45 * threshold))
        core = ndimage.binary_opening(core) & ~ndimage.binary_dilation(found)
        labels, _ = ndimage.label(core)
        sizes = np.bincount(labels.ravel())
        sizes[0] = SINGLE
        found |= (sizes < SINGLE)[labels]
    return _compact(found, found.astype(np.float32))


def _compact(regions: Mask, mask: Plane) -> Mask:
    labels, count = ndimage.label(regions)
    kept = np.zeros(count + 1, dtype=bool)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        region = labels[box] == number
        compact = AREA[0] <= region.sum() <= AREA[1] and region.mean() >= COMPACT
        kept[number] = compact and mask[box][region].max() >= SURE
    filled_in: Mask = ndimage.binary_fill_holes(kept[labels])
    return filled_in


def filled(photo_HWC: Plane, drops: Mask) -> Plane:
    """Return the photograph with its drops filled by what is around them, near and far."""
    free = (~ndimage.binary_dilation(drops, iterations=2)).astype(np.float32)
    near, far = (_blurred(photo_HWC * free[..., None], s) / (_blurred(free, s) + 1e-4)[..., None] for s in (6, 20))
    return np.where(free[..., None] > 0, photo_HWC, np.clip(0.7 * near + 0.3 * far, 0, 1))


def _blurred(planes: Plane, sigma: float) -> Plane:
    blurred: Plane = ndimage.gaussian_filter(planes, (sigma, sigma, 0)[: planes.ndim])
    return blurred


def dealt(drops: Mask, parts: int) -> list[Mask]:
    """Deal the drops out at random: each belongs to one of the masks."""
    labels, count = ndimage.label(drops)
    hand = np.random.default_rng(0).integers(parts, size=count + 1)
    hand[0] = -1
    return [(hand == part)[labels] for part in range(parts)]


def _read(path: Path) -> Pixels:
    photo = Image.fromarray(read_rgb8(path))
    photo.thumbnail((LONGEST, LONGEST), Image.Resampling.BICUBIC)
    return np.asarray(photo)


def _floats(pixels: Pixels) -> Plane:
    return pixels.astype(np.float32) / np.float32(255)


def _write(image: Plane | Mask, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(image, np.float32) * 255).round().astype(np.uint8)).save(path)


def cut(path: Path, out: Path, restorer: BaseRestorer | None, parts: int) -> int:
    """Write the entries of one photograph, and return how many drops there are; without a restorer it shows a pane."""
    pixels = _read(path)
    photo = _floats(pixels)
    if restorer is None:
        drops = drops_on_pane(photo.mean(-1))
        clean = filled(photo, drops)
    else:
        drops = drops_of_mask(_floats(mask_restorer(restorer).restore(pixels))[..., 0])
        clean, parts = _floats(restorer.restore(pixels)), 1
    for number, mask in enumerate(dealt(drops, parts)):
        for side, image in (("data", photo), ("gt", clean), ("mask", mask)):
            _write(image, out / side / f"{path.stem}-{number}.png")
    return int(ndimage.label(drops)[1])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", default="derain", help="one that gives a mask")
    parser.add_argument("--pane", action="store_true", help="the photographs are focused on the pane")
    parser.add_argument("--parts", type=int, default=4, help="entries of each photograph of a pane")
    given = parser.parse_args()
    restorer = None if given.pane else load(given.model)
    for path in given.photos:
        sys.stdout.write(f"{path.name}: {cut(path, given.out, restorer, given.parts)} drops\n")


if __name__ == "__main__":
    main()
