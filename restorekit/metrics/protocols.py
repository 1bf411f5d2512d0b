"""Scoring protocols: which plane is compared, in which precision, with which SSIM window.

The scores of one and the same image differ by several dB between the conventions that published
tables use, so that every score carries the id of its protocol:

- ``rgb``: the three channels.
- ``y-matlab``: limited-range BT.601 luma, 16 + (65.481 R + 128.553 G + 24.966 B) with R, G, B in [0, 1].
- ``y-cv2``: full-range luma, 0.299 R + 0.587 G + 0.114 B.
- ``qian2018``: as the script of the Raindrop data set (Qian et al., CVPR 2018) scores: full-range luma
  rounded to 8 bit, the output truncated to 8 bit, both cropped at the lower and right edge to multiples
  of 4, SSIM over 7x7 uniform windows with sample covariance.

Each may be composed with what was done before the images were compared, in the order written: ``rgb+crop8`` cuts 8
pixels off each side, ``y-matlab+resize256`` makes both images 256 x 256 (bicubic, antialiased, rounded to 8 bit).

Everything is float64 in levels 0..255. Rounding to 8 bit is ``floor(255 v + 0.5)``: exact halves go up,
in every protocol. Values outside [0, 1] are clipped; NaN stays NaN and so does the score.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit.errors import UnknownNameError, closest
from restorekit.pixels import luma, whole_levels


@dataclass(frozen=True)
class Protocol:
    """One way to compare a restored with a clean image.

    `plane`: what is compared. `whole_luma`: luma is rounded to whole levels. `truncate`: a restored
    image in floating point is cut, not rounded, to 8 bit. `multiple`: both images are cropped to
    multiples of it. `window`, `window_size`: SSIM's weights. `sample_covariance`: divide by N - 1, not N.
    `before`: what is done to both images first, such as ``("crop", 8)``.
    """

    id: str
    plane: Literal["rgb", "y-matlab", "y-cv2"]
    summary: str
    whole_luma: bool = False
    truncate: bool = False
    multiple: int = 1
    window: Literal["gaussian", "uniform"] = "gaussian"
    window_size: int = 11
    sample_covariance: bool = False
    before: tuple[tuple[str, int], ...] = ()


_STEP = re.compile(r"(crop|resize)([1-9]\d{0,3})")

PROTOCOLS: dict[str, Protocol] = {
    protocol.id: protocol
    for protocol in (
        Protocol("rgb", "rgb", "PSNR and SSIM on RGB, mean over channels"),
        Protocol("y-matlab", "y-matlab", "limited-range BT.601 luma, not rounded; most deraining tables"),
        Protocol("y-cv2", "y-cv2", "full-range BT.601 luma, not rounded"),
        Protocol(
            "qian2018",
            "y-cv2",
            "the Raindrop paper's script: luma rounded, output truncated, cropped to multiples of 4, SSIM 7x7",
            whole_luma=True,
            truncate=True,
            multiple=4,
            window="uniform",
            window_size=7,
            sample_covariance=True,
        ),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Return the protocol with the given id, such as ``rgb`` or ``rgb+crop8``.

    Raises `UnknownNameError` that lists the ids and what they may be composed with.
    """
    if isinstance(protocol, Protocol):
        return protocol
    base, *parts = protocol.split("+")
    steps = [_STEP.fullmatch(part) for part in parts]
    if base not in PROTOCOLS or not all(steps):
        raise UnknownNameError(
            f"no protocol is called {protocol!r}; use one of {', '.join(PROTOCOLS)}, and behind it, if wanted, +cropN"
            f" (N pixels off each side) and +resizeN (to N x N pixels).{closest(base, PROTOCOLS)}"
        )
    before = tuple((step[1], int(step[2])) for step in steps if step)
    return replace(PROTOCOLS[base], id=protocol, before=before) if before else PROTOCOLS[base]


def prepared(levels_BCHW: Tensor, protocol: Protocol) -> Tensor:
    """Return whole levels, cropped and resized as the protocol says; no pixel may be left."""
    image = levels_BCHW
    for kind, pixels in protocol.before:
        if kind == "crop":
            image = image[..., pixels : image.shape[-2] - pixels, pixels : image.shape[-1] - pixels]
        elif image.numel():
            resized = F.interpolate(image, (pixels, pixels), mode="bicubic", antialias=True, align_corners=False)
            image = (resized.clamp(0, 255) + 0.5).floor()
    return image


def levels(image: Tensor, truncate: bool = False) -> Tensor:
    """Return an image as whole levels 0..255 in float64.

    `image`: any shape; uint8 is taken as it is, floating point as [0, 1]. `truncate` cuts instead of
    rounding; the product is then taken in float32, where k / 255 * 255 is exactly k for every level k.
    """
    image = image.cpu() if image.device.type == "mps" else image  # MPS has no float64
    if image.dtype == torch.uint8:
        return image.double()
    if truncate:
        return (image.float().clamp(0, 1) * 255).floor().double()
    return whole_levels(image)


def planes(levels_BCHW: Tensor, protocol: Protocol) -> Tensor:
    """Return the planes that `protocol` compares, [B, 3 or 1, H', W'], in levels 0..255."""
    image = prepared(levels_BCHW, protocol)
    height, width = (size - size % protocol.multiple for size in image.shape[-2:])
    image = image[..., :height, :width]
    if protocol.plane == "rgb":
        return image
    red, green, blue = image[:, 0:1], image[:, 1:2], image[:, 2:3]
    if protocol.plane == "y-matlab":
        return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    if protocol.whole_luma:  # in thousandths, so that exact halves are exact
        return ((299 * red + 587 * green + 114 * blue + 500) / 1000).floor()
    return luma(red, green, blue)
