"""What weights gain over the degraded input, on a few of the built-in pictures: quick, for any machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.data.imageset import builtin_set
from restorekit.interface import Output, SizeRule
from restorekit.padding import pad_to_rule
from restorekit.pixels import Pixels, to_image

IMAGES, SIDE = 6, 160


@torch.no_grad()
def restored_plainly(network: nn.Module, degraded: Tensor) -> Tensor:
    """Return the restored image [1, 3, H, W] in [0, 1] on the CPU; `network` is in eval mode, on any device."""
    device = next(network.parameters()).device
    padded, crop = pad_to_rule(degraded.to(device), SizeRule.of(network))
    return crop(Output.of(network(padded)).image.clamp(0, 1)).cpu()


def measured_gains(network: nn.Module, task: str) -> list[float]:
    """Return the gain in dB of PSNR (RGB) for the middle 160x160 pixels of the first six built-in pictures of `task`.

    Those that the synthesizer left clean are passed over. Raises `DataError` when there are none for that task.
    """
    images = builtin_set("check", task)
    gains = []
    for index in range(IMAGES):
        sample = images.read(index)
        assert sample.clean is not None
        degraded, clean = (to_image(_middle(plane)) for plane in (sample.degraded, sample.clean))
        if torch.equal(degraded, clean):
            continue  # nothing is wrong with it, and nothing can be gained
        before, after = (((image - clean) ** 2).mean() for image in (degraded, restored_plainly(network, degraded)))
        gains.append(10 * float(torch.log10(before / after)))
    return gains


def _middle(pixels: Pixels) -> Pixels:
    top, left = ((size - SIDE) // 2 for size in pixels.shape[:2])
    return pixels[top : top + SIDE, left : left + SIDE]
