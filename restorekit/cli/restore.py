"""``restorekit restore``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from restorekit.cli.chosen import chosen_restorer
from restorekit.cli.streams import check_target, check_use, is_stream, restore_stream
from restorekit.processes import process_of

if TYPE_CHECKING:
    from restorekit.data.images.fitting import Metadata
    from restorekit.restoring.folders import FileOptions, Report
    from restorekit.restoring.joblog import JobLog
    from restorekit.restoring.planning import Job, LeftOut
    from restorekit.restoring.restorer import BaseRestorer
    from restorekit.restoring.video.options import CodecName

    JobTick = Callable[[Job, int, int], None]
    FrameTick = Callable[[Job, int, int | None], None]


class _TileType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``auto`` or a number of pixels."""

    name = "auto|PIXELS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto" or isinstance(value, int):
            return value
        if not value.isdecimal():
            self.fail(f"{value!r} is not 'auto' or a whole number such as 512", param, ctx)
        return int(value)


@click.command("restore")
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Folder for the results; for a single input file also a file name, or - for standard output.",
)
@click.option(
    "--files-from",
    metavar="FILE",
    help="Restore the files that FILE lists, one path a line (-: standard input); they keep their folders in OUT.",
)
@click.option(
    "--log",
    "--log-file",
    "log",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Append a line of JSON for every file. Under torchrun, write --log-file.",
)
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    help="Model to use, or a FILE.onnx from `restorekit export`. Default: the installed one that is meant for it.",
)
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "torch", "onnx"]),
    help="What computes: PyTorch, or onnxruntime for exported files. auto: by the model.",
)
@click.option("--weights", metavar="W", help="Weights to use: a file or a run. Default: those of the model.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "bf16", "fp16"]))
@click.option(
    "--tile",
    default="auto",
    show_default=True,
    type=_TileType(),
    help="Pixels per side of the pieces that large images are cut into; 0 for none.",
)
@click.option("--flips", is_flag=True, help="Average with the result of the mirror image: better, twice the time.")
@click.option(
    "--strength",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="How much of the result is blended with the input: 0 is the input.",
)
@click.option(
    "--save-mask",
    is_flag=True,
    help="Also write where the model saw rain or drops: NAME-mask.png, of a clip NAME-mask.mp4.",
)
@click.option("--preview", is_flag=True, help="Also write a page of before and after, the most changed first.")
@click.option("--overwrite", is_flag=True, help="Restore again what is in OUT already.")
@click.option("--format", "format_", metavar="SUFFIX", help="png, jpg, webp, tiff or avif. Default: as the input.")
@click.option("--suffix", metavar="TEXT", default="", help="End the results' names with it: -clean gives a-clean.jpg.")
@click.option("--quality", type=click.IntRange(1, 100), help="Of JPEG, WebP and AVIF. Default: 95; lossless stays so.")
@click.option(
    "--metadata",
    default="keep",
    show_default=True,
    type=click.Choice(["keep", "none", "no-gps"]),
    help="EXIF, XMP, IPTC, comments, and clips' tags: keep them, without the place, or none. Colour profiles stay.",
)
@click.option("--to-srgb", is_flag=True, help="Convert pictures with another colour profile to sRGB first.")
@click.option("--note", is_flag=True, help="Write model, weights and version into the pictures' XMP.")
@click.option(
    "--budget-steps",
    type=click.IntRange(min=1),
    help="Steps per image: a model that adapts learns each, in place of its own weights. --weights come first.",
)
@click.option(
    "--budget-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds per image, likewise.",
)
@click.option(
    "--video-codec",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "h264", "hevc", "vp9", "av1", "ffv1"]),
    help="How clips are encoded. auto: as the input where possible, else h264; ffv1 is lossless, for .mkv.",
)
@click.option(
    "--video-crf",
    type=click.IntRange(0, 63),
    help="Quality of clips: 0 is the best, 51 (vp9, av1: 63) the smallest. Default: 18 to 24, by codec.",
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[Path, ...],
    out: Path,
    files_from: str | None,
    log: Path | None,
    save_mask: bool,
    preview: bool,
    overwrite: bool,
    format_: str | None,
    suffix: str,
    quality: int | None,
    metadata: Metadata,
    to_srgb: bool,
    note: bool,
    video_codec: CodecName,
    video_crf: int | None,
    **model: Any,
) -> None:
    """Restore photographs and clips: INPUT is any number of files and folders, or - for one image on standard input.

    Folders are searched with all their subfolders, and OUT keeps their tree. Inputs are never changed; what
    is in OUT already is skipped. The exit code is 1 if a file failed. Under torchrun or `accelerate launch` the
    processes share the files.
    """
    from restorekit.cli.afterwards import Afterwards
    from restorekit.restoring.folders import run_jobs
    from restorekit.restoring.joblog import JobLog
    from restorekit.restoring.lists import read_list, share
    from restorekit.restoring.planning import left_out, plan_jobs
    from restorekit.restoring.video import VideoOptions

    rank, count = process_of()
    check_use(inputs, out, files_from, count, masks=save_mask, sheet=preview)
    video, lines = VideoOptions(video_codec, video_crf, metadata, quality), JobLog(log) if log else None
    if is_stream(inputs, out):
        check_target(out, overwrite)
        restorer = _loaded(model, lines)
        options = _file_options(restorer, quality, metadata, to_srgb, note)
        restore_stream(inputs[0], out, restorer, format_, options, lines)
        return
    listed = read_list(files_from) if files_from else []
    jobs = share(plan_jobs(inputs, out, overwrite=overwrite, format=format_, suffix=suffix, listed=listed), rank, count)
    _tell_left_out(left_out(inputs, out))
    more = Afterwards(jobs, out, save_mask, preview, video)
    if more.complete:
        if lines:
            lines.add_skipped(jobs)
        click.echo(f"0 restored, {len(jobs)} skipped, 0 failed: all are in {out} (--overwrite restores again)")
        more.write_sheet()
        return
    restorer = _loaded(model, lines)
    more.check_model(restorer)
    options = _file_options(restorer, quality, metadata, to_srgb, note)

    def work(tick: JobTick, frames: FrameTick) -> Report:
        return run_jobs(jobs, restorer, tick, video=video, frames=frames, files=options, log=lines)

    report = _with_bar(jobs, rank, work)
    report.failed += more.write_masks()
    _tell(report, f"process {rank} of {count}: " if count > 1 else "")
    more.write_sheet()
    if not report.ok:
        ctx.exit(1)


