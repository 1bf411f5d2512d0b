"""The table of a benchmark, as Markdown, CSV and on the terminal."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from restorekit.benchmark.extra_metrics import ExtraMetric
from restorekit.benchmark.intervals import Interval
from restorekit.benchmark.records import Cost
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.summary import RowSummary, Summary

if TYPE_CHECKING:
    from rich.table import Table

ABSENT = "–"
WIDE = 110
_NARROW_PROTOCOLS = ("rgb", "y-matlab", "qian2018")
_GAIN = f"gain dB ({HEADLINE.removeprefix('psnr-')}) [95 %]"


def si(value: float | None, digits: int = 3) -> str:
    """Return a count with a metric prefix: 6244362 -> ``6.24 M``."""
    if value is None:
        return ABSENT
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.{digits}g} {prefix}"
    return f"{value:.{digits}g}"


def seconds(value: float | None) -> str:
    """Return a time in ms or s."""
    if value is None:
        return ABSENT
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def mebibytes(value: int | None) -> str:
    """Return bytes in MiB."""
    return ABSENT if value is None else f"{value / 2**20:.0f} MiB"


def mean(interval: Interval | None, digits: int) -> str:
    """Return a mean, with the number of infinite values that it leaves out."""
    if interval is None:
        return ABSENT
    extra = f" +{interval.infinite}∞" if interval.infinite else ""
    return ("" if math.isnan(interval.mean) else f"{interval.mean:.{digits}f}") + extra


def quality(row: RowSummary, protocol: str) -> str:
    """Return ``PSNR / SSIM`` under one protocol."""
    if not row.means:
        return ABSENT
    psnr, ssim = row.means[f"psnr-{protocol}"], row.means[f"ssim-{protocol}"]
    return f"{mean(psnr, 2)} / {mean(ssim, 4)}"


def gain(row: RowSummary, metric: str = HEADLINE) -> str:
    """Return the paired gain over the input with its interval."""
    found = row.gains.get(metric)
    if found is None or math.isnan(found.mean):
        return ABSENT
    bounds = "" if math.isnan(found.low) else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return f"{found.mean:+.2f}{bounds}"


def measured(row: RowSummary, metric: ExtraMetric) -> str:
    """Return the mean of a further metric, and its difference from the input with its interval."""
    if metric.id not in row.means:
        return ABSENT
    found = row.gains.get(metric.id)
    if found is None or math.isnan(found.mean):
        return mean(row.means[metric.id], 4)
    bounds = "" if math.isnan(found.low) else f" [{found.low:+.4f}, {found.high:+.4f}]"
    return f"{mean(row.means[metric.id], 4)} ({found.mean:+.4f}{bounds})"


def _better(metric: ExtraMetric) -> str:
    return f"{metric.id} {'↑' if metric.higher_is_better else '↓'}"


def percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return ABSENT if math.isnan(share) else f"{100 * share:.0f} %"


def _costs(cost: Cost | None) -> list[str]:
    if cost is None:
        return [ABSENT] * 5
    rate = ABSENT if cost.throughput is None else f"{cost.throughput:.3g}/s (batch {cost.batch})"
    return [si(cost.parameters), si(cost.macs), seconds(cost.latency), rate, mebibytes(cost.memory)]


def header(summary: Summary) -> list[str]:
    """Return the names of the columns of the full table."""
    scores = [f"PSNR / SSIM {p}" for p in summary.protocols]
    gains = [_GAIN, "worse than input"] if summary.paired else []
    gains += [f"{_better(metric)} (difference [95 %])" for metric in summary.extra]
    return ["model", *scores, *gains, "params", "MACs", "latency", "throughput", "peak memory", "weights"]


def cells(row: RowSummary, summary: Summary) -> list[str]:
    """Return the cells of one row of the full table; a row without scores says why in the last one."""
    scores = [quality(row, p) for p in summary.protocols]
    gains = [gain(row), percent(row.worse)] if summary.paired else []
    gains += [measured(row, metric) for metric in summary.extra]
    return [row.title, *scores, *gains, *_costs(row.row.cost), _remark(row)]


def keys(row: RowSummary, summary: Summary) -> list[str | float | None]:
    """Return by what each of `cells` is sorted: numbers, text, or None where there is none."""
    cost = row.row.cost
    scores: list[str | float | None] = [_sortable(row.means.get(f"psnr-{p}")) for p in summary.protocols]
    gains = [_sortable(row.gains.get(HEADLINE)), row.worse] if summary.paired else []
    gains += [_sortable(row.means.get(metric.id)) for metric in summary.extra]
    names = ("parameters", "macs", "latency", "throughput", "memory")
    costs = [getattr(cost, name, None) for name in names]
    return [row.title, *scores, *gains, *costs, _remark(row)]


def _sortable(interval: Interval | None) -> float | None:
    if interval is None or not math.isnan(interval.mean):
        return None if interval is None else interval.mean
    return math.inf if interval.infinite else None


def _remark(row: RowSummary) -> str:
    if row.row.state == "failed":
        return f"failed: {row.row.note}"
    return row.row.note or row.source or ABSENT


def heading(summary: Summary) -> str:
    """Return what was scored, in one line: the data set's label always first."""
    return f"{summary.label}: {summary.images} image{'s' if summary.images != 1 else ''}"


