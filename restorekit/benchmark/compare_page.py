"""The page of a comparison: a table for each pair of models, and the images that differ most, with a slider."""

from __future__ import annotations

import math

from restorekit.benchmark import document, plot
from restorekit.benchmark.compare import Comparison, Difference, Pair
from restorekit.benchmark.intervals import Interval
from restorekit.benchmark.pictures import data_uri
from restorekit.benchmark.samples import read_pixels
from restorekit.version import __version__

WIDTH = 860
_HEADER = ("metric", "first", "second", "difference [95 %]", "median", "second higher", "p", "p (Holm)")


def page(comparison: Comparison) -> str:
    """Return the page."""
    sets = [found for pair in comparison.pairs for found in _sets(pair)]
    titles = [" and ".join(pair.titles) for pair in comparison.pairs]
    return document.document(
        f"restorekit: {comparison.label} compared",
        f"{comparison.label}: {'; '.join(titles)}",
        f"restorekit {__version__}. Differences are the second's score minus the first's on the same image. Intervals:"
        " 95 %, bootstrap over images; p: Wilcoxon signed-rank, with Holm's correction over all metrics and pairs.",
        [
            *(part for pair in comparison.pairs for part in _pair(pair)),
            document.Slider(sets, "The images that differ most"),
        ],
        sets,
    )


def _pair(pair: Pair) -> list[document.Part]:
    first, second = pair.titles
    left_out = f", {pair.left_out} that only one of them has left out" if pair.left_out else ""
    return [
        document.Heading(f"First {first}, second {second}"),
        document.Lines([f"{len(pair.images)} images{left_out}."]),
        document.Table(f"{first} and {second}", _HEADER, [_row(d, len(pair.images)) for d in pair.differences]),
        *_gains(pair),
        document.Listing(
            "Differ most",
            "By PSNR, where it was measured: the second minus the first.",
            [f"{name}: {value:+.2f} dB" for name, value in pair.most],
        ),
    ]


def _gains(pair: Pair) -> list[document.Chart]:
    finite = [d for d in pair.differences if d.metric.startswith("psnr") and math.isfinite(d.gain.low)]
    if not finite:
        return []
    figure = plot.gains([plot.Gain(d.metric, d.gain, f"{d.gain.mean:+.2f} dB") for d in finite])
    first, second = pair.titles
    label = f"gain of {second} over {first}"
    return [document.Chart("Second minus first, dB, mean and 95 % interval", label, plot.svg(figure, label))]


def _row(d: Difference, images: int) -> document.TableRow:
    digits = 2 if d.metric.startswith("psnr") else 4

    def mean(interval: Interval) -> str:
        infinite = f" +{interval.infinite}∞" if interval.infinite else ""
        return ("" if math.isnan(interval.mean) else f"{interval.mean:.{digits}f}") + infinite

    bounds = "" if math.isnan(d.gain.low) else f" [{d.gain.low:+.{digits}f}, {d.gain.high:+.{digits}f}]"
    cells = [d.metric, mean(d.first), mean(d.second), mean(d.gain) + bounds, f"{d.median:+.{digits}f}"]
    cells += [f"{d.higher} of {images}", f"{d.p:.2g}", f"{d.adjusted:.2g}"]
    keys: list[document.Key] = [d.metric, d.first.mean, d.second.mean, d.gain.mean, d.median, d.higher, d.p, d.adjusted]
    return document.TableRow("done", cells, keys)


def _sets(pair: Pair) -> list[document.PictureSet]:
    """Return the pictures of the images that differ most, where both folders keep them."""
    sets: list[document.PictureSet] = []
    for name, value in pair.most:
        paths = [side.output(name) for side in (pair.first, pair.second)]
        shown: list[document.Picture] = [
            {"title": title, "detail": f"{value:+.2f} dB" if i else "", "src": data_uri(read_pixels(path), WIDTH)}
            for i, (title, path) in enumerate(zip(pair.titles, paths, strict=True))
            if path is not None
        ]
        if len(shown) == len(paths):
            sets.append({"name": name, "pictures": shown})
    return sets
