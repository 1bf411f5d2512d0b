"""Pictures of what a metric sees, such as label maps, where it can show that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restorekit.benchmark.pictures import Tile, chosen_images
from restorekit.benchmark.samples import Samples
from restorekit.benchmark.summary import Summary

if TYPE_CHECKING:
    from restorekit.benchmark.page import ImageOf, Seen

IMAGES = 3


def seen(summary: Summary, samples: Samples, images: ImageOf) -> Seen:
    """Return, for some images and each metric that shows what it sees, the picture of every row and the clean image."""
    showing = [metric for metric in summary.extra if metric.shows]
    if not showing:
        return []
    names = chosen_images(summary.rows[0].row, IMAGES)
    tiles = {name: _tiles(summary, samples, images, name) for name in names}
    return [
        (metric.id, name, [Tile(metric.picture(tile.pixels), tile.title) for tile in tiles[name]])
        for metric in showing
        for name in names
    ]


def _tiles(summary: Summary, samples: Samples, images: ImageOf, name: str) -> list[Tile]:
    sample = samples.named(name)
    found = [(row.title, images(row.model, name)) for row in summary.rows[1:] if row.row.state == "done"]
    shown = [("degraded", sample.degraded), *found, ("clean", sample.clean)]
    return [Tile(pixels, title) for title, pixels in shown if pixels is not None]
