"""Charts of a benchmark: quality against cost, and gains; as SVG for the page and PNG for anything else."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restorekit.benchmark.intervals import Interval
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.summary import RowSummary, Summary
from restorekit.pages import shown

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 130
_BETTER, _WORSE, _OPEN = "#0b5cad", "#b3261e", "#6b6b6b"


def plotted(summary: Summary) -> list[RowSummary]:
    """Return the rows that have a finite mean and a latency."""
    return [
        row
        for row in summary.rows
        if row.row.cost and row.row.cost.latency and HEADLINE in row.means and math.isfinite(row.means[HEADLINE].mean)
    ]


def quality_cost(summary: Summary) -> Figure | None:
    """Return PSNR with its interval against latency, or None when no row has both."""
    rows = plotted(summary)
    if not rows:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    latencies = [row.row.cost.latency or 1.0 for row in rows if row.row.cost]
    axes.set_xlim(min(latencies) / 2, max(latencies) * 2)  # one point alone has no range of its own
    for index, row in enumerate(rows):
        _point(axes, row, f"C{index % 10}")
    _degraded_line(axes, summary)
    _ticks(axes)
    axes.set_xlabel("latency, seconds per image (log scale)")
    axes.set_ylabel(f"PSNR ({HEADLINE.removeprefix('psnr-')}), dB")
    axes.set_title(f"{_label(summary.label)}: quality against cost", loc="left", fontsize=11, parse_math=False)
    axes.grid(alpha=0.25, which="both")
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _ticks(axes: Axes) -> None:
    """Label a few latencies: all of a decade's nine would run into each other."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if math.log10(high / low) < 2.5 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)


def _label(text: str) -> str:
    """Return text as matplotlib takes it: what no encoding can write replaced; a ``_`` in front would hide a label."""
    text = shown(text)
    return f" {text}" if text.startswith("_") else text


def _point(axes: Axes, row: RowSummary, colour: str) -> None:
    interval, cost = row.means[HEADLINE], row.row.cost
    assert cost is not None  # `plotted` keeps only such rows
    bounds = (interval.mean - interval.low, interval.high - interval.mean)
    errors = None if math.isnan(interval.low) else [[bounds[0]], [bounds[1]]]
    axes.errorbar(
        [cost.latency or 0.0],
        [interval.mean],
        yerr=errors,
        fmt="s" if row.other_task else "o",
        markersize=7,
        capsize=3,
        color=colour,
        label=_label(row.title),
        alpha=0.6 if row.other_task else 1.0,
    )


def _degraded_line(axes: Axes, summary: Summary) -> None:
    interval = summary.rows[0].means[HEADLINE]
    if math.isfinite(interval.mean):
        axes.axhline(interval.mean, color="0.45", linestyle="--", linewidth=1, label="degraded input")


@dataclass(frozen=True)
class Gain:
    """One line of the chart of gains: its title, the interval in dB, and what is written beside it."""

    title: str
    interval: Interval
    text: str

    @property
    def colour(self) -> str:
        """Blue for better, red for worse, grey where the interval holds 0."""
        return _WORSE if self.interval.high < 0 else _BETTER if self.interval.low > 0 else _OPEN


def gains(lines: Sequence[Gain]) -> Figure:
    """Return means and intervals about 0, one below the other in the given order. Finite intervals only."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 0.8 + 0.28 * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color="0.45", linestyle="--", linewidth=1)
    for place, line in enumerate(lines):
        i = line.interval
        errors = [[i.mean - i.low], [i.high - i.mean]]
        axes.errorbar([i.mean], [place], xerr=errors, fmt="o", markersize=7, capsize=3, color=line.colour)
        text = axes.text(1.01, place, _label(line.text), transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        text.set_parse_math(False)
    axes.set_yticks(range(len(lines)), [_label(line.title) for line in lines], fontsize=9)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("dB")
    axes.grid(alpha=0.25, axis="x")
    return figure


def svg(figure: Figure, label: str) -> Markup:
    """Return the figure as an inline SVG element, which `label` tells of to those who cannot see it."""
    from markupsafe import Markup

    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return Markup('<svg role="img" aria-label="{}"').format(shown(label)) + Markup(text[text.index("<svg") + 4 :])


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()
