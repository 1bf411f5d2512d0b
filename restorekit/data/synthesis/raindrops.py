"""Synthetic raindrops on glass, vectorised over the batch and over the drops.

A drop is a wide-angle lens that shows the whole surroundings upside down and strongly reduced, so that its
brightness hardly depends on what lies behind it (Garg and Nayar, Photometric model of a rain drop, 2004;
Roser and Geiger, Video-based raindrop detection, 2009). The glass is out of focus: drops are soft, and the
outline bleeds into the scene (von Bernuth et al., 2018; Porav et al., 2019). The image is (1 - M) B + M D,
with the opacity M of the drops, the scene B and the light D that comes through a drop.

Outlines are level sets of a sum of Gaussians (metaballs), so that close drops merge. A Gaussian is an outer
product, so that the field of all N lobes, and any per-drop value spread over the drop's pixels, is one
matrix product [H, N] @ [N, W].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from kornia.color import rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional

from restorekit.data.synthesis.aperture import kernels, margin, out_of_focus
from restorekit.data.synthesis.draws import between, check, uniforms
from restorekit.data.synthesis.raindrop_settings import DROPS, PRESETS, REFERENCE_AREA, RaindropSettings

MASK_THRESHOLD = 30 / 255
"""A pixel belongs to the mask when it differs by more in any channel, as in Qian et al. (2018)."""

LOBES = 3
"""Metaballs per drop: the body and two smaller ones that make the outline irregular."""

_FIELD = 2.0
"""Field of a lone drop: exp(-2 (distance / radius)^2); the outline is where it falls to exp(-2)."""

_NEAREST = 5.0
"""Steeper Gaussian by which a pixel takes the values of the drop it lies in."""

_THUMB = 10
"""Pixels per side of the blurred scene that drops show: a drop keeps little detail."""


def add_drops(
    clean: Tensor, keys: Tensor, settings: RaindropSettings | tuple[RaindropSettings, ...] = DROPS
) -> tuple[Tensor, Tensor]:
    """Drops on the glass before a batch of images.

    `clean`: [B, 3, H, W] in [0, 1], any size and float type, on any device. `keys`: [B] integers. `settings`: one
    preset, or several of which each image takes one. Returns the degraded images, like `clean`, and the binary mask
    [B, 1, H, W]: 1 where the two differ by more than 30/255 in any channel. Sample i depends on clean[i] and keys[i]
    only. Raises `DataError` for wrong shapes.
    """
    check(clean, keys)
    choices = settings if isinstance(settings, tuple) else (settings,)
    chosen = (uniforms(keys, 12, 1)[:, 0] * len(choices)).long()
    degraded = torch.empty_like(clean)
    for number, choice in enumerate(choices):
        rows = (chosen == number).nonzero()[:, 0]
        if len(rows):
            degraded[rows] = _with_drops(clean[rows], keys[rows], choice)
    mask = (degraded - clean).abs().amax(1, keepdim=True) > MASK_THRESHOLD
    return degraded, mask.to(clean.dtype)


class Raindrops:
    """The synthesizer ``raindrop``: see `add_drops`."""

    presets = tuple(PRESETS)

    def __call__(self, clean: Tensor, keys: Tensor, preset: str | None = None) -> tuple[Tensor, Tensor | None]:
        """Return `add_drops` with the settings of a preset, ``drops`` by default."""
        return add_drops(clean, keys, PRESETS[preset or "drops"])


def _with_drops(clean: Tensor, keys: Tensor, settings: RaindropSettings) -> Tensor:
    values = _image_values(settings, keys)
    around = margin(settings.aperture[1] * settings.scale)
    scene = functional.pad(clean, (around,) * 4, mode="replicate")
    drops = _Drops.draw(settings, values, keys, scene.shape[-2], scene.shape[-1])
    maps = _maps(drops, scene, values["defocus"])
    light = _seen_through(scene, maps, values)
    if not around:
        return torch.lerp(clean, light, maps["cover"]).clamp(0, 1)
    light = rgb_to_linear_rgb(light.clamp(0, 1)) * values["glare"].to(light)[:, None, None, None]
    aperture = kernels(values["aperture"], uniforms(keys, 13, 3), 2 * around - 1)
    return out_of_focus(scene, maps["cover"], light, aperture)[..., around:-around, around:-around]


def _image_values(settings: RaindropSettings, keys: Tensor) -> dict[str, Tensor]:
    """Draw what is common to an image: one [B] float64 tensor per range."""
    ranges = {f.name: getattr(settings, f.name) for f in fields(settings)}
    ranges = {name: bounds for name, bounds in ranges.items() if isinstance(bounds, tuple)}
    draws = uniforms(keys, 10, len(ranges))
    values = {name: between(draws[:, i], bounds) for i, (name, bounds) in enumerate(ranges.items())}
    for size in ("defocus", "aperture"):
        values[size] = values[size] * settings.scale
    return values


@dataclass(frozen=True)
class _Drops:
    """Lobes of drops, each field [B, N] float64.

    `x`, `y`, `rx`, `ry`: of the lobe, pixels; the others: of its drop.
    """

    x: Tensor
    y: Tensor
    rx: Tensor
    ry: Tensor
    weight: Tensor
    center_x: Tensor
    center_y: Tensor
    radius: Tensor
    height: Tensor
    opacity: Tensor
    sky: Tensor
    rim: Tensor

    @staticmethod
    def draw(settings: RaindropSettings, values: dict[str, Tensor], keys: Tensor, height: int, width: int) -> _Drops:
        """Place the drops of an image; surplus ones get a weight of 0."""
        image = {name: value[:, None] for name, value in values.items()}
        # Drops may hang in from outside; the room for them depends on settings and size only.
        margin = 0.25 * settings.largest * settings.scale
        rate = (width + 2 * margin) * (height + 2 * margin) / REFERENCE_AREA / settings.scale**2
        most = max(1, math.ceil(settings.count[1] * rate))
        draws = uniforms(keys, 11, 8 + 4 * LOBES, most)
        active = torch.arange(most) < (image["count"] * rate).clamp(min=1)
        radius = _radii(settings, image["diameter"], draws[:, 0])
        running = draws[:, 1] < image["running"]
        stretch = torch.where(running, image["elongation"], 0.9 + 0.35 * draws[:, 2]).sqrt()
        body = {
            "center_x": draws[:, 3] * (width + 2 * margin) - margin,
            "center_y": draws[:, 4] * (height + 2 * margin) - margin,
            "radius": radius / stretch,
            "height": radius * stretch,
            "opacity": (image["opacity"] * (0.6 + 0.5 * draws[:, 5])).clamp(max=1),
            "sky": image["sky"] * (0.5 + draws[:, 6]),
            "rim": image["rim"] * (0.5 + draws[:, 7]),
        }
        lobes = _lobes(draws[:, 8:], body, running)
        repeated = {name: value.repeat(1, LOBES) for name, value in body.items()}
        weight = active.to(torch.float64).repeat(1, LOBES)
        return _Drops(**lobes, weight=weight, **repeated)

    def to(self, like: Tensor) -> _Drops:
        """Return the drops with the type and device of `like`."""
        return _Drops(*(getattr(self, field.name).to(like) for field in fields(self)))


def _radii(settings: RaindropSettings, median: Tensor, share: Tensor) -> Tensor:
    """Draw radii from the two-sided log-normal law, by the inverse of its distribution function."""
    normal = math.sqrt(2) * torch.erfinv((2 * share - 1).clamp(-0.999, 0.999))
    sigma = torch.where(normal < 0, settings.smaller, settings.larger)
    diameter = (median * torch.exp(sigma * normal)).clamp(max=settings.largest)
    return diameter * (settings.scale / 2)


def _lobes(draws: Tensor, body: dict[str, Tensor], running: Tensor) -> dict[str, Tensor]:
    """Lay a body and smaller lobes around it; gravity pulls them down, a running drop's trail goes up."""
    parts: dict[str, list[Tensor]] = {"x": [], "y": [], "rx": [], "ry": []}
    for lobe in range(LOBES):
        angle, reach, size, lean = draws[:, 4 * lobe : 4 * lobe + 4].unbind(1)
        reach = torch.zeros_like(reach) if lobe == 0 else 0.35 + 0.5 * reach
        shrink = torch.ones_like(size) if lobe == 0 else 0.35 + 0.4 * size
        turn = 2 * math.pi * angle
        fall = torch.where(running & (lobe > 0), -0.6 - lean, 0.2 * lean * (lobe > 0))
        parts["x"].append(body["center_x"] + body["radius"] * reach * torch.cos(turn))
        parts["y"].append(body["center_y"] + body["height"] * (reach * torch.sin(turn) + fall))
        parts["rx"].append(body["radius"] * shrink)
        parts["ry"].append(body["height"] * shrink)
    return {name: torch.cat(part, dim=1) for name, part in parts.items()}


