"""From rows of records to a summary: means with intervals, paired gains, tests, worst images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from restorekit.benchmark.extra_metrics import ExtraMetric
from restorekit.benchmark.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    PairedTest,
    Values,
    differences,
    mean_interval,
    paired_tests,
    share_worse,
    worst,
)
from restorekit.benchmark.records import Row, as_values, plain
from restorekit.benchmark.samples import Samples
from restorekit.benchmark.scoring import HEADLINE
from restorekit.version import __version__

WORST = 3
BUILTIN = (
    "These are synthetic pictures that ship with restorekit, for testing only: their scores cannot be"
    " compared with published ones."
)
UNPAIRED = "This set has no clean images: outputs and timings only, no scores."
INFINITE = "+n∞: n outputs equal the clean image exactly (infinite PSNR); means and intervals are over the others."


@dataclass(frozen=True)
class RowSummary:
    """One row with its statistics. `title` holds the network's width, and the task when it is another one.

    `means` and `gains` (over the degraded input, paired) by metric id; `worse`: share of images, in [0, 1],
    that score below the input, and `worst` the images with the smallest gain, both by `HEADLINE`.
    """

    row: Row
    title: str
    other_task: bool
    means: dict[str, Interval] = field(default_factory=dict)
    gains: dict[str, Interval] = field(default_factory=dict)
    worse: float = math.nan
    worst: list[tuple[str, float]] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The model's id."""
        return self.row.facts.model

    @property
    def source(self) -> str:
        """Where the weights come from, or what a small budget left of them, in words."""
        return self._origin + (f"; {self._unjudged}" if self.row.left_out else "")

    @property
    def _unjudged(self) -> str:
        count = self.row.left_out
        what, they = ("1 image", "it") if count == 1 else (f"{count} images", "them")
        return f"{what} left out, for it was trained on {they}"

    @property
    def _origin(self) -> str:
        facts = self.row.facts
        if not facts.budget:
            return facts.weights
        if not self.row.unlearned:
            return f"trained on each image ({facts.budget})"
        share = f"{self.row.unlearned} of {len(self.row.images)}"
        return f"references' mean in {share} images: {facts.budget} are too little to learn one"


@dataclass(frozen=True)
class Summary:
    """The whole benchmark: what was scored, the rows, and the tests between the models that finished."""

    label: str
    task: str
    paired: bool
    images: int
    metrics: tuple[str, ...]
    rows: list[RowSummary]
    tests: list[PairedTest]
    notes: tuple[str, ...]
    extra: tuple[ExtraMetric, ...] = ()
    conditions: tuple[str, ...] = ()

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocol ids, in order."""
        return tuple(m.removeprefix("psnr-") for m in self.metrics if m.startswith("psnr-"))

    @property
    def failed(self) -> bool:
        """Whether any model failed."""
        return any(r.row.state == "failed" for r in self.rows)


def title_of(row: Row, task: str) -> tuple[str, bool]:
    """Return the name in tables, ``pix2pix (ngf 8) (rain-streak)``, and whether its task is another."""
    facts = row.facts
    width = f" ({facts.network_width})" if facts.network_width else ""
    other = bool(task and facts.task) and task not in facts.task.split(", ") and row.state != "input"
    return f"{facts.model}{width}{f' ({facts.task})' if other else ''}", other


def _scores(row: Row, metric: str) -> Values:
    return np.array([record.scores[metric] for record in row.images], dtype=np.float64)


def _only(row: Row, names: Sequence[str]) -> Row:
    """Return the row with its records of these images, in this order."""
    by_name = {record.image: record for record in row.images}
    return replace(row, images=[by_name[name] for name in names])


def _tests(rows: Sequence[Row]) -> list[PairedTest]:
    """Test the models against each other on the images that all of them are judged by."""
    judged = [{record.image for record in row.images} for row in rows]
    common = [r.image for r in rows[0].images if all(r.image in names for names in judged)] if rows else []
    return paired_tests({row.facts.model: _scores(_only(row, common), HEADLINE) for row in rows}) if common else []


def _row_summary(row: Row, degraded: Row, task: str, metrics: Sequence[str]) -> RowSummary:
    title, other = title_of(row, task)
    if not metrics or row.state not in ("done", "input"):
        return RowSummary(row, title, other)
    means = {metric: mean_interval(_scores(row, metric)) for metric in metrics}
    if row.state == "input":
        return RowSummary(row, title, other, means)
    names = [record.image for record in row.images]
    before = _only(degraded, names)
    deltas = {metric: differences(_scores(row, metric), _scores(before, metric)) for metric in metrics}
    return RowSummary(
        row,
        title,
        other,
        means,
        {metric: mean_interval(delta) for metric, delta in deltas.items()},
        share_worse(deltas[HEADLINE]),
        worst(names, deltas[HEADLINE], WORST),
    )


def summarize(
    samples: Samples, rows: Sequence[Row], extra: Sequence[ExtraMetric] = (), conditions: Sequence[str] = ()
) -> Summary:
    """Return the summary of `rows`, the first of which is the degraded input.

    `extra`: metrics beside the usual; `conditions`: what else a reader of the table must know, a line each.
    """
    degraded = rows[0]
    metrics = tuple(degraded.images[0].scores) if samples.paired else ()
    summaries = [_row_summary(row, degraded, samples.task, metrics) for row in rows]
    finished = [row for row in rows if row.state == "done"] if metrics else []
    tests = _tests(finished)
    notes = [BUILTIN] if samples.is_builtin else []
    notes += [UNPAIRED] if not samples.paired else []
    notes += [INFINITE] if any(i.infinite for s in summaries for i in s.means.values()) else []
    size = len(samples)
    return Summary(
        samples.label,
        samples.task,
        samples.paired,
        size,
        metrics,
        summaries,
        tests,
        tuple(notes),
        tuple(metric for metric in extra if not metric.protocol),  # protocols have columns of their own
        tuple(conditions),
    )


def _row_values(row: RowSummary) -> dict[str, object]:
    facts = as_values(row.row.facts)
    return {
        **facts,
        "title": row.title,
        "other_task": row.other_task,
        "state": row.row.state,
        "note": row.row.note,
        "source": row.source,
        "images": len(row.row.images),
        "left_out": row.row.left_out,
        "means": {m: asdict(i) for m, i in row.means.items()},
        "gains": {m: asdict(i) for m, i in row.gains.items()},
        "share_worse": row.worse,
        "worst": [{"image": name, "gain": gain} for name, gain in row.worst],
        "cost": as_values(row.row.cost) if row.row.cost else None,
    }


def summary_values(summary: Summary) -> dict[str, object]:
    """Return the summary as strict JSON values."""
    values: dict[str, object] = plain(
        {
            "restorekit": __version__,
            "dataset": summary.label,
            "task": summary.task,
            "paired": summary.paired,
            "images": summary.images,
            "headline": HEADLINE,
            "metrics": {m.id: {"higher_is_better": m.higher_is_better, "unit": m.metric.unit} for m in summary.extra},
            "interval": {"level": LEVEL, "method": "percentile bootstrap", "resamples": RESAMPLES, "seed": 0},
            "notes": list(summary.notes),
            "conditions": list(summary.conditions),
            "rows": [_row_values(row) for row in summary.rows],
            "tests": {
                "method": "Wilcoxon signed-rank, two-sided, Holm over all pairs",
                "pairs": [asdict(test) for test in summary.tests],
            },
        }
    )
    return values
