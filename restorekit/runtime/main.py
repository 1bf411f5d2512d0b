"""The program ``restorekit-runtime``: restore pictures with an exported model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from restorekit.errors import RestorekitError
from restorekit.notices import on_terminal, say
from restorekit.restoring.folders import Job, Report, plan_jobs, run_jobs
from restorekit.runtime.restorer import OnnxRestorer
from restorekit.termination import hear_termination
from restorekit.version import __version__

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code: 0, or 1 when a file failed or nothing could be done, 130 after Ctrl-C."""
    if arguments is None:  # it is the program, and not called by another
        hear_termination()
    given = _parser().parse_args(arguments)
    with on_terminal():
        return _restore(given)


def _restore(given: argparse.Namespace) -> int:
    try:
        jobs = plan_jobs(given.inputs, given.output, overwrite=given.overwrite, format=given.format)
        restorer = OnnxRestorer(
            given.model, device=given.device, tile=given.tile, flips=given.flips, threads=given.threads
        )
        # it has what pictures need; only pictures are planned without PyTorch
        report = run_jobs(jobs, cast("BaseRestorer", restorer), _tell_file)
    except (RestorekitError, OSError, MemoryError) as error:
        say(f"Error: {str(error) or 'memory ran out; close other programs'}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    _tell(report)
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="restorekit-runtime",
        description="Restore photographs with a model that `restorekit export` wrote. Folders are searched with all"
        " their subfolders, and OUT keeps their tree; what is in OUT already is skipped.",
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="image files and folders")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder, or a file name for one input")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=0, help="0: what onnxruntime chooses")
    parser.add_argument("--tile", type=_tile, default="auto", metavar="auto|PIXELS", help="pieces of large images")
    parser.add_argument("--flips", action="store_true", help="average with the result of the mirror image")
    parser.add_argument("--overwrite", action="store_true", help="restore again what is in OUT already")
    parser.add_argument("--format", metavar="SUFFIX", help="png, jpg, webp or tiff; default: as the input")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _tile(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _tell_file(job: Job, done: int, count: int) -> None:
    say(f"{done}/{count} {job.source}")


def _tell(report: Report) -> None:
    for path, note in report.notes:
        say(f"Note: {path}: {note}")
    for _, message in report.failed:
        say(f"Failed: {message}")
    if report.stopped:
        say(f"Stopped: {report.stopped}")
    sys.stdout.write(f"{report.summary()}\n")
