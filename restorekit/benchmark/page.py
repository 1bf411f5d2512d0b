"""The page of a benchmark: table, intervals, quality against cost, sliders, what metrics see, worst cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from restorekit.benchmark import document, plot, table
from restorekit.benchmark.pictures import Tile, chosen_images, data_uri, detail
from restorekit.benchmark.samples import Samples
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.summary import RowSummary, Summary
from restorekit.pixels import Pixels
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
            document.Notes(summary.notes),
            document.Heading("Table"),
            document.Table("table of scores and costs", table.header(summary), _rows(summary)),
            document.Lines(table.conditions(summary)),
            *_gains(summary),
            *_plot(summary),
            document.Slider(sets),
            _seen(seen),
            _worst(summary, samples, images),
            document.Listing(
                "Paired tests",
                f"Wilcoxon signed-rank on {HEADLINE}, Holm over all pairs.",
                table.tests_lines(summary),
            ),
        ],
        sets,
    )


def _rows(summary: Summary) -> list[document.TableRow]:
    rows = []
    for row in summary.rows:
        kinds = [row.row.state.replace(" ", "-")] + (["other"] if row.other_task else [])
        rows.append(document.TableRow(" ".join(kinds), table.cells(row, summary), table.keys(row, summary)))
    return rows


def _gains(summary: Summary) -> list[document.Chart]:
    """Return a chart of each model's paired gain and its interval, when there is any."""
    rows = [r for r in summary.rows if HEADLINE in r.gains and math.isfinite(r.gains[HEADLINE].low)]
    if not rows:
        return []
    heading = f"Gain over the degraded input, dB ({HEADLINE}), mean and 95 % interval"
    figure = plot.gains([plot.Gain(row.title, row.gains[HEADLINE], table.gain(row)) for row in rows])
    return [document.Chart(heading, "gain over the degraded input", plot.svg(figure, "gain of each model"))]


def _plot(summary: Summary) -> list[document.Chart]:
    figure = plot.quality_cost(summary)
    if figure is None:
        return []
    label = "quality against cost"
    return [document.Chart("Quality against cost", label, plot.svg(figure, label))]


def _slider_sets(summary: Summary, samples: Samples, images: ImageOf) -> list[document.PictureSet]:
    sets: list[document.PictureSet] = []
    for name in chosen_images(summary.rows[0].row, SLIDER_IMAGES):
        sample = samples.named(name)
        shown: list[tuple[str, str, Pixels]] = [("degraded", detail(summary.rows[0].row, name), sample.degraded)]
        for row in summary.rows[1:]:
            pixels = images(row.model, name) if row.row.state == "done" else None
            if pixels is not None:
                shown.append((row.title, detail(row.row, name), pixels))
        if sample.clean is not None:
            shown.append(("clean", "", sample.clean))
        pictures: list[document.Picture] = [
            {"title": t, "detail": d, "src": data_uri(p, SLIDER_WIDTH)} for t, d, p in shown
        ]
        sets.append({"name": name, "pictures": pictures})
    return sets


def _seen(seen: Seen) -> document.Strips:
    figures = [
        document.Strip.of(
            [(tile.title, tile.pixels) for tile in tiles],
            f"{image}, by {metric}: {', '.join(tile.title for tile in tiles)}",
        )
        for metric, image, tiles in seen
    ]
    return document.Strips("What metrics see", "From left to right as named below each row.", figures)


def _worst(summary: Summary, samples: Samples, images: ImageOf) -> document.Strips:
    figures = []
    for row in summary.rows[1:]:
        for name, delta in row.worst:
            figures += _worst_case(row, name, delta, samples, images)
    text = "Each model's smallest gains over the input. From left to right: degraded, restored, clean."
    return document.Strips("Worst cases", text, figures)


def _worst_case(row: RowSummary, name: str, delta: float, samples: Samples, images: ImageOf) -> list[document.Strip]:
    restored, sample = images(row.model, name), samples.named(name)
    if restored is None or sample.clean is None:
        return []
    shown = [("degraded", sample.degraded), ("restored", restored), ("clean", sample.clean)]
    return [document.Strip.of(shown, f"{row.title}, {name}: {delta:+.2f} dB")]
