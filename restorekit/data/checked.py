"""Checks of whole sets that run by themselves: made once for each set, and kept by its fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from restorekit.data.checks import SetReport, check_set
from restorekit.data.imageset import ImageSet
from restorekit.errors import DataError
from restorekit.files import write_text
from restorekit.jsonfile import read_file
from restorekit.paths import chosen_folder
from restorekit.version import __version__

ENVIRONMENT = "RESTOREKIT_CACHE"
# What is looked through before something else begins: half a minute of one core, at least a few.
_MOST, _FEWEST, _PIXELS = 500, 20, 125e6


def cache_folder() -> Path:
    """Return the folder for what can be computed again: ``$RESTOREKIT_CACHE``, else the platform's cache folder."""
    from platformdirs import user_cache_path

    return chosen_folder(ENVIRONMENT) or user_cache_path("restorekit", appauthor=False)


def checked(images: ImageSet) -> SetReport:
    """Return what `check_set` finds in a set, from the cache where it was checked before.

    A cache that cannot be read or written costs the time of the check, and nothing else.
    """
    report = _known(_place(images))
    return keep(images, check_set(images)) if report is None else report


def keep(images: ImageSet, report: SetReport) -> SetReport:
    """Keep what `check_set` found in a set, and return it."""
    _write(_place(images), report)
    return report


def _place(images: ImageSet) -> Path:
    mark = "\n".join((__version__, images.label, images.fingerprint, *images.names))
    key = hashlib.sha256(mark.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return cache_folder() / "checks" / f"{key}.json"


def _known(path: Path) -> SetReport | None:
    try:
        return read_file(path, SetReport, "it is made again") if path.is_file() else None
    except DataError:  # damaged: it is made anew and written over
        return None


def _write(path: Path, report: SetReport) -> None:
    with contextlib.suppress(OSError):  # a cache on a full or closed disk: the next time checks again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(report)))


def glimpse(images: ImageSet) -> ImageSet:
    """Return the set, or of a large one evenly spread samples: as many as are looked through in half a minute."""
    try:
        height, width = images.read(0).degraded.shape[:2] if len(images) else (1, 1)
    except DataError:  # whoever looks through the set reports it
        height = width = 1
    most = max(_FEWEST, min(_MOST, int(_PIXELS / (height * width))))
    if len(images) <= most:
        return images
    return images.subset(place * len(images) // most for place in range(most))


def in_words(report: SetReport, of: int = 0) -> str:
    """Return the findings in one line; `of`: how many there are in all, where only some were looked through."""
    return f"Checked: {findings(report, of)}."


def findings(report: SetReport, of: int = 0) -> str:
    """Return what `in_words` says, to be gone on with."""
    count = f"{report.count} of {of}" if of > report.count else str(report.count)
    if not report.paired:
        return f"{count} images, {_count(len(report.unreadable), 'unreadable')}"
    aligned = "all aligned" if not report.misaligned else f"{_names([s.name for s in report.misaligned])} look shifted"
    equal = f", {_names(report.identical)} equal on both sides" if report.identical else ""
    unread = f", {_count(len(report.unreadable), 'unreadable')}" if report.unreadable else ""
    return f"{count} pairs, {aligned}{equal}{unread}"


def _count(count: int, what: str) -> str:
    return f"{count or 'none'} {what}"


def _names(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
