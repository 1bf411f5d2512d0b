"""Comparing two folders of results, image by image: which is better, and does the data support it?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from restorekit.benchmark.intervals import Interval, Values, differences, holm, mean_interval, wilcoxon
from restorekit.benchmark.records import plain, read_image
from restorekit.benchmark.runner import DEGRADED
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.store import OUTPUTS, RESULTS
from restorekit.errors import DataError, UnknownNameError, closest
from restorekit.files import explained, write_text
from restorekit.jsonfile import json_lines
from restorekit.pages import shown
from restorekit.version import __version__

MOST = 8


@dataclass
class Side:
    """The results of one model in one folder: its scores by image and metric."""

    folder: Path
    model: str
    scores: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def output(self, image: str) -> Path | None:
        """Return the restored image, where the folder keeps it."""
        path = self.folder / OUTPUTS / self.model.replace("/", "-") / f"{image}.png"
        return path if path.is_file() else None


@dataclass(frozen=True)
class Difference:
    """The second's scores minus the first's under one metric, on the same images.

    `p` of Wilcoxon's signed-rank test, `adjusted` after Holm over all metrics and pairs of models; `higher`: images
    that the second scores higher.
    """

    metric: str
    first: Interval
    second: Interval
    gain: Interval
    median: float
    higher: int
    p: float
    adjusted: float


@dataclass(frozen=True)
class Pair:
    """Two models on the same images. `most`: the images that differ most by PSNR, with the difference."""

    first: Side
    second: Side
    images: tuple[str, ...]
    differences: tuple[Difference, ...]
    most: tuple[tuple[str, float], ...]

    @property
    def left_out(self) -> int:
        """How many images only one of the two has."""
        return len(set(self.first.scores) ^ set(self.second.scores))

    @property
    def titles(self) -> tuple[str, str]:
        """How the two are called: by their models, and by their folders where these are the same."""
        if self.first.model != self.second.model:
            return self.first.model, self.second.model
        return (f"{self.first.model} ({self.first.folder})", f"{self.second.model} ({self.second.folder})")


@dataclass(frozen=True)
class Comparison:
    """All pairs of models of two folders, on the data set called `label`."""

    label: str
    pairs: tuple[Pair, ...]

    def values(self) -> dict[str, object]:
        """Return the comparison as strict JSON values."""
        found: dict[str, object] = plain(
            {
                "restorekit": __version__,
                "dataset": self.label,
                "test": "Wilcoxon signed-rank, two-sided, Holm over all metrics and pairs",
                "pairs": [_values(pair) for pair in self.pairs],
            }
        )
        return found


def _values(pair: Pair) -> dict[str, object]:
    sides = {
        name: {"folder": str(side.folder), "model": side.model}
        for name, side in (("first", pair.first), ("second", pair.second))
    }
    return {
        **sides,
        "images": len(pair.images),
        "left_out": pair.left_out,
        "metrics": [asdict(d) for d in pair.differences],
        "most": [{"image": name, "difference": value} for name, value in pair.most],
    }


def compare(first: str | Path, second: str | Path, models: tuple[str | None, str | None] = (None, None)) -> Comparison:
    """Compare the results in two folders that `benchmark` or `score` wrote, or two models of one folder.

    `models`: which model of each folder; without them every model that both have, or the only one of each. Raises
    `DataError` for a folder without results, results of other images, or no scores, and `UnknownNameError`.
    """
    folders = (Path(first), Path(second))
    read = [_read(folder) for folder in folders]
    marks = [mark for mark, _ in read]
    if marks[0] != marks[1]:
        raise DataError(
            f"{folders[0]} holds results of {marks[0][0]} and {folders[1]} of {marks[1][0]}, or of other files under"
            " that name; only results on the same images can be compared"
        )
    sides = _sides(folders, (read[0][1], read[1][1]), models)
    p_values: list[float] = []
    drafts = [(a, b, *_drafts(a, b, p_values)) for a, b in sides]
    adjusted = iter(holm(p_values))
    pairs = [
        Pair(a, b, images, tuple(Difference(*draft, adjusted=next(adjusted)) for draft in found), most)
        for a, b, images, found, most in drafts
    ]
    return Comparison(marks[0][0], tuple(pairs))


Mark = tuple[str, str]


def _read(folder: Path) -> tuple[Mark, dict[str, Side]]:
    """Return the data set of a folder's results (label, fingerprint) and the models in it."""
    path = folder / RESULTS
    if not path.is_file():
        raise DataError(f"{folder} holds no {RESULTS}; give a folder that `restorekit benchmark` or `score -o` wrote")
    sides: dict[str, Side] = {}
    marks: set[Mark] = set()
    for line in json_lines(path):
        record = read_image(line)
        if record is None or record.model == DEGRADED or not record.scores:
            continue
        marks.add((str(line.get("dataset")).partition("(")[0], str(line.get("fingerprint"))))
        sides.setdefault(record.model, Side(folder, record.model)).scores[record.image] = record.scores
    if not sides:
        raise DataError(f"{path} holds no scores of a model; its data set needs clean images")
    if len(marks) > 1:
        raise DataError(f"{path} holds results of several data sets: {', '.join(label for label, _ in sorted(marks))}")
    return marks.pop(), sides