def conditions(summary: Summary) -> list[str]:
    """Return what the cost columns were measured on, and what could not be measured, one line each."""
    costs = [(row.title, row.row.cost) for row in summary.rows if row.row.cost]
    where = sorted({f"{c.device}, {c.precision}, {c.width}x{c.height}" for _, c in costs})
    lines = [f"Cost measured on: {'; '.join(where)}."] if where else []
    lines = [*summary.conditions, *lines]
    return lines + [f"{title}: {note}." for title, cost in costs for note in cost.notes]


def tests_lines(summary: Summary) -> list[str]:
    """Return one line for each pair of models: which is better, and whether the test supports it."""
    lines = []
    for test in summary.tests:
        relation = ">" if test.median_difference > 0 else "<" if test.median_difference < 0 else "="
        lines.append(
            f"{test.first} {relation} {test.second}: median difference {test.median_difference:+.2f} dB,"
            f" p = {test.adjusted:.2g} (Holm)"
        )
    return lines


def markdown(summary: Summary) -> str:
    """Return heading, notes, the full table, conditions and paired tests as Markdown."""
    escape = str.maketrans({"|": "\\|", "\n": " "})
    rows = [header(summary), *(cells(row, summary) for row in summary.rows)]
    lines = ["| " + " | ".join(cell.translate(escape) for cell in row) + " |" for row in rows]
    count = len(rows[0])
    lines.insert(1, "|" + " --- |" * 1 + " ---: |" * (count - 2) + " --- |")
    parts = [f"## {heading(summary)}", *summary.notes, "\n".join(lines), *conditions(summary)]
    if summary.tests:
        parts.append("Paired tests (Wilcoxon signed-rank on " + HEADLINE + "):")
        parts.append("\n".join(f"- {line}" for line in tests_lines(summary)))
    return "\n\n".join(parts) + "\n"


def csv_text(summary: Summary) -> str:
    """Return one line per row with plain numbers: means, gains with bounds, cost."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    intervals = ("mean", "low", "high", "infinite")
    columns = [f"{m}_{part}" for m in summary.metrics for part in intervals]
    columns += [f"gain_{m}_{part}" for m in summary.metrics for part in intervals]
    names = (
        "parameters",
        "macs",
        "latency",
        "throughput",
        "batch",
        "memory",
        "height",
        "width",
        "device",
        "precision",
    )
    first = ["dataset", "images", "model", "title", "task", "state", "note", "network_width", "weights"]
    writer.writerow([*first, *columns, "share_worse", *names])
    for row in summary.rows:
        facts = row.row.facts
        values: list[object] = [summary.label, len(row.row.images), facts.model, row.title, facts.task]
        values += [row.row.state, row.row.note, facts.network_width, row.source]
        for table in (row.means, row.gains):
            values += [getattr(table.get(m), part, "") for m in summary.metrics for part in intervals]
        values.append(row.worse)
        values += [getattr(row.row.cost, name, "") for name in names]
        writer.writerow(["" if value is None or value != value else value for value in values])
    return text.getvalue()


def terminal(summary: Summary, columns: int = WIDE) -> Table:
    """Return the table for a terminal of so many `columns`, two lines a row: SSIM stands below PSNR.

    Below 110 columns one protocol and the cost other than latency are left out.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    protocols = _shown(summary, columns)
    table = Table(title=heading(summary), title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("model", overflow="fold", min_width=18)
    names = [f"PSNR\nSSIM\n{p}" for p in protocols]
    names += ["gain dB rgb\n[95 %]", "worse"] if summary.paired else []
    names += ["params\nMACs", "latency\nmemory"] if columns >= WIDE else ["latency"]
    for name in names:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for row in summary.rows:
        table.add_row(*(Text(cell) for cell in _terminal_cells(row, summary, columns)))
    return table


def _shown(summary: Summary, columns: int) -> tuple[str, ...]:
    return tuple(p for p in summary.protocols if columns >= WIDE or p in _NARROW_PROTOCOLS)


def _terminal_cells(row: RowSummary, summary: Summary, columns: int) -> list[str]:
    title = row.title.replace(" (", "\n(", 1)
    if row.row.state in ("failed", "no weights", "not exported", "seen"):
        title += f"\n({row.row.state})"
    scores = [quality(row, p).replace(" / ", "\n") for p in _shown(summary, columns)]
    gains = [gain(row).replace(" [", "\n["), percent(row.worse)] if summary.paired else []
    count, macs, latency, _, memory = _costs(row.row.cost)
    costs = [f"{count}\n{macs}", f"{latency}\n{memory}"] if columns >= WIDE else [latency]
    return [title, *scores, *gains, *costs]


def extra_lines(summary: Summary) -> list[str]:
    """Return, for the terminal, what the further metrics measured: a line each, and one of every row below it."""
    lines = []
    for metric in summary.extra:
        lines.append(f"{_better(metric)}, and its difference from the input [95 %]:")
        lines += [f"  {row.title}: {measured(row, metric)}" for row in summary.rows]
    return lines


def remarks(summary: Summary) -> list[str]:
    """Return, for the terminal, each row's weights or why it has no scores, one line each."""
    return [f"{row.title}: {_remark(row)}" for row in summary.rows if row.row.state != "input"]
