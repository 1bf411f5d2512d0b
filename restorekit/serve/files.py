"""From an uploaded file to its result and to what the page shows of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from restorekit.data.images import Picture, read_picture, write_picture
from restorekit.data.images.formats import result_name
from restorekit.data.images.writing import losses
from restorekit.errors import ImageError, RestorekitError
from restorekit.restoring.video import clip_target, is_animation, is_clip_name, restore_video
from restorekit.serve.meter import Meter
from restorekit.serve.pace import Pace
from restorekit.serve.previews import THUMBNAIL, write_preview
from restorekit.serve.stopping import CancelledError
from restorekit.serve.store import ANIMATION, CLIP, IMAGE, Item

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

_ROWS = 256


def restore_item(item: Item, restorer: BaseRestorer, meter: Meter, pace: Pace) -> None:
    """Restore an item's file beside it, as `restorekit restore` would, and note in the item what came of it."""
    if is_clip_name(item.source) or is_animation(item.source):
        _restore_video(item, restorer, meter)
    else:
        _restore_picture(item, restorer, meter, pace)
    item.round += 1


def _restore_picture(item: Item, restorer: BaseRestorer, meter: Meter, pace: Pace) -> None:
    picture = read_picture(item.source)
    megapixels = picture.width * picture.height / 1e6
    meter.expect(pace.expected(item.model, megapixels))
    write_preview(picture, item.preview("before"))
    restored = restorer.restore_picture(picture)
    target = _target(item, result_name(item.name).name)
    write_picture(target, restored)
    write_preview(restored, item.preview("after"))
    write_preview(restored, item.preview("thumb"), THUMBNAIL)
    pace.learn(item.model, megapixels, meter.elapsed)
    item.kind, item.result, item.size = IMAGE, target, (picture.width, picture.height)
    item.notes = (*picture.notes, *losses(target, picture))


def _restore_video(item: Item, restorer: BaseRestorer, meter: Meter) -> None:
    kind = CLIP if is_clip_name(item.source) else ANIMATION
    target = _target(item, clip_target(item.name).name)
    report = restore_video(item.source, target, restorer, overwrite=True, progress=meter.frame, cancel=item.stop)
    if report.target is None:
        raise CancelledError
    item.kind, item.result = kind, report.target
    item.notes = (*report.notes, report.broken) if report.broken else report.notes


def _target(item: Item, name: str) -> Path:
    target = item.folder / "result" / name
    target.parent.mkdir(exist_ok=True)
    return target


def told(error: BaseException, item: Item) -> str:
    """Return an error as a visitor may read it: with the file's name in place of a path of this machine."""
    if isinstance(error, RestorekitError):
        return str(error).replace(str(item.source), item.name).replace(f"{item.folder}/", "")
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{item.name}: the machine that restores could not keep it ({reason}); tell whoever runs it"
    return f"{item.name}: the model failed ({type(error).__name__}: {error})"


def blended(source: Picture, restored: Picture, strength: float) -> Picture:
    """Return `restored` blended with `source`: 0 is the source, 1 the restored picture.

    A few rows at a time, so that a large picture needs no further memory.
    """
    if strength == 1:
        return restored
    mixed = np.empty_like(restored.pixels)
    top, scale = np.iinfo(mixed.dtype).max, np.float32(np.iinfo(source.pixels.dtype).max)
    for start in range(0, len(mixed), _ROWS):
        rows = slice(start, start + _ROWS)
        before, after = source.pixels[rows] / scale, restored.pixels[rows] / np.float32(top)
        mixed[rows] = (before + strength * (after - before)) * top + 0.5
    return replace(restored, pixels=mixed)


def write_blended(item: Item, target: Path) -> Path:
    """Write an item's result at its strength into `target`; return where it is, the result itself at full strength.

    Raises `ImageError` where only full strength can be had.
    """
    assert item.result is not None
    if item.strength == 1:
        return item.result
    if item.kind != IMAGE:
        raise ImageError(f"{item.name}: only photographs can be blended with their input; give strength 1")
    if not target.is_file():
        target.parent.mkdir(exist_ok=True)
        write_picture(target, blended(read_picture(item.source), read_picture(item.result), item.strength))
    return target
