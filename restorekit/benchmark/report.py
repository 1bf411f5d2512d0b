"""Everything that a benchmark leaves behind: summary, tables, pictures and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from restorekit.benchmark import plot, table
from restorekit.benchmark.extra_metrics import ExtraMetric
from restorekit.benchmark.page import ImageOf, Seen, page
from restorekit.benchmark.pictures import Tile, chosen_images, clean_tile, detail, sheet
from restorekit.benchmark.records import Row
from restorekit.benchmark.samples import Samples, slug
from restorekit.benchmark.summary import Summary, summarize, summary_values
from restorekit.benchmark.views import seen
from restorekit.errors import DataError
from restorekit.files import write_file, write_text
from restorekit.pages import shown

SHEETS = 4


@dataclass(frozen=True)
class Report:
    """A finished benchmark: its summary, what is needed to draw it, and the `folder` it is written to."""

    summary: Summary
    samples: Samples
    images: ImageOf
    folder: Path | None = None

    @classmethod
    def of(
        cls,
        samples: Samples,
        rows: Sequence[Row],
        images: ImageOf,
        folder: Path | None = None,
        metrics: Sequence[ExtraMetric] = (),
        conditions: Sequence[str] = (),
    ) -> Report:
        """Compute the statistics of `rows`, the first of which is the degraded input."""
        return cls(summarize(samples, rows, metrics, conditions), samples, images, folder)

    @property
    def failed(self) -> bool:
        """Whether any model failed."""
        return self.summary.failed

    def values(self) -> dict[str, object]:
        """Return the summary as strict JSON values."""
        return summary_values(self.summary)

    def write(self, folder: Path) -> None:
        """Write ``summary.json``, ``table.md``, ``table.csv``, ``index.html``, charts, to `folder`.

        Raises `DataError` when `folder` cannot be written; results that are there stay.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / "summary.json", json.dumps(self.values(), indent=1, allow_nan=False) + "\n")
            _write(folder / "table.md", table.markdown(self.summary))
            _write(folder / "table.csv", table.csv_text(self.summary))
            self._charts(folder)
            views = seen(self.summary, self.samples, self.images)
            self._maps(folder, views)
            _write(folder / "index.html", page(self.summary, self.samples, self.images, views))
        except OSError as error:
            raise DataError(f"report in {folder} cannot be written: {error}; results so far are kept") from error

    def _charts(self, folder: Path) -> None:
        figure = plot.quality_cost(self.summary)
        if figure:
            write_file(folder / "quality-cost.png", lambda file: file.write(plot.png(figure)))
        (folder / "comparisons").mkdir(exist_ok=True)
        for name in chosen_images(self.summary.rows[0].row, SHEETS):
            image = sheet(self._tiles(name), f"{self.summary.label}: {name}")
            place = folder / "comparisons" / f"{slug(name)}.png"
            write_file(place, partial(image.save, format="PNG"))

    def _maps(self, folder: Path, views: Seen) -> None:
        for metric, name, tiles in views:
            image = sheet(tiles, f"{self.summary.label}: {name}, by {metric}")
            place = folder / "comparisons" / f"{slug(name)}-{slug(metric)}.png"
            write_file(place, partial(image.save, format="PNG"))

    def _tiles(self, name: str) -> list[Tile]:
        rows = self.summary.rows
        tiles = [Tile(self.samples.named(name).degraded, "degraded", detail(rows[0].row, name))]
        for row in rows[1:]:
            pixels = self.images(row.model, name) if row.row.state == "done" else None
            if pixels is not None:
                tiles.append(Tile(pixels, row.title, detail(row.row, name)))
        return tiles + clean_tile(self.samples, name)


def _write(path: Path, text: str) -> None:
    write_text(path, shown(text))
