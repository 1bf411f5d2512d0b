"""The prior ``rain-layer``: one clean image, the input less a layer of colourless light in long streaks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from restorekit.errors import DataError, RecipeError
from restorekit.interface import Batch
from restorekit.pixels import Pixels, to_image, to_pixels
from restorekit_rain2avoid.direction import rain_directions
from restorekit_rain2avoid.separation import SeparationSettings, separate

_ANY_ANGLE = 90.0
_FADE = 0.06
_FEWEST_BLOCKS = 24
_LARGEST_BLOCK = 40
_FAINT = 0.002
_STRONG = 0.99
_FACTORS = (0.8, 2.4)


class RainLayer(nn.Module):
    """Finds the rain's direction in the whole image, and subtracts the layer of light that runs along it.

    `along`, `along_far`, `across`, `sparsity`, `chroma`, `coupling`, `iterations`: see `SeparationSettings`.

    `gain`, `gain_strength`, `gain_contrast`: the layer is multiplied by ``gain + gain_strength q + gain_contrast
    (r - 1)``, as the penalties take more off strong streaks: q is the layer's 99th percentile, r how much stronger
    (root mean square) it is than what is found in the negative image, where no rain can be.

    `coverage`: rain is everywhere: the layer counts when in this share of the image's blocks it outweighs the
    negative's (0: always); it fades out over 0.06 below. `candidates`: directions that are tried until one counts.
    `layers`: how many are taken off at most, one after the other: rain of several directions. `angle`: the first
    layer's direction, in degrees from the vertical; beyond 90 finds it. `pixels`: larger images are separated at a
    smaller scale.

    ``forward`` gives ``batch.references`` [B, 1, 3, H, W], float32 in [0, 1]. ``per_image``: see `NSS`.

    Raises `RecipeError` for settings out of range, `DataError` for images that are neither RGB nor grey.
    """

    per_image = True

    def __init__(
        self,
        *,
        along: float = 0.1,
        along_far: float = 0.15,
        across: float = 0.045,
        sparsity: float = 0.008,
        chroma: float = 10.0,
        coupling: float = 4.0,
        iterations: int = 30,
        gain: float = 0.7,
        gain_strength: float = 3.0,
        gain_contrast: float = 1.0,
        coverage: float = 0.8,
        candidates: int = 3,
        layers: int = 1,
        angle: float = 180.0,
        pixels: int = 1_000_000,
    ) -> None:
        super().__init__()
        positive = {"across": across, "coupling": coupling, "iterations": iterations, "gain": gain}
        positive |= {"layers": layers, "candidates": candidates, "pixels": pixels}
        _refuse(positive, "above 0", lambda value: value <= 0)
        others = {"along": along, "along_far": along_far, "sparsity": sparsity, "chroma": chroma}
        others |= {"gain_strength": gain_strength, "gain_contrast": gain_contrast}
        _refuse(others, "0 or more", lambda value: value < 0)
        _refuse({"coverage": coverage}, "from 0 to 1", lambda value: not 0 <= value <= 1)
        self.separation = SeparationSettings(along, along_far, across, sparsity, chroma, coupling, iterations)
        self.gain, self.gain_strength, self.gain_contrast = gain, gain_strength, gain_contrast
        self.coverage, self.candidates = coverage, candidates
        self.layers, self.angle, self.pixels = layers, angle, pixels

    @torch.no_grad()
    def forward(self, batch: Batch) -> Batch:
        """Return the batch with one reference for each image."""
        images = _rgb(batch.degraded)
        restored = torch.stack([(image - self.layer(image)).clamp(0, 1) for image in images])
        return batch.replace(references=restored[:, None])

    @torch.no_grad()
    def references(self, image_HWC: Pixels, key: int = 0) -> Pixels:
        """Return the one reference [1, H, W, 3] of a whole uint8 image; the key changes nothing."""
        return self.apply_to(image_HWC)[""][None]

    @torch.no_grad()
    def apply_to(self, image_HWC: Pixels, mask: Pixels | None = None, samples: int = 0) -> dict[str, Pixels]:
        """Return ``{"": restored}`` [H, W, 3]. The prior takes no mask and has no samples."""
        if mask is not None or samples:
            raise RecipeError("prior 'rain-layer' finds rain itself: leave --mask and --samples out")
        channels = image_HWC[..., None] if image_HWC.ndim == 2 else image_HWC
        restored = self(Batch(to_image(channels))).references[0, 0]
        return {"": to_pixels(restored)}

    @torch.no_grad()
    def layer(self, image_CHW: Tensor) -> Tensor:
        """Return the light [H, W] >= 0 to take off an image [3, H, W] in [0, 1]; 0 where there is no rain."""
        # Half precision would lose the faint differences; a layer of a smaller image is as good as a large one's.
        with torch.autocast(image_CHW.device.type, enabled=False):
            small = _shrunk(image_CHW.float(), self.pixels)
            rain = self._layers(small)
            if small.shape != image_CHW.shape:
                rain = functional.interpolate(rain[None, None], image_CHW.shape[1:], mode="bilinear")[0, 0]
        return rain

    def _layers(self, image: Tensor) -> Tensor:
        """Return the sum of the layers [h, w], each found in what the former ones leave."""
        total = torch.zeros_like(image[0])
        for number in range(self.layers):
            left = image - total
            given = number == 0 and abs(self.angle) <= _ANY_ANGLE
            angles = [self.angle] if given else rain_directions(left, self.candidates)
            found = next((layer for layer in (self._layer_along(left, a) for a in angles) if layer.any()), None)
            if found is None:
                break
            total += found
        return total

    def _layer_along(self, image: Tensor, degrees: float) -> Tensor:
        """Return the layer of this direction; 0 everywhere if it is none of rain."""
        rain = separate(image, degrees, self.separation)
        impostor = separate(1 - image, degrees, self.separation)
        certainty = 1.0
        if self.coverage:
            share = rain_coverage(rain, impostor)
            certainty = min(max(1 - (self.coverage - share) / _FADE, 0.0), 1.0)
        return certainty * self._factor(rain, impostor) * rain

    def _factor(self, rain: Tensor, impostor: Tensor) -> float:
        """Return the layer's factor, within what was ever best for an image."""
        strength = float(rain.flatten().sort().values[int(_STRONG * (rain.numel() - 1))])
        contrast = float(rain.square().mean().sqrt() / impostor.square().mean().sqrt().clamp(min=_FAINT)) - 1
        factor = self.gain + self.gain_strength * strength + self.gain_contrast * contrast
        return min(max(factor, _FACTORS[0]), _FACTORS[1])


