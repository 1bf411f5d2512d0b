"""Synthetic rain streaks, vectorised over the batch.

A streak is a short, soft line of light: a raindrop that moves during the exposure (Garg and Nayar,
Photorealistic rendering of rain streaks, 2006). In a frame that is sheared so that the rain falls
vertically, a streak is the outer product of a profile along and a profile across, so that a whole layer of
N streaks is one matrix product [H, N] @ [N, W]. The frame wraps around horizontally, so that the shear
needs no margin.

The presets follow measurements on Rain100L, Rain100H and GT-RAIN; each says what it resembles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from restorekit.data.synthesis.draws import Range, between, check, uniforms

STREAK_MASK_THRESHOLD = 2 / 255
"""A pixel belongs to a streak when the rain's light there is above this."""

LAYERS = 3
"""Depth layers in an image; the far ones have shorter, thinner, dimmer and more streaks."""

_DEPTH = (1.0, 0.8, 0.6)
"""Size of a layer's streaks relative to the nearest layer."""

_SHARES = (0.25, 0.33, 0.42)
"""Share of the streaks in each layer."""


@dataclass(frozen=True)
class StreakSettings:
    """Ranges from which each image draws its rain; every range is (lowest, highest).

    `density`: streaks per 1000 pixels. `length`, `width` (full width at half maximum) and `softness`
    (Gaussian sigma, added in quadrature to the width): pixels, in the nearest layer. `angle`: degrees from
    vertical, the side is random, small ones are likelier. `spread`: degrees by which the layers' directions
    differ. `amplitude`: mean peak brightness of a streak. `contrast`: how unequal streaks are (0: all
    alike, 1: exponential distribution). `ceiling`: the most light that the streaks of one layer reach; well
    below `amplitude` it makes them flat and crisp. `screen`: 0 adds the rain, 1 screens it (bright places
    gain less). `veil`: share of the scene's light that mist replaces; `veil_light`: the mist's brightness.
    `haze`: share of a 3x3 blur mixed into the scene.
    """

    density: Range
    length: Range
    width: Range
    angle: Range
    spread: Range
    amplitude: Range
    contrast: Range
    softness: Range = (0.0, 0.0)
    ceiling: Range = (1.0, 1.5)
    screen: Range = (0.0, 0.0)
    veil: Range = (0.0, 0.0)
    veil_light: Range = (0.5, 0.8)
    haze: Range = (0.0, 0.0)


LIGHT = StreakSettings(
    density=(2.0, 5.4),
    length=(17.0, 80.0),
    width=(1.2, 1.9),
    angle=(0.0, 32.0),
    spread=(0.0, 1.5),
    amplitude=(0.10, 0.22),
    contrast=(0.55, 0.9),
    screen=(0.0, 0.1),
)
"""Like Rain100L: one direction, streaks only add light."""

MEDIUM = StreakSettings(
    density=(4.0, 9.0),
    length=(17.0, 80.0),
    width=(1.2, 2.0),
    angle=(0.0, 32.0),
    spread=(0.0, 4.0),
    amplitude=(0.12, 0.28),
    contrast=(0.5, 0.9),
    screen=(0.0, 0.3),
)
"""Between Rain100L and Rain100H."""

HEAVY = StreakSettings(
    density=(10.0, 20.0),
    length=(30.0, 90.0),
    width=(1.0, 1.8),
    angle=(0.0, 15.0),
    spread=(1.0, 7.0),
    amplitude=(0.35, 1.3),
    contrast=(0.4, 0.8),
    ceiling=(0.13, 0.38),
    screen=(0.1, 0.7),
)
"""Like Rain100H: dense, several directions, clipped to crisp lines of few levels, closer to a screen
blend."""

REAL = StreakSettings(
    density=(3.0, 11.0),
    length=(5.0, 24.0),
    width=(1.4, 2.4),
    angle=(0.0, 30.0),
    spread=(3.0, 14.0),
    amplitude=(0.04, 0.15),
    contrast=(0.6, 1.0),
    softness=(0.0, 0.8),
    screen=(0.1, 0.8),
    veil=(0.05, 0.35),
    veil_light=(0.3, 0.7),
    haze=(0.0, 0.6),
)
"""Like GT-RAIN: short, less coherent and dimmer streaks behind veil and blur."""

