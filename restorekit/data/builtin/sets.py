"""The built-in test sets: fixed renderings over the built-in photographs, of rain, raindrops and what plugins add."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from restorekit.data.builtin import photos
from restorekit.data.decode import read_rgb8
from restorekit.data.synthesis import presets
from restorekit.data.synthesis.render import render
from restorekit.errors import DataError
from restorekit.pixels import Pixels
from restorekit.plugin.registry import Component, registry

BUILTIN_VERSION = "1"
"""Raised whenever a pixel of a built-in set changes: scores of different versions must not be compared."""

_PLUGIN_RENDERINGS = 2  # of each photograph


@dataclass(frozen=True)
class Rendering:
    """How the built-in photographs are degraded for a task: by which synthesizer and presets, from which key on.

    `version` goes into the set's fingerprint.
    """

    synthesizer: str
    presets: tuple[str | None, ...]
    first_key: int
    version: str


_CORE = {
    "raindrop": Rendering("core/raindrop", ("drops", "drops"), 1000, BUILTIN_VERSION),
    "rain-streak": Rendering("core/rain-streak", ("light", "medium"), 2000, BUILTIN_VERSION),
}


def rendering_of(task: str) -> Rendering:
    """Return how the built-in photographs are degraded for `task`. Raises `DataError` when no synthesizer is for it."""
    if task in _CORE:
        return _CORE[task]
    found = [c for c in registry().components("synthesizer") if task in c.entry.tasks]
    if not found:
        known = sorted({task for c in registry().components("synthesizer") for task in c.entry.tasks})
        raise DataError(f"there are built-in images for {', '.join(known)}, not for {task or 'it'}.")
    return _by_plugin(task, next((c for c in found if c.entry.name == task), found[0]))


def _by_plugin(task: str, component: Component) -> Rendering:
    known: tuple[str | None, ...] = presets(component.id) or (None,)
    chosen = tuple(known[number % len(known)] for number in range(_PLUGIN_RENDERINGS))
    version = f"{BUILTIN_VERSION}-{component.plugin.distribution}-{component.plugin.version}"
    return Rendering(component.id, chosen, zlib.crc32(task.encode()), version)


def builtin_pairs(task: str) -> Iterator[tuple[str, Pixels, Pixels, Pixels | None]]:
    """Yield (name, degraded, clean, mask) of each test image of a task, always in the same order.

    `degraded` and `clean`: [H, W, 3] uint8. `mask`: [H, W] uint8 in {0, 1}, or None where the synthesizer gives none.
    Raises `DataError` for a task without synthesizer.
    """
    how = rendering_of(task)
    key = how.first_key
    for path in photos():
        clean = read_rgb8(path)
        for number, preset in enumerate(how.presets, start=1):
            degraded, mask = render(clean, key, how.synthesizer, preset)
            yield f"{path.stem}-{number}", degraded, clean, mask
            key += 1
