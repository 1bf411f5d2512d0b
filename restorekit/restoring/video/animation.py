"""Animated GIF, WebP and PNG: every frame restored, times and loops kept."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from restorekit.data.images import exif, xmp
from restorekit.data.images.formats import MAX_PIXELS_VARIABLE, max_pixels
from restorekit.data.images.frames import ANIMATIONS, open_frames
from restorekit.data.images.writing import atomic_write
from restorekit.errors import DataError
from restorekit.restoring.video.clip import VideoProgress, VideoReport
from restorekit.restoring.video.names import partial_of
from restorekit.restoring.video.options import VideoOptions

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

# Frames are whole pictures here: a WebP as good as a restored photograph's, a PNG that draws each over the last.
_SETTINGS: dict[str, dict[str, object]] = {
    "GIF": {"disposal": 2, "optimize": False},
    "WEBP": {"quality": 95},
    "PNG": {"disposal": 0, "blend": 0},
}
_KEPT = {
    "GIF": ("loop", "comment"),
    "WEBP": ("loop", "background", "exif", "icc_profile", "xmp"),
    "PNG": ("loop", "exif", "icc_profile", "dpi"),
}


def restore_animation(
    source: Path,
    target: Path,
    restorer: BaseRestorer,
    options: VideoOptions,
    progress: VideoProgress | None,
    cancel: Event | None,
) -> VideoReport:
    """Restore an animated picture: see `restore_video`."""
    kind = ANIMATIONS[source.suffix.lower()]
    if ANIMATIONS.get(target.suffix.lower()) != kind:
        raise DataError(f"{target}: an animation keeps its format; give a name that ends in {source.suffix}")
    frames: list[Image.Image] = []
    times: list[float] = []
    broken = ""
    with open_frames(source) as image:
        total = _count(source, image)
        for number in range(total):
            if cancel is not None and cancel.is_set():
                return VideoReport(source, None, 0)
            try:
                frames.append(restorer.restore(_frame(image, number)))
            except (OSError, EOFError, SyntaxError) as error:
                if not frames:
                    raise DataError(f"{source}: no frame of it can be read ({error}); fetch it again") from error
                target = partial_of(target)
                broken = f"{source}: it breaks off after {number} of {total} frames ({error}); they are in {target}"
                break
            times.append(image.info.get("duration", 0))
            if progress:
                progress(len(frames), total)
        kept = _kept(image, kind, options)
    _write(target, kind, frames, times, _SETTINGS[kind] | kept)
    return VideoReport(source, target, len(frames), broken=broken)


def _count(source: Path, image: Image.Image) -> int:
    """Return the number of frames. Raises `DataError` when all of them would not fit into the memory."""
    total: int = getattr(image, "n_frames", 1)
    if image.width * image.height * total > max_pixels():
        raise DataError(
            f"{source}: its {total} frames of {image.width}x{image.height} are more than the allowed {max_pixels()}"
            f" pixels; convert it into a clip, such as .mp4, or raise {MAX_PIXELS_VARIABLE}"
        )
    return total


def _frame(image: Image.Image, number: int) -> Image.Image:
    """Return frame `number` as it is shown, RGB or RGBA."""
    image.seek(number)
    frame = image.convert("RGBA" if image.has_transparency_data else "RGB")
    frame.info.clear()
    return frame


def _kept(image: Image.Image, kind: str, options: VideoOptions) -> dict[str, object]:
    """Return what is written beside the frames: loops, metadata as far as they are wanted, quality."""
    kept = {key: image.info[key] for key in _KEPT[kind] if image.info.get(key) is not None}
    if kind == "WEBP" and options.quality:
        kept["quality"] = options.quality
    if options.metadata == "none":
        return {key: value for key, value in kept.items() if key not in ("exif", "xmp", "comment")}
    if options.metadata == "no-gps":
        if "exif" in kept:
            kept["exif"] = exif.without_gps(kept["exif"])
        if "xmp" in kept:
            kept["xmp"] = xmp.without_gps(kept["xmp"]) or b""
    return kept


def _write(target: Path, kind: str, frames: list[Image.Image], times: list[float], settings: dict[str, object]) -> None:
    def save(file: BinaryIO) -> None:
        frames[0].save(file, format=kind, save_all=True, append_images=frames[1:], duration=times, **settings)

    atomic_write(target, save)
