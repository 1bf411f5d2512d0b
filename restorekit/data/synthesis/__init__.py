"""Degrading clean images: by the core's rain and raindrops, or by a plugin's synthesizer.

Everything is drawn from one integer key per sample, so that a sample does not depend on its batch, its
process or its device (up to rounding).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping

from torch import Tensor

from restorekit.data.synthesis.raindrop_settings import PRESETS as DROP_PRESETS
from restorekit.data.synthesis.raindrop_settings import RaindropSettings
from restorekit.data.synthesis.raindrops import add_drops
from restorekit.data.synthesis.streaks import PRESETS as STREAK_PRESETS
from restorekit.data.synthesis.streaks import STREAK_MASK_THRESHOLD, StreakSettings, add_streaks
from restorekit.errors import PluginError, UnknownNameError, closest
from restorekit.interface import Synthesizer
from restorekit.plugin.registry import create

__all__ = [
    "DROP_PRESETS",
    "STREAK_MASK_THRESHOLD",
    "STREAK_PRESETS",
    "RaindropSettings",
    "StreakSettings",
    "add_drops",
    "add_streaks",
    "check_preset",
    "presets",
    "scenes",
    "synthesize",
]


def _built(name: str, settings: Mapping[str, object] | None) -> Synthesizer:
    return _kept(name, json.dumps(settings or {}, sort_keys=True))


@functools.lru_cache(maxsize=32)
def _kept(name: str, settings: str) -> Synthesizer:
    synthesizer: Synthesizer = create("synthesizer", name, **json.loads(settings))
    return synthesizer


def presets(name: str, settings: Mapping[str, object] | None = None) -> tuple[str, ...]:
    """Return the presets of the synthesizer `name`, none if it has none.

    Raises `UnknownNameError` when there is no such synthesizer, `RecipeError` for settings that it refuses.
    """
    return tuple(getattr(_built(name, settings), "presets", ()))


def check_preset(name: str, preset: str | None, settings: Mapping[str, object] | None = None) -> None:
    """Raise `UnknownNameError` when the synthesizer is unknown, or has no preset of that name (None: its default)."""
    names = presets(name, settings)
    if preset is not None and preset not in names:
        raise UnknownNameError(
            f"No preset {preset!r} of the synthesizer {name!r}; there are {', '.join(names) or 'none'}."
            f"{closest(preset, names)}"
        )


def synthesize(
    clean: Tensor, keys: Tensor, name: str, preset: str | None = None, settings: Mapping[str, object] | None = None
) -> tuple[Tensor, Tensor | None]:
    """Degrade a batch of clean images by the synthesizer `name`, built with `settings`.

    `clean`: [B, 3, H, W] in [0, 1], float32 or float64. `keys`: [B] integers. `preset`: one of `presets`; None is the
    synthesizer's default. Returns the degraded images, like `clean`, and the mask [B, 1, H, W] in {0, 1} of what is
    degraded, or None where the synthesizer gives none. Raises `UnknownNameError`, `RecipeError`, `DataError`, and
    `PluginError` when a plugin's synthesizer gives something else.
    """
    check_preset(name, preset, settings)
    return _checked(_built(name, settings)(clean, keys, preset), clean, name)


def scenes(clean: Tensor, keys: Tensor, name: str, settings: Mapping[str, object] | None = None) -> Tensor:
    """Return the clean images that the synthesizer `name` degrades in training: `clean`, or what it makes of them.

    Raises what `synthesize` raises.
    """
    change = getattr(_built(name, settings), "scenes", None)
    return clean if change is None else _checked((change(clean, keys), None), clean, name)[0]


def _checked(result: object, clean: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
    """Refuse with `PluginError` what is no pair of a degraded image and a mask or None."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise PluginError(
            f"synthesizer {name!r} gave a {type(result).__name__}; it must give (degraded, mask), or (degraded, None)"
        )
    degraded, mask = result
    wanted = tuple(clean.shape), (clean.shape[0], 1, *clean.shape[2:])
    for what, plane, shape in (("degraded images", degraded, wanted[0]), ("a mask", mask, wanted[1])):
        if what == "a mask" and plane is None:
            continue
        if not isinstance(plane, Tensor) or tuple(plane.shape) != shape or plane.dtype != clean.dtype:
            found = f"{tuple(plane.shape)} {plane.dtype}" if isinstance(plane, Tensor) else f"a {type(plane).__name__}"
            raise PluginError(f"synthesizer {name!r} gave {what} of {found}; it must be {shape} {clean.dtype}")
    return degraded, mask
