"""A sheet to look through quickly: before and after of a folder's pictures, the most changed first."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from PIL import Image

from restorekit.data.images import Picture, read_picture
from restorekit.errors import DataError, ImageError
from restorekit.files import explained, write_text
from restorekit.pages import render

if TYPE_CHECKING:
    from restorekit.restoring.planning import Job

NAME = "preview.html"
_OURS = b'content="restorekit"'
MOST = 200  # pictures on a sheet: about 30 MB
_SIDE = 720  # pixels of the longer side
_QUALITY = 82


@dataclass(frozen=True)
class _Pair:
    """One picture: its JPEGs before and after, their size, and the mean change of a channel in 8-bit levels."""

    job: Job
    before: bytes
    after: bytes
    size: tuple[int, int]
    change: float


def sheet_path(jobs: Sequence[Job], out: Path) -> Path:
    """Return where the sheet of the results of `jobs` is written: into `out`, or beside it where it is one file.

    Raises `DataError` when a file of that name is there that is no such sheet.
    """
    path = (out.parent if any(job.target == out for job in jobs) else out) / NAME
    if path.exists() and _OURS not in path.read_bytes()[:1000]:
        raise DataError(f"{path}: it is no sheet of restorekit and would be lost; rename it, or leave --preview out")
    return path


def write_sheet(jobs: Sequence[Job], path: Path, progress: Callable[[int], None] | None = None) -> int:
    """Write one self-contained page about the jobs whose results are there; return how many pictures it shows.

    The results are compared with their sources as they lie on the disk, so that what an earlier run restored is on it
    too. At most `MOST` are shown, the most changed; the page says how many are not. Clips and animations are left out,
    and so is what cannot be read any more. Raises `ImageError` when the page cannot be written.
    """
    pairs: list[_Pair] = []
    compared = 0
    for index, job in enumerate(jobs, start=1):
        pair = _compared(job)
        if pair:
            compared += 1
            pairs = sorted([*pairs, pair], key=lambda p: -p.change)[:MOST]
        if progress:
            progress(index)
    text = _page(pairs, compared, path.parent)

    with explained(path):
        write_text(path, text)
    return len(pairs)


def _compared(job: Job) -> _Pair | None:
    if job.clip or not job.target.is_file():
        return None
    try:
        before, after = (_small(read_picture(path)) for path in (job.source, job.target))
    except ImageError:  # told when it was restored
        return None
    if before.size != after.size:
        return None
    change = np.abs(np.asarray(before, np.int16) - np.asarray(after, np.int16)).mean()
    return _Pair(job, _jpeg(before), _jpeg(after), before.size, float(change))


def _small(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture.to_8_bit().pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return image


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _page(pairs: Sequence[_Pair], compared: int, folder: Path) -> str:
    summary = f"{compared} picture{'' if compared == 1 else 's'}."
    if compared > len(pairs):
        summary = f"{compared} pictures, of which the {len(pairs)} most changed are shown."
    figures = [_figure(pair, folder) for pair in pairs]
    title = "Restored pictures: before and after"
    return render("restorekit.restoring", "preview.html", title=title, summary=summary, figures=figures)


def _figure(pair: _Pair, folder: Path) -> dict[str, str | int | float]:
    """Return what the template shows of one picture; the address leads to the result."""
    target = pair.job.target
    inner = target.relative_to(folder) if target.is_relative_to(folder) else target
    return {
        "name": str(inner),
        "address": quote(os.fsencode(inner.as_posix())),
        "width": pair.size[0],
        "height": pair.size[1],
        "before": base64.b64encode(pair.before).decode(),
        "after": base64.b64encode(pair.after).decode(),
        "change": pair.change,
    }
