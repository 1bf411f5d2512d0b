"""Which files are clips, what they become, and whether this installation can read them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from restorekit.errors import DataError, closest

CONTAINERS: dict[str, str] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
}
"""Suffixes of clips that are read and written, with FFmpeg's name of the container."""

ONLY_READ = frozenset([".3gp", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ts", ".wmv"])
"""Suffixes of clips that are read; their results are Matroska files, which hold any kind of sound."""

INSTALL = "pip install 'restorekit[video]'"


def is_clip_name(path: str | Path) -> bool:
    """Tell whether the file name ends like a video clip."""
    suffix = Path(path).suffix.lower()
    return suffix in CONTAINERS or suffix in ONLY_READ


def clip_target(name: str | Path) -> Path:
    """Return the name of a clip's result: its own, or that of a Matroska file where its kind is not written."""
    name = Path(name)
    return name.with_suffix(".mkv") if name.suffix.lower() in ONLY_READ else name


def partial_of(target: Path) -> Path:
    """Return the name under which the readable part of a broken clip is kept, so that nobody takes it for all."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def container_of(path: str | Path) -> str:
    """Return FFmpeg's name of the container that a result's suffix stands for, such as ``matroska``.

    Raises `DataError` for a suffix that is not written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in CONTAINERS:
        raise DataError(
            f"{path}: a clip cannot be written as {suffix or 'a file without a suffix'}; use one of"
            f" {', '.join(CONTAINERS)}.{closest(suffix, CONTAINERS)}"
        )
    return CONTAINERS[suffix]


def can_read_clips() -> bool:
    """Tell whether PyAV, which reads and writes clips, is installed."""
    return find_spec("av") is not None


def require_av(path: str | Path) -> None:
    """Raise `DataError` when PyAV is not installed."""
    if not can_read_clips():
        raise DataError(f"{path}: clips need PyAV, which is not installed; {INSTALL}")
