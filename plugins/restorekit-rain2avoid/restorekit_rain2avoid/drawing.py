"""The picture that shows why the rain mask is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from restorekit_rain2avoid.hog import DEGREES_PER_BIN


class Explanation(TypedDict):
    """What `LDGP.explain` returns: see there."""

    angle: int
    histogram: Tensor
    votes: Tensor
    patches: Tensor
    prior: Tensor
    mask: Tensor


def draw_explanation(image_HWC: NDArray[np.uint8], why: Explanation, path: str | Path | BinaryIO) -> None:
    """Write a PNG with the image, the histogram of gradient angles and the mask, side by side.

    `why`: what `LDGP.explain` returns for the image.
    """
    figure = Figure(figsize=(15, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.imshow(image_HWC.squeeze(), cmap="gray", vmin=0, vmax=255)
    left.set_title("image")
    _draw_histogram(middle, why)
    right.imshow(why["mask"][0, 0].cpu().numpy(), cmap="gray", vmin=0, vmax=1)
    right.set_title(f"rain mask: {100 * float(why['mask'].mean()):.1f} % of the pixels")
    for axes in (left, right):
        axes.set_axis_off()
    figure.savefig(path, format="png", dpi=100)


def _draw_histogram(axes: Axes, why: Explanation) -> None:
    histogram, votes = why["histogram"].cpu().numpy(), why["votes"].cpu().numpy()
    places = DEGREES_PER_BIN * np.arange(len(histogram))
    axes.bar(places, histogram / max(histogram.sum(), 1e-9), DEGREES_PER_BIN * 0.8, color="lightsteelblue")
    axes.set_xlabel("gradient angle in degrees (0: upright edges; above 90: minus 180)")
    axes.set_ylabel("share of gradients")
    counts = axes.twinx()
    counts.plot(places[votes > 0], votes[votes > 0], "o", color="firebrick")
    counts.set_ylabel("patches whose strongest angle it is", color="firebrick")
    counts.set_ylim(0, 1.1 * max(int(votes.max()), 1))
    axes.set_title(f"rain angle: {why['angle']} degrees")