def _sides(
    folders: tuple[Path, Path], found: tuple[dict[str, Side], dict[str, Side]], models: tuple[str | None, str | None]
) -> list[tuple[Side, Side]]:
    chosen = []
    for folder, sides, name in zip(folders, found, models, strict=True):
        if name is not None and name not in sides:
            raise UnknownNameError(
                f"{folder} has no results of {name!r}.{closest(name, sides)} It has: {', '.join(sorted(sides))}."
            )
        chosen.append([sides[name]] if name is not None else list(sides.values()))
    if len(chosen[0]) == len(chosen[1]) == 1:
        pairs = [(chosen[0][0], chosen[1][0])]
    else:
        others = {side.model: side for side in chosen[1]}
        pairs = [(side, others[side.model]) for side in chosen[0] if side.model in others]
    pairs = [(a, b) for a, b in pairs if a is not b and (a.folder.resolve(), a.model) != (b.folder.resolve(), b.model)]
    if not pairs:
        names = [", ".join(sorted(sides)) for sides in found]
        raise DataError(
            f"{folders[0]} ({names[0]}) and {folders[1]} ({names[1]}) have no two results to compare; name one model of"
            " each with --first and --second"
        )
    return pairs


Draft = tuple[str, Interval, Interval, Interval, float, int, float]


def _drafts(
    first: Side, second: Side, p_values: list[float]
) -> tuple[tuple[str, ...], list[Draft], tuple[tuple[str, float], ...]]:
    """Return the common images, what there is to say of each common metric, and the images that differ most."""
    images = tuple(name for name in first.scores if name in second.scores)
    if not images:
        raise DataError(f"{first.folder} and {second.folder} have no image in common; benchmark the same images")
    metrics = _common(first, second, images)
    found = []
    for metric in metrics:
        scores = [np.array([side.scores[n][metric] for n in images], np.float64) for side in (first, second)]
        gains = differences(scores[1], scores[0])
        p_values.append(wilcoxon(gains))
        intervals = [mean_interval(values) for values in (*scores, gains)]
        higher = int((gains > 0).sum())
        found.append((metric, *intervals, float(np.median(gains)), higher, p_values[-1]))
    headline = HEADLINE if HEADLINE in metrics else metrics[0]
    return images, found, _most(first, second, images, headline)  # type: ignore[return-value]


def _common(first: Side, second: Side, images: Iterable[str]) -> list[str]:
    """Return the metrics that every image has on both sides, and that are numbers there."""
    tables = [side.scores[name] for side in (first, second) for name in images]
    names = [m for m in tables[0] if all(m in t and not math.isnan(t[m]) for t in tables)]
    if not names:
        raise DataError(f"{first.folder} and {second.folder} have no metric in common; benchmark them alike")
    return names


def _most(first: Side, second: Side, images: tuple[str, ...], metric: str) -> tuple[tuple[str, float], ...]:
    gains: Values = differences([second.scores[n][metric] for n in images], [first.scores[n][metric] for n in images])
    order = np.argsort(-np.abs(gains), kind="stable")[:MOST]
    return tuple((images[i], float(gains[i])) for i in order)


def text(comparison: Comparison) -> list[str]:
    """Return the comparison in lines."""
    lines = [f"{comparison.label}:"]
    for pair in comparison.pairs:
        first, second = pair.titles
        lines.append(f"{first} -> {second}, {len(pair.images)} images")
        if pair.left_out:
            lines.append(f"  {pair.left_out} images that only one of them has are left out")
        lines += ["  " + line for line in map(sentence, pair.differences)]
        lines.append("  differ most: " + ", ".join(f"{name} {value:+.2f}" for name, value in pair.most))
    return lines


def sentence(d: Difference) -> str:
    """Return one metric's difference in words."""
    digits = 2 if d.metric.startswith("psnr") else 4
    bounds = "" if math.isnan(d.gain.low) else f" [{d.gain.low:+.{digits}f}, {d.gain.high:+.{digits}f}]"
    equal = f", {d.gain.infinite} infinite" if d.gain.infinite and d.gain.count else ""
    first, second = (_mean(interval, f".{digits}f") for interval in (d.first, d.second))
    difference = _mean(d.gain, f"+.{digits}f")
    return f"{d.metric}: {first} -> {second}, difference {difference}{bounds}{equal}, p = {d.adjusted:.2g} (Holm)"


def _mean(interval: Interval, form: str) -> str:
    """Return a mean in words: where every value is infinite, there is none."""
    return "infinite" if math.isnan(interval.mean) and interval.infinite else format(interval.mean, form)


def write(comparison: Comparison, folder: Path) -> None:
    """Write ``comparison.json`` and the page ``index.html`` to `folder`. Raises `DataError` when it cannot."""
    from restorekit.benchmark.compare_page import page

    if (folder / RESULTS).exists():
        raise DataError(f"{folder} holds the results of a benchmark; choose another folder with -o")
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(comparison.values(), indent=1, allow_nan=False) + "\n"
        for name, whole in (("comparison.json", content), ("index.html", page(comparison))):
            write_text(folder / name, shown(whole))
