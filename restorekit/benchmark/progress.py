"""What a benchmark tells while it runs."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told which model runs, each image done, and how the model ended."""

    def start(self, model: str, images: int) -> None:
        """Is told that `model` runs over so many images."""

    def advance(self) -> None:
        """Is told that one image is done."""

    def finish(self, state: str, note: str) -> None:
        """Is told how the model ended, in a word, and why."""


class Silent:
    """Tells nothing."""

    def start(self, model: str, images: int) -> None:
        """Ignore that a model starts."""

    def advance(self) -> None:
        """Ignore an image."""

    def finish(self, state: str, note: str) -> None:
        """Ignore the end."""


class Bar:
    """A progress bar on standard error, one line for each model; a context manager."""

    def __init__(self) -> None:
        from rich.progress import TaskID

        from restorekit.bars import bars

        self._lines = bars()
        self._task = TaskID(0)

    def __enter__(self) -> Bar:
        self._lines.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.stop()

    def start(self, model: str, images: int) -> None:
        """Open the line of `model`."""
        self._task = self._lines.add_task(model, total=images)

    def advance(self) -> None:
        """Count one image."""
        self._lines.advance(self._task)

    def finish(self, state: str, note: str) -> None:
        """Say at once what went wrong."""
        if state != "done":
            self._lines.stop_task(self._task)
            note = note if note.startswith(state) else f"{state}: {note}"
            self._lines.console.print(
                f"  {note}", style="yellow" if state in ("no weights", "not exported") else "red", markup=False
            )
