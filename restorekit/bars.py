"""Progress bars on the terminal, set up in one way: bar, count, time taken and left, and what is worked on."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def bars(*, speed: bool = False, transient: bool = False, hidden: bool = False) -> Progress:
    """Return bars on standard error, to be entered; results on standard output stay clean.

    The description comes last, as names differ in length. `speed`: also the rate, for counts of steps. `transient`: the
    bars vanish at the end. `hidden`: nothing is shown, as on all processes but the first.
    """
    rate: list[ProgressColumn] = [TaskProgressColumn(show_speed=True)] if speed else []
    columns = (BarColumn(), MofNCompleteColumn(), *rate, TimeElapsedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    return Progress(*columns, text, console=Console(stderr=True), transient=transient, disable=hidden)
