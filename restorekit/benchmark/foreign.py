"""Scoring images that any other program made, under the same protocols and in the same table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.benchmark.extra_metrics import ExtraMetric, measure, try_out
from restorekit.benchmark.matching import match
from restorekit.benchmark.progress import Progress, Silent
from restorekit.benchmark.records import ImageRecord, ModelFacts, Row, as_values
from restorekit.benchmark.report import Report
from restorekit.benchmark.runner import DEGRADED
from restorekit.benchmark.samples import Samples, read_pixels
from restorekit.benchmark.scoring import score_pixels
from restorekit.benchmark.store import RESULTS
from restorekit.data.checked import checked, in_words
from restorekit.data.sets import resolve
from restorekit.errors import DataError, ImageError
from restorekit.files import explained, write_text


def score(
    outputs: str | Path,
    dataset: str | Path,
    out: str | Path | None = None,
    *,
    name: str | None = None,
    metrics: Sequence[ExtraMetric] = (),
    progress: Progress | None = None,
) -> Report:
    """Score the images in the folder `outputs` against `dataset`, beside the degraded input.

    Only images that have a file are scored, the degraded input on the same ones; the label then says how
    many (``rain100l@test(19/50)``). `name`: the row's title, the folder's name unless given. `metrics`: what to
    measure beside PSNR and SSIM, from `chosen_metrics`. With `out`, per-image results, tables, pictures and the page
    are written there.
    Raises `DataError` (unpaired set, no file matches) or `ImageError` (unreadable file, size that differs).
    """
    folder = Path(outputs).expanduser()
    if out is not None:
        _spare_benchmark(Path(out) / RESULTS)
    image_set = resolve(dataset)
    image_set.require_paired()
    files = match(folder, [str(n) for n in image_set.names])
    samples = Samples(image_set, [i for i, n in enumerate(image_set.names) if n in files])
    title = name or folder.resolve().name
    if title == DEGRADED:
        raise DataError(f"--name {DEGRADED!r} is the name of the first row; choose another")
    try_out(metrics, samples)
    rows = _rows(samples, files, title, progress or Silent())

    def picture(model: str, image: str) -> NDArray[np.uint8] | None:
        return read_pixels(files[image]) if model == title else None

    measure(metrics, rows, samples, picture, progress or Silent())
    report = Report.of(samples, rows, picture, metrics=metrics, conditions=[in_words(checked(samples.as_set()))])
    if out is not None:
        report.write(Path(out))
        _write_lines(Path(out) / RESULTS, samples, rows)
    return report


def _spare_benchmark(results: Path) -> None:
    """Raise `DataError` when the results are those of a benchmark, whose restored images they stand for."""
    if results.exists() and '"key":' in results.read_text(encoding="utf-8", errors="replace"):
        raise DataError(f"{results.parent} holds the results of a benchmark; choose another folder with -o")


def _rows(samples: Samples, files: dict[str, Path], title: str, progress: Progress) -> list[Row]:
    degraded = Row(ModelFacts(DEGRADED, task=samples.task), "input")
    scored = Row(ModelFacts(title, weights=f"images of another program ({files[samples.names[0]].parent})"), "done")
    progress.start(title, len(samples))
    for sample in samples:
        path = files[sample.name]
        pixels = read_pixels(path)
        height, width = sample.degraded.shape[:2]
        if pixels.shape[:2] != (height, width):
            raise ImageError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]} and image {sample.name!r} of"
                f" {samples.base_label} is {width}x{height}; outputs must have the size of their input:"
                " restore without resizing or cropping"
            )
        for row, image in ((degraded, sample.degraded), (scored, pixels)):
            scores = score_pixels(image, sample)
            row.images.append(ImageRecord(row.facts.model, sample.name, height, width, scores))
        progress.advance()
    progress.finish("done", "")
    return [degraded, scored]


def _write_lines(path: Path, samples: Samples, rows: list[Row]) -> None:
    shared = {"type": "image", "dataset": samples.label, "fingerprint": samples.fingerprint}
    lines = [json.dumps({**shared, **as_values(record)}) for row in rows for record in row.images]
    with explained(path):
        write_text(path, "\n".join(lines) + "\n")
