"""Scenes for the tests: parts of built-in photographs, and streaks drawn by a formula of their own."""

import math

import numpy as np
import torch
from PIL import Image

from restorekit.data.builtin import photos


def photograph(height=160, width=200, index=0):
    """Return part of a built-in photograph without rain, [3, H, W] in [0, 1]."""
    with Image.open(photos()[index]) as file:
        pixels = np.asarray(file.convert("RGB"))
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return torch.tensor(pixels[top : top + height, left : left + width]).movedim(-1, 0).float() / 255


def lines(height, width, degrees, count=80, length=24, light=0.25, seed=0):
    """Return streaks [H, W], about 1.5 pixels wide, that lean as ``/`` for positive degrees."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    layer = torch.zeros(height, width)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for _ in range(count):
        down, right = torch.rand(2, generator=generator) * torch.tensor([height, width])
        forwards, sideways = (y - down) * cosine - (x - right) * sine, (x - right) * cosine + (y - down) * sine
        streak = light * torch.exp(-((sideways / 0.7) ** 2)) * (forwards.abs() < length / 2)
        layer = torch.maximum(layer, streak)
    return layer


def psnr(one, other):
    return float(-10 * torch.log10((one - other).square().mean()))


def rainy_photograph(height=160, width=200, degrees=10.0):
    """Return a photograph and the same with streaks, [3, H, W] at 8-bit levels."""
    clean = photograph(height, width)
    rain = lines(height, width, degrees, count=max(4, height * width // 400))
    return clean, ((clean + rain).clamp(0, 1) * 255).round() / 255