def _maps(drops: _Drops, like: Tensor, defocus: Tensor) -> dict[str, Tensor]:
    """Render the drops: [B, 1, H, W] maps of cover (soft opacity), place in the drop, sky and rim."""
    drops = drops.to(like)
    columns, rows = (torch.arange(n, device=like.device, dtype=like.dtype) for n in (like.shape[-1], like.shape[-2]))
    across = ((columns - drops.x[..., None]) / drops.rx[..., None]).square()
    down = ((rows - drops.y[..., None]) / drops.ry[..., None]).square()
    field = torch.bmm(
        (torch.exp(-_FIELD * down) * drops.weight[..., None]).transpose(1, 2), torch.exp(-_FIELD * across)
    )
    ones = torch.ones_like(drops.x)
    # Offsets inside a drop are linear in the pixel's place: spread 1/r and c/r, combine afterwards.
    spread = (
        ones,
        1 / drops.radius,
        drops.center_x / drops.radius,
        1 / drops.height,
        drops.center_y / drops.height,
        drops.radius,
        drops.opacity,
        drops.sky,
        drops.rim,
    )
    carried = (torch.stack(spread, 1) * drops.weight[:, None])[..., None] * torch.exp(-_NEAREST * down)[:, None]
    batch, channels, count, height = carried.shape
    carried = carried.permute(0, 1, 3, 2).reshape(batch, channels * height, count)
    sums = torch.bmm(carried, torch.exp(-_NEAREST * across)).view(batch, channels, height, -1)
    near = sums[:, 1:] / sums[:, :1].clamp(min=torch.finfo(like.dtype).tiny * 1e6)
    inv_rx, cx, inv_ry, cy, radius, opacity, sky, rim = near.unsqueeze(2).unbind(1)
    level = (-torch.log(field.clamp(1e-9, 1.0)) / _FIELD).sqrt()[:, None]
    edge = defocus.to(like)[:, None, None, None]
    cover = opacity * _softened((1 - level) * radius, radius, edge)
    return {
        "cover": cover,
        "x": columns * inv_rx - cx,
        "y": rows[:, None] * inv_ry - cy,
        "level": level,
        "sky": sky,
        "rim": rim,
    }


