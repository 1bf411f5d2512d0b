"""Restoring one clip or animation: the one function that the command line and the page call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from restorekit.data.images.frames import ANIMATIONS, is_animation
from restorekit.errors import DataError
from restorekit.files import make_folder
from restorekit.restoring.video.names import CONTAINERS, is_clip_name, partial_of, require_av
from restorekit.restoring.video.options import VideoOptions

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

VideoProgress = Callable[[int, int | None], None]
"""Called after each frame with how many are finished and how many there are (None where the clip does not say)."""


@dataclass(frozen=True)
class VideoReport:
    """What became of the clip `source`.

    `target`: the file that was written, None when it was cancelled. `frames`: how many it has; `resumed`: how many
    of them an earlier, interrupted call had restored. `notes`: what could not be kept. `broken`: one sentence when the
    clip could only be read in part, which is then in `target`; else an empty string.
    """

    source: Path
    target: Path | None
    frames: int
    resumed: int = 0
    notes: tuple[str, ...] = ()
    broken: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped before the end; calling again goes on there."""
        return self.target is None


def restore_video(
    source: str | Path,
    target: str | Path,
    restorer: BaseRestorer,
    *,
    options: VideoOptions | None = None,
    overwrite: bool = False,
    progress: VideoProgress | None = None,
    cancel: Event | None = None,
) -> VideoReport:
    """Restore a clip, or an animated GIF, WebP or PNG, frame by frame into the file `target`.

    Times of the frames, rotation, colour and its range, tags and chapters are kept; sound and subtitles are copied
    packet by packet. Decoding, computing and encoding overlap, and the memory does not grow with the length of a clip.
    `cancel`: when it is set, the call returns after the frame in work. A clip that was cancelled or interrupted goes
    on, when it is called for again, where it stopped: finished pieces lie in a hidden folder beside `target` until it
    is complete. An animation starts anew.

    A clip that breaks off is restored up to there, into ``NAME.partial.SUFFIX``; the report says so. Raises `DataError`
    when nothing of it can be read, `target` exists and `overwrite` is not given, its suffix is not that of a clip, it
    cannot hold the sound, or PyAV is missing.
    """
    source, target = Path(source), Path(target)
    if not source.is_file():
        raise DataError(f"{source}: there is no such file; check the path")
    if target.exists() and not overwrite:
        raise DataError(f"{target}: it is there already; remove it, choose another name, or ask to overwrite it")
    if target.exists() and target.samefile(source):
        raise DataError(f"{target}: an input would be overwritten; choose another output folder with -o")
    earlier = partial_of(target)
    if earlier.exists() and not overwrite and earlier.stat().st_mtime > source.stat().st_mtime:
        raise DataError(
            f"{source}: it breaks off; {earlier} has what can be read of it already (--overwrite tries again)"
        )
    make_folder(target.parent)
    if is_animation(source):
        from restorekit.restoring.video.animation import restore_animation

        return restore_animation(source, target, restorer, options or VideoOptions(), progress, cancel)
    if not is_clip_name(source):
        raise DataError(
            f"{source}: it is neither a clip ({', '.join(CONTAINERS)} and others) nor an animated picture"
            f" ({', '.join(ANIMATIONS)})"
        )
    require_av(source)
    from restorekit.restoring.video.running import restore_clip

    return restore_clip(source, target, restorer, options or VideoOptions(), progress, cancel)
