"""Split an image into a scene and a layer of rain: light that is the same in all colours, in long streaks.

The rain layer R [H, W] of an image I [C, H, W] with rain at a known angle minimises

    a1 |R along 1 px| + a4 |R along 4 px| + c sum over channels of w |(I - R) across| + s |R|,   0 <= R <= min I,

where "along" and "across" are differences along and across the streaks, | | sums absolute values, and w is
smaller where the channels' differences across are unequal: such an edge has a colour, and belongs to the scene.
Unidirectional total variation for streaks is due to Chang et al. (2013) and, for rain, Deng et al. (2018); that R
has no colour and the chromatic weights are this project's. ADMM solves it; as all differences are shifts, each
step is a division of spectra. It is stopped early: the first iterations bring what is certain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_MARGIN = 24
_FAR = 4.0


@dataclass(frozen=True)
class SeparationSettings:
    """Weights of the terms, in image units; see the module.

    `along`, `along_far`: smoothness along the streaks, over 1 and 4 pixels. `across`: smoothness of the scene across
    them. `sparsity`: price of rain. `chroma`: how much an edge's colour (in image units) spares it. `coupling`: ADMM's
    penalty; larger is slower. `iterations`: steps.
    """

    along: float
    along_far: float
    across: float
    sparsity: float
    chroma: float
    coupling: float
    iterations: int


def separate(image_CHW: Tensor, degrees: float, settings: SeparationSettings) -> Tensor:
    """Return the rain layer [H, W] >= 0 of a float image [C, H, W] in [0, 1] with rain at this angle.

    `degrees`: from the vertical, positive for rain that leans as ``/``.
    """
    height, width = image_CHW.shape[1:]
    rows, columns = (_mirrored(size, image_CHW.device) for size in (height, width))
    layer = _Splitter(image_CHW.float()[:, rows][:, :, columns], degrees, settings).solve()
    return layer[_MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]


class _Splitter:
    """ADMM on one padded image; scaled dual variables."""

    def __init__(self, image: Tensor, degrees: float, settings: SeparationSettings) -> None:
        self.settings = settings
        self.size = image.shape[1:]
        self.most = image.amin(0)
        down, right = _frequencies(self.size, image.device)
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        forwards, sideways = down * cosine - right * sine, right * cosine + down * sine
        self.across = _difference(sideways, 1.0)
        self.along = [(settings.along, _difference(forwards, 1.0)), (settings.along_far, _difference(forwards, _FAR))]
        self.along = [(weight, filter_) for weight, filter_ in self.along if weight > 0]
        self.edges = self._back(torch.fft.rfft2(image) * self.across)
        colour = (self.edges - self.edges.mean(0)).abs().amax(0)
        self.edge_price = settings.across / (1 + settings.chroma * colour) / settings.coupling
        power = len(image) * self.across.abs().square() + 1
        self.power = power + sum(filter_.abs().square() for _, filter_ in self.along)

    def _back(self, spectrum: Tensor) -> Tensor:
        plane: Tensor = torch.fft.irfft2(spectrum, s=tuple(self.size))
        return plane

    def solve(self) -> Tensor:
        """Return the layer [h, w] after all iterations."""
        layer, layer_dual = torch.zeros_like(self.most), torch.zeros_like(self.most)
        runs = [(torch.zeros_like(self.most), torch.zeros_like(self.most)) for _ in self.along]
        kept, kept_dual = self.edges.clone(), torch.zeros_like(self.edges)
        price = self.settings.sparsity / self.settings.coupling
        for _ in range(self.settings.iterations):
            total = self.across.conj() * torch.fft.rfft2((self.edges - kept - kept_dual).sum(0))
            total += torch.fft.rfft2(layer - layer_dual)
            for (_, filter_), (run, dual) in zip(self.along, runs, strict=True):
                total += filter_.conj() * torch.fft.rfft2(run - dual)
            spectrum = total / self.power
            for (weight, filter_), (run, dual) in zip(self.along, runs, strict=True):
                dual += self._back(spectrum * filter_)
                run.copy_(functional.softshrink(dual, weight / self.settings.coupling))
                dual -= run
            rain = self._back(spectrum)
            layer = (rain + layer_dual - price).clamp_(min=0).minimum(self.most)
            layer_dual += rain - layer
            left = self.edges - self._back(spectrum * self.across)
            apart = left - kept_dual
            kept = apart - apart.clamp(min=-self.edge_price, max=self.edge_price)
            kept_dual -= left - kept
        return layer


def _difference(phase: Tensor, pixels: float) -> Tensor:
    """Return the spectrum of the difference over so many pixels in the direction of `phase`."""
    return torch.polar(torch.ones_like(phase), pixels * phase) - 1


def _frequencies(size: torch.Size, device: torch.device) -> tuple[Tensor, Tensor]:
    height, width = size
    down = torch.fft.fftfreq(height, device=device)[:, None] * (2 * math.pi)
    right = torch.fft.rfftfreq(width, device=device) * (2 * math.pi)
    return down.expand(height, len(right)), right.expand(height, len(right))


def _mirrored(size: int, device: torch.device) -> Tensor:
    """Return the places that continue a line of pixels by reflection, to a length that transforms fast."""
    length = _fast_length(size + 2 * _MARGIN)
    period = max(2 * size - 2, 1)
    step = torch.remainder(torch.arange(length, device=device) - _MARGIN, period)
    return torch.where(step < size, step, period - step)


def _fast_length(size: int) -> int:
    """Return the next even length without prime factors above 5."""
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and size % 2 == 0:
            return size
        size += 1
