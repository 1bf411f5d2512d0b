"""One image on standard input or output: ``restorekit restore - -o -``."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from restorekit.errors import DataError, RestorekitError
from restorekit.leftovers import temporary

if TYPE_CHECKING:
    from restorekit.restoring.folders import FileOptions
    from restorekit.restoring.joblog import JobLog
    from restorekit.restoring.restorer import BaseRestorer

STANDARD = "-"


def check_use(
    inputs: tuple[Path, ...], out: Path, files_from: str | None, processes: int, *, masks: bool, sheet: bool
) -> None:
    """Raise `RestorekitError` for inputs and options that do not go together."""
    if not inputs and not files_from:
        raise click.UsageError("name files or folders to restore, - for one image on standard input, or --files-from")
    if is_stream(inputs, out) and (files_from or masks or sheet or processes > 1):
        raise DataError(
            "one image on standard input or output goes without --files-from, --save-mask, --preview and torchrun"
        )
    if processes > 1 and files_from == STANDARD:
        raise DataError("several processes cannot share standard input; give --files-from the name of a file")
    if processes > 1 and sheet:
        raise DataError(
            f"each of the {processes} processes knows a part of the files; leave --preview out, and give the same"
            " command with it to one process afterwards: what is restored is skipped"
        )


def is_stream(inputs: tuple[Path, ...], out: Path) -> bool:
    """Tell whether standard input or output is meant. Raises `DataError` for other files with it, and for clips."""
    from restorekit.restoring.planning import is_clip

    streams = [path for path in inputs if str(path) == STANDARD]
    if (streams or str(out) == STANDARD) and len(inputs) != 1:
        raise DataError("standard input and output (-) take one image; give nothing else with it")
    if not streams and str(out) != STANDARD:
        return False
    for path in (*inputs, out):
        if is_clip(path):
            raise DataError(
                f"{path}: clips and animations do not go through standard input and output; name the clip, and a file"
                " or folder for its result"
            )
    return True


def check_target(out: Path, overwrite: bool) -> None:
    """Raise `DataError` when the one image would replace a file, unless `overwrite`."""
    if str(out) != STANDARD and out.exists() and not overwrite:
        raise DataError(f"{out} exists; choose another name, or --overwrite")


def restore_stream(
    source: Path, out: Path, restorer: BaseRestorer, format: str | None, files: FileOptions, log: JobLog | None
) -> None:
    """Restore one image from standard input, or to standard output, where `source` or `out` is ``-``.

    On standard output the result has the format of the input, or `format`; a file's name says its own. Raises what
    reading, restoring and writing raise.
    """
    started = time.perf_counter()
    with temporary("stream") as folder:
        given = _received(folder) if str(source) == STANDARD else source
        try:
            _restore(given, out, folder, restorer, format, files)
        except RestorekitError as error:
            message = str(error).replace(str(given), "standard input") if given != source else str(error)
            if log:
                log.add(source, out, "failed", time.perf_counter() - started, message)
            raise type(error)(message) from error
    if log:
        log.add(source, out, "restored", time.perf_counter() - started, "")


def _restore(
    given: Path, out: Path, folder: Path, restorer: BaseRestorer, format: str | None, files: FileOptions
) -> None:
    from restorekit.data.images import SUFFIXES, read_picture, to_srgb, write_picture

    picture = to_srgb(read_picture(given)) if files.to_srgb else read_picture(given)
    own = next((suffix for suffix, kind in SUFFIXES.items() if kind == picture.format), ".png")
    ending = f".{format.lower().lstrip('.')}" if format else own
    target = out if str(out) != STANDARD else folder / f"result{ending}"
    lost = write_picture(target, restorer.restore_picture(picture), files.writing)
    for note in (*picture.notes, *lost):
        click.echo(f"Note: {note}", err=True)
    if target != out:
        with target.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _received(folder: Path) -> Path:
    """Save standard input as a file: decoders want to go back and forth."""
    if sys.stdin.isatty():
        raise DataError("standard input is the keyboard; hand an image over, such as `... - -o - < photo.jpg`")
    path = folder / "standard-input"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if not path.stat().st_size:
        raise DataError("standard input is empty; hand an image over, such as `... - -o - < photo.jpg`")
    return path