def _loaded(model: dict[str, Any], log: JobLog | None) -> BaseRestorer:
    """Load the model, and say which it is."""
    restorer = chosen_restorer(**model)
    click.echo(f"model {restorer.info.model} on {restorer.where}", err=True)
    if log:
        log.model = restorer.info.model
    return restorer


def _file_options(
    restorer: BaseRestorer, quality: int | None, metadata: Metadata, to_srgb: bool, note: bool
) -> FileOptions:
    from restorekit.data.images import WriteOptions
    from restorekit.restoring.folders import FileOptions
    from restorekit.version import __version__

    info = restorer.info
    said = {"Model": info.model, "Weights": info.weights, "Version": f"restorekit {__version__}"} if note else {}
    return FileOptions(writing=WriteOptions(quality=quality, metadata=metadata, note=said), to_srgb=to_srgb)


def _tell_left_out(others: LeftOut) -> None:
    """Say what lies in the folders and is not restored, and what is missing when clips are among it."""
    from restorekit.restoring.video.names import INSTALL, is_clip_name

    for link in others.loops:
        click.echo(f"Note: {link}: not entered, it leads back to a folder above it", err=True)
    if others.files:
        count = len(others.files)
        said = "1 file is left out, as it" if count == 1 else f"{count} files are left out, as they"
        click.echo(f"Note: {said} cannot be read: {others.counted()}", err=True)
    if any(is_clip_name(path) for path in others.files):
        click.echo(f"Note: clips need PyAV; {INSTALL}", err=True)


def _with_bar(jobs: list[Job], rank: int, work: Callable[[JobTick, FrameTick], Report]) -> Report:
    """Run `work` under a progress bar on stderr, with a second one for a clip's frames; only process 0 shows them."""
    from restorekit.bars import bars

    with bars(hidden=rank > 0) as bar:
        files = bar.add_task("", total=len(jobs), completed=sum(job.done for job in jobs))
        clip = bar.add_task("", visible=False)

        def on_file(job: Job, done: int, _: int) -> None:
            bar.update(files, completed=done, description=job.source.name)
            bar.reset(clip, visible=False)

        def on_frame(job: Job, done: int, total: int | None) -> None:
            bar.update(clip, completed=done, total=total, description=f"frames of {job.source.name}", visible=True)

        return work(on_file, on_frame)


def _tell(report: Report, who: str) -> None:
    for path, note in report.notes:
        click.echo(f"Note: {path}: {note}", err=True)
    for _, message in report.failed:
        click.echo(f"Failed: {message}", err=True)
    if report.stopped:
        click.echo(f"Stopped: {report.stopped}", err=True)
    click.echo(f"{who}{report.summary()}")