def _softened(inside: Tensor, radius: Tensor, edge: Tensor) -> Tensor:
    """Opacity at `inside` pixels from the outline: a soft step; drops smaller than the blur fade."""
    step = (inside / (2 * edge) + 0.5).clamp(0, 1)
    step = step * step * (3 - 2 * step)
    area = radius.square()
    return step * area / (area + (0.4 * edge).square())


def _sky_light(thumb: Tensor, lift: Tensor) -> Tensor:
    """Estimate the light from above, [B, 3, 1, 1]: the brightest of the upper half, `lift`ed to white."""
    upper = thumb[:, :, : thumb.shape[2] // 2]
    luma = upper.mean(1, keepdim=True)
    weight = torch.softmax(10 * luma.flatten(1), dim=1).view_as(luma)
    light = (upper * weight).sum((2, 3), keepdim=True)
    light = torch.lerp(light, light.mean(1, keepdim=True).expand_as(light), 0.5)
    return light + (1 - light) * lift


def _surroundings(thumb: Tensor, sky: Tensor) -> Tensor:
    """Extend the blurred scene to twice its size: sky above, the border's colours at the sides and below."""
    half = thumb.shape[-1] // 2
    wide = functional.pad(thumb, (half, half, half, half), mode="replicate")
    rows = torch.arange(wide.shape[-2], device=thumb.device, dtype=thumb.dtype)
    share = (1 - rows / half).clamp(0, 1)[:, None]
    return torch.lerp(wide, sky.expand_as(wide), share)


def _seen_through(clean: Tensor, maps: dict[str, Tensor], values: dict[str, Tensor]) -> Tensor:
    """Return the light that comes through the drops, [B, 3, H, W]."""
    view, lift, detail, local = (
        values[name].to(clean)[:, None, None, None] for name in ("view", "sky_lift", "detail", "local")
    )
    thumb = functional.interpolate(clean, (_THUMB, _THUMB), mode="bilinear", antialias=True, align_corners=False)
    sky = _sky_light(thumb, lift)
    # Upside down, and the reduction grows towards the edge of the lens.
    x, y = maps["x"].clamp(-1.5, 1.5), maps["y"].clamp(-1.5, 1.5)
    bend = -0.5 * view * (0.6 + 0.4 * (x * x + y * y).clamp(max=1.5))
    grid = torch.cat((x * bend, y * bend), dim=1).permute(0, 2, 3, 1)
    around = _surroundings(thumb, sky)
    shown = functional.grid_sample(around, grid, mode="bilinear", padding_mode="border", align_corners=False)
    shown = torch.lerp(around.mean((2, 3), keepdim=True).expand_as(shown), shown, detail)
    behind = functional.interpolate(thumb, clean.shape[-2:], mode="bilinear", align_corners=False)
    shown = torch.lerp(shown, behind, local)
    light = torch.lerp(shown, sky.expand_as(shown), maps["sky"].clamp(0, 1))
    edge = maps["level"].clamp(max=1.0) ** 4
    relief = values["relief"].to(clean)[:, None, None, None] * y * y.abs()
    light = torch.lerp(light, sky.expand_as(light), relief.clamp(0, 1))
    return light * (1 - maps["rim"] * edge) * (1 + relief.clamp(-0.9, 0))