def rain_coverage(rain_HW: Tensor, impostor_HW: Tensor) -> float:
    """Return the share of blocks in which the layer outweighs the one from the negative image; 0 where all are empty.

    Sixth powers are compared, so that the strongest streaks decide: where there is rain, the negative shows the gaps
    between the streaks, wide and faint. What looks like rain in a scene is in some blocks only, and half of it is dark.
    """
    height, width = rain_HW.shape
    side = min(max(math.isqrt(height * width // _FEWEST_BLOCKS), 1), _LARGEST_BLOCK, height, width)
    powers = (torch.stack([rain_HW, impostor_HW])[:, None] / _FAINT).pow(6)
    rain, impostor = functional.avg_pool2d(powers, side).flatten(1)
    won, lost = (rain > impostor + 1).sum(), (impostor > rain + 1).sum()
    return float(won / (won + lost).clamp(min=1))


def _refuse(values: dict[str, float], allowed: str, wrong: object) -> None:
    for name, value in values.items():
        if not math.isfinite(value) or wrong(value):  # type: ignore[operator]
            raise RecipeError(f"rain-layer: {name} is {value}; it must be {allowed}")


def _rgb(image_BCHW: Tensor) -> Tensor:
    if image_BCHW.ndim != 4 or image_BCHW.shape[1] not in (1, 3):
        raise DataError(
            f"images of shape {tuple(image_BCHW.shape)} cannot be used; give RGB [B, 3, H, W] or grey"
            " [B, 1, H, W] in [0, 1]"
        )
    return image_BCHW.float().expand(-1, 3, -1, -1)


def _shrunk(image_CHW: Tensor, pixels: int) -> Tensor:
    """Return the image with at most about so many pixels, averaged over areas."""
    height, width = image_CHW.shape[1:]
    scale = math.sqrt(pixels / (height * width))
    if scale >= 1:
        return image_CHW
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return functional.interpolate(image_CHW[None], size, mode="area")[0]
