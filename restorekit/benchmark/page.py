"""The page of a benchmark: table, intervals, quality against cost, sliders, what metrics see, worst cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from restorekit.benchmark import document, plot, table
from restorekit.benchmark.pictures import Tile, chosen_images, data_uri, detail
from restorekit.benchmark.samples import Pixels, Samples
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.summary import RowSummary, Summary
from restorekit.version import __version__

ImageOf = Callable[[str, str], "Pixels | None"]
Seen = Sequence[tuple[str, str, Sequence[Tile]]]
"""What metrics see: metric, image, and a picture for each row."""

SLIDER_IMAGES = 3
SLIDER_WIDTH = 860


def page(summary: Summary, samples: Samples, images: ImageOf, seen: Seen = ()) -> str:
    """Return the page; `images` gives the restored pixels of (model, image name)."""
    sets = _slider_sets(summary, samples, images)
    return document.document(
        f"restorekit: {summary.label}",
        table.heading(summary),
        f"restorekit {__version__}. Scores are means of per-image values; each protocol is defined in the"
        " documentation. Intervals: 95 %, bootstrap over images.",
        [
            document.notes(summary.notes),
            "<h2>Table</h2>",
            document.table("table of scores and costs", table.header(summary), _rows(summary)),
            document.lines(table.conditions(summary)),
            _gains(summary),
            _plot(summary),
            document.slider(sets),
            _seen(seen),
            _worst(summary, samples, images),
            document.listing(
                "Paired tests",
                f"Wilcoxon signed-rank on {HEADLINE}, Holm over all pairs.",
                table.tests_lines(summary),
            ),
        ],
        sets,
    )


def _rows(summary: Summary) -> list[tuple[str, list[str], list[document.Key]]]:
    rows = []
    for row in summary.rows:
        kinds = [row.row.state.replace(" ", "-")] + (["other"] if row.other_task else [])
        rows.append((" ".join(kinds), table.cells(row, summary), table.keys(row, summary)))
    return rows


def _gains(summary: Summary) -> str:
    """Return a chart of each model's paired gain and its interval."""
    rows = [r for r in summary.rows if HEADLINE in r.gains and math.isfinite(r.gains[HEADLINE].low)]
    if not rows:
        return ""
    heading = f"<h2>Gain over the degraded input, dB ({HEADLINE}), mean and 95 % interval</h2>"
    return heading + document.bars([(row.title, row.gains[HEADLINE], table.gain(row)) for row in rows])


def _plot(summary: Summary) -> str:
    figure = plot.quality_cost(summary)
    if figure is None:
        return ""
    return "<h2>Quality against cost</h2>" + document.scrolling("quality against cost", plot.svg(figure))


def _slider_sets(summary: Summary, samples: Samples, images: ImageOf) -> list[dict[str, Any]]:
    sets: list[dict[str, Any]] = []
    for name in chosen_images(summary.rows[0].row, SLIDER_IMAGES):
        sample = samples.named(name)
        shown: list[tuple[str, str, Pixels]] = [("degraded", detail(summary.rows[0].row, name), sample.degraded)]
        for row in summary.rows[1:]:
            pixels = images(row.model, name) if row.row.state == "done" else None
            if pixels is not None:
                shown.append((row.title, detail(row.row, name), pixels))
        if sample.clean is not None:
            shown.append(("clean", "", sample.clean))
        pictures = [{"title": t, "detail": d, "src": data_uri(p, SLIDER_WIDTH)} for t, d, p in shown]
        sets.append({"name": name, "pictures": pictures})
    return sets


def _seen(seen: Seen) -> str:
    figures = [
        document.strip(
            [(tile.title, tile.pixels) for tile in tiles],
            f"{image}, by {metric}: {', '.join(tile.title for tile in tiles)}",
        )
        for metric, image, tiles in seen
    ]
    return document.strips("What metrics see", "From left to right as named below each row.", figures)


def _worst(summary: Summary, samples: Samples, images: ImageOf) -> str:
    figures = []
    for row in summary.rows[1:]:
        for name, delta in row.worst:
            figures += _worst_case(row, name, delta, samples, images)
    text = "Each model's smallest gains over the input. From left to right: degraded, restored, clean."
    return document.strips("Worst cases", text, figures)


def _worst_case(row: RowSummary, name: str, delta: float, samples: Samples, images: ImageOf) -> list[str]:
    restored, sample = images(row.model, name), samples.named(name)
    if restored is None or sample.clean is None:
        return []
    shown = [("degraded", sample.degraded), ("restored", restored), ("clean", sample.clean)]
    return [document.strip(shown, f"{row.title}, {name}: {delta:+.2f} dB")]
