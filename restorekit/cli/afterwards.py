"""What `restorekit restore` makes of its results: the model's masks, and a sheet to look through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from restorekit.restoring.masks import check_masks, mask_restorer, missing_masks, save_masks
from restorekit.restoring.preview import sheet_path, write_sheet

if TYPE_CHECKING:
    from restorekit.restoring.planning import Job
    from restorekit.restoring.restorer import BaseRestorer
    from restorekit.restoring.video import VideoOptions


class Afterwards:
    """The masks and the sheet of `jobs`, where they are asked for.

    Raises `DataError` where one would overwrite something, before anything is computed.
    """

    def __init__(self, jobs: Sequence[Job], out: Path, masks: bool, sheet: bool, video: VideoOptions) -> None:
        self._jobs = jobs
        self._video = video
        self._masks = masks
        self._sheet = sheet_path(jobs, out) if sheet else None
        self._restorer: BaseRestorer | None = None
        if masks:
            check_masks(jobs)
        if sheet and any(job.clip for job in jobs):
            click.echo("Note: clips and animations are not on the page of before and after", err=True)

    @property
    def complete(self) -> bool:
        """Whether there is nothing to compute."""
        return all(job.done for job in self._jobs) and not (self._masks and missing_masks(self._jobs))

    def check_model(self, restorer: BaseRestorer) -> None:
        """Raise `RestorekitError` when masks are asked for and the model gives none."""
        self._restorer = mask_restorer(restorer) if self._masks else None

    def write_masks(self) -> list[tuple[Path, str]]:
        """Write what masks there are to write; return (file, message) of those that failed."""
        if self._restorer is None:
            return []
        jobs = missing_masks(self._jobs)
        with _bar("masks", len(jobs)) as tick:
            return save_masks(jobs, self._restorer, tick, self._video)

    def write_sheet(self) -> None:
        """Write the sheet and say where it is."""
        if self._sheet is None:
            return
        with _bar("preview", len(self._jobs)) as tick:
            shown = write_sheet(self._jobs, self._sheet, tick)
        click.echo(f"before and after of {shown} pictures: {self._sheet}")


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[float], None]]:
    from restorekit.bars import bars

    with bars(transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