RAIN100 = (LIGHT, MEDIUM, HEAVY)
"""From Rain100L to Rain100H; each image takes one of the three, by its key."""

MIXED = (LIGHT, MEDIUM, HEAVY, REAL)
"""Each image takes one of the four, by its key."""

PRESETS: dict[str, StreakSettings | tuple[StreakSettings, ...]] = {
    "light": LIGHT,
    "medium": MEDIUM,
    "heavy": HEAVY,
    "real": REAL,
    "rain100": RAIN100,
    "mixed": MIXED,
}


def add_streaks(
    clean: Tensor, keys: Tensor, settings: StreakSettings | tuple[StreakSettings, ...] = LIGHT
) -> tuple[Tensor, Tensor]:
    """Rain on a batch of images.

    `clean`: [B, 3, H, W] in [0, 1], any size and float type, on any device. `keys`: [B] integers.
    `settings`: one preset, or several of which each image takes one. Returns the degraded images, like
    `clean`, and the layer of rain light before composition, [B, 1, H, W], not below 0. Sample i depends on
    clean[i] and keys[i] only. Raises `DataError` for wrong shapes.
    """
    check(clean, keys)
    choices = settings if isinstance(settings, tuple) else (settings,)
    values = _image_values(choices, keys)
    height, width = clean.shape[-2:]
    rain = _rain_layer(choices, values, keys, height, width, clean)
    return _compose(clean, rain, values), rain


class Streaks:
    """The synthesizer ``rain-streak``: see `add_streaks`; the mask is where the rain adds more than 2/255."""

    presets = tuple(PRESETS)

    def __call__(self, clean: Tensor, keys: Tensor, preset: str | None = None) -> tuple[Tensor, Tensor | None]:
        """Return `add_streaks` with the settings of a preset, and no mask."""
        degraded, rain = add_streaks(clean, keys, PRESETS[preset or "mixed"])
        return degraded, (rain > STREAK_MASK_THRESHOLD).to(clean.dtype)


def _image_values(choices: tuple[StreakSettings, ...], keys: Tensor) -> dict[str, Tensor]:
    """Draw what is common to an image: one [B] tensor per field, and each layer's slope [B, LAYERS]."""
    names = [field.name for field in fields(StreakSettings)]
    draws = uniforms(keys, 0, len(names) + 2 + LAYERS)
    chosen = (draws[:, -1] * len(choices)).long()
    values = {}
    for column, name in enumerate(names):
        table = torch.tensor([getattr(choice, name) for choice in choices], dtype=torch.float64)[chosen]
        share = draws[:, column]
        # Rain is mostly near vertical: the median of the squared draw is a quarter of the range.
        values[name] = between(share * share if name == "angle" else share, (table[:, 0], table[:, 1]))
    side = torch.where(draws[:, len(names)] < 0.5, -1.0, 1.0)
    jitter = (draws[:, len(names) + 1 : -1] * 2 - 1) * values["spread"][:, None]
    values["slope"] = torch.tan(torch.deg2rad((values["angle"] * side)[:, None] + jitter))
    return values


def _counts(density: float, area: float) -> list[int]:
    return [math.ceil(density * area / 1000 * share) for share in _SHARES]


def _rain_layer(
    choices: tuple[StreakSettings, ...],
    values: dict[str, Tensor],
    keys: Tensor,
    height: int,
    width: int,
    like: Tensor,
) -> Tensor:
    """Return the light of all layers, [B, 1, H, W]; `like` gives device and type."""
    # The room for streaks depends on the settings and the size only: padding to the fullest image of the
    # batch would let one sample change the rounding of another.
    margin = max(choice.length[1] for choice in choices) / 2
    area = width * (height + 2 * margin)
    ceiling = values["ceiling"].to(like)[:, None, None]
    rain = like.new_zeros(keys.shape[0], 1, height, width)
    for layer, most in enumerate(_counts(max(choice.density[1] for choice in choices), area)):
        draws = uniforms(keys, 1 + layer, 8, most)
        streaks = _Streaks.draw(draws, values, layer, (height, width, margin))
        along, across = streaks.profiles(height, width, like)
        upright = torch.bmm(along.transpose(1, 2), across).minimum(ceiling)
        rain += _sheared(upright, values["slope"][:, layer].to(like))[:, None]
    return rain


