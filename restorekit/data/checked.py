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


def cache_folder() -> Path:
    """Return the folder for what can be computed again: ``$RESTOREKIT_CACHE``, else the platform's cache folder."""
    from platformdirs import user_cache_path

    return chosen_folder(ENVIRONMENT) or user_cache_path("restorekit", appauthor=False)


def checked(images: ImageSet) -> SetReport:
    """Return what `check_set` finds in a set, from the cache where it was checked before.

    A cache that cannot be read or written costs the time of the check, and nothing else.
    """
    mark = "\n".join((__version__, images.label, images.fingerprint, *images.names))
    key = hashlib.sha256(mark.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    path = cache_folder() / "checks" / f"{key}.json"
    report = _known(path)
    if report is None:
        report = check_set(images)
        _keep(path, report)
    return report


def _known(path: Path) -> SetReport | None:
    try:
        return read_file(path, SetReport, "it is made again") if path.is_file() else None
    except DataError:  # damaged: it is made anew and written over
        return None


def _keep(path: Path, report: SetReport) -> None:
    with contextlib.suppress(OSError):  # a cache on a full or closed disk: the next time checks again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(report)))


def in_words(report: SetReport) -> str:
    """Return the findings in one line."""
    if not report.paired:
        return f"Checked: {report.count} images, {_count(len(report.unreadable), 'unreadable')}."
    aligned = "all aligned" if not report.misaligned else f"{_names([s.name for s in report.misaligned])} look shifted"
    equal = f", {_names(report.identical)} equal on both sides" if report.identical else ""
    unread = f", {_count(len(report.unreadable), 'unreadable')}" if report.unreadable else ""
    return f"Checked: {report.count} pairs, {aligned}{equal}{unread}."


def _count(count: int, what: str) -> str:
    return f"{count or 'none'} {what}"


def _names(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
