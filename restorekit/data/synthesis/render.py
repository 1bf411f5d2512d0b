"""Degrading one 8-bit picture, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from restorekit.data.synthesis import synthesize
from restorekit.pixels import Pixels, to_image, to_pixels


def render(
    clean: Pixels, key: int, task: str, preset: str | None = None, settings: Mapping[str, object] | None = None
) -> tuple[Pixels, Pixels | None]:
    """Degrade a clean image, [H, W, 3] uint8, by the synthesizer called `task`.

    Returns the degraded image, like `clean`, and the mask, [H, W] uint8 in {0, 1}, or None without one. Computed in
    float64 on the CPU, so that rounding to 8 bit gives the same images everywhere. `key` decides all that is random.
    Raises `UnknownNameError` for an unknown synthesizer or preset.
    """
    degraded, mask = synthesize(to_image(clean, double=True), torch.tensor([key]), task, preset, settings)
    drops = None if mask is None else mask[0, 0].round().to(torch.uint8).numpy()
    return to_pixels(degraded[0]), drops