@dataclass(frozen=True)
class _Streaks:
    """The streaks of one layer, each field [B, N] float64 on the CPU."""

    x: Tensor
    y: Tensor
    half: Tensor
    sigma: Tensor
    peak: Tensor
    skew: Tensor
    phase: Tensor
    ripple: Tensor

    @staticmethod
    def draw(draws: Tensor, values: dict[str, Tensor], layer: int, frame: tuple[int, int, float]) -> _Streaks:
        """Place streaks in `frame` (height, width, margin above and below); surplus ones get a peak of 0."""
        height, width, margin = frame
        depth = _DEPTH[layer]
        image = {name: value[:, None] for name, value in values.items()}
        wanted = image["density"] * (width * (height + 2 * margin) / 1000 * _SHARES[layer])
        active = torch.arange(draws.shape[-1]) < wanted
        upright = torch.cos(torch.atan(values["slope"][:, layer]))[:, None]
        sigma = torch.hypot(image["width"] / 2.355 * (0.7 + 0.6 * draws[:, 3]) * depth, image["softness"])
        # A gamma-like law: (-ln u)^c has many faint and few bright streaks, the more so the larger c is.
        unequal = (-torch.log1p(-draws[:, 4])) ** image["contrast"]
        return _Streaks(
            x=draws[:, 0] * width,
            y=draws[:, 1] * (height + 2 * margin) - margin,
            half=(image["length"] * (0.5 + draws[:, 2]) * depth / 2 * upright).clamp(max=margin).clamp(min=1.0),
            sigma=sigma.clamp(min=0.4) / upright,
            peak=torch.where(active, image["amplitude"] * unequal * depth, 0.0),
            skew=draws[:, 5] * 1.2 - 0.6,
            phase=draws[:, 6] * (2 * math.pi),
            ripple=draws[:, 7] * 0.5,
        )

    def profiles(self, height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return brightness along [B, N, H] (with the peak) and across [B, N, W] (1 in the middle)."""
        x, y, half, sigma, peak, skew, phase, ripple = (
            getattr(self, field.name).to(like)[..., None] for field in fields(self)
        )
        rows = torch.arange(height, device=like.device, dtype=like.dtype)
        t = (rows - y) / half
        # Soft ends, one end brighter, and the slow ripple of an oscillating drop.
        bump = (1 - t * t).clamp(min=0).sqrt_().mul_(1 + skew * t)
        along = bump.mul_(1 + ripple * torch.sin(3.0 * t + phase)).mul_(peak)
        columns = torch.arange(width, device=like.device, dtype=like.dtype)
        offset = torch.remainder(columns - x + width / 2, width) - width / 2
        return along, torch.exp(-0.5 * (offset / sigma).square())


def _sheared(upright: Tensor, slope: Tensor) -> Tensor:
    """Slant the layers [B, H, W]: row y moves by slope * y pixels, wrapped around, interpolated linearly."""
    _, height, width = upright.shape
    rows = torch.arange(height, device=upright.device, dtype=upright.dtype)
    shift = slope[:, None] * rows
    whole = shift.floor()
    rest = (shift - whole)[..., None]
    columns = torch.arange(width, device=upright.device)
    left = torch.remainder(columns + whole.long()[..., None], width)
    right = torch.where(left == width - 1, 0, left + 1)
    return torch.lerp(upright.gather(2, left), upright.gather(2, right), rest)


def _compose(clean: Tensor, rain: Tensor, values: dict[str, Tensor]) -> Tensor:
    """Blur and veil the scene, put the rain before it, clip at white."""

    def per_image(name: str) -> Tensor:
        return values[name].to(clean)[:, None, None, None]

    scene = clean
    if bool((values["haze"] > 0).any()):
        soft = functional.avg_pool2d(functional.pad(clean, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        scene = torch.lerp(clean, soft, per_image("haze"))
    if bool((values["veil"] > 0).any()):
        scene = torch.lerp(scene, per_image("veil_light").expand_as(scene), per_image("veil"))
    return (scene + rain * (1 - per_image("screen") * scene)).clamp(0, 1)
