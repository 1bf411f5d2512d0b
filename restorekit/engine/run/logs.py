"""The run's numbers: CSV and TensorBoard always, other trackers through hooks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from restorekit.engine.run.checkpoint import write_atomically
from restorekit.errors import DataError
from restorekit.notices import notice
from restorekit.plugin.hooks import Hooks

TRAINING, VALIDATION = "log.csv", "validation.csv"


def samples_of(run: Path, step: int) -> Path:
    """Return the folder of the restored examples of one evaluation."""
    return run / "samples" / f"step-{step:09d}"


def _numbers(row: Mapping[str | None, str | None]) -> dict[str, float] | None:
    """Return a row's values, or None for a row that a killed process has left unfinished."""
    try:
        values = {key: float(value) for key, value in row.items() if key is not None and value}
    except (TypeError, ValueError):
        return None
    return values if "step" in values and None not in row else None


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of one of the run's CSV files; empty cells and unfinished rows are left out.

    Raises `DataError` when the file cannot be read as CSV at all.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [_numbers(row) for row in csv.DictReader(file)]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} is damaged ({error}); move it away, and the rest of the run counts") from error
    return [row for row in rows if row is not None]


class _Csv:
    """A CSV file whose columns may grow; rows behind a resumed step are dropped first."""

    def __init__(self, path: Path, resume_step: int) -> None:
        self.path = path
        # a run that starts anew measures step 0 again
        kept = [row for row in read_rows(path) if row["step"] <= resume_step] if resume_step else []
        self.rows = [{**row, "step": int(row["step"])} for row in kept]
        self.columns: list[str] = list(dict.fromkeys(key for row in self.rows for key in row))
        if path.exists():
            self._rewrite()

    def _fill(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def _rewrite(self) -> None:
        write_atomically(self.path, self._fill)

    def append(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        new = [key for key in row if key not in self.columns]
        if new:
            self.columns += new
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)


class _Board:
    """The run's TensorBoard file. Losing it, as when its folder is removed, costs a warning and not the run."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write the values; when that fails, once more into a new file."""
        try:
            self._add(values, step)
        except OSError as error:
            notice(f"{self.folder} could not be written ({error}); TensorBoard's log begins anew at step {step}")
            self._writer = None
            self._add(values, step)

    def _add(self, values: Mapping[str, float], step: int) -> None:
        if self._writer is None or not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)  # for what the writer's thread still has
            self.close()
            self._writer = SummaryWriter(str(self.folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the file; what could not be written any more is said."""
        try:
            if self._writer is not None:
                self._writer.close()
        except OSError as error:
            notice(f"{self.folder} could not be closed ({error}); TensorBoard's last values are missing")


class Logs:
    """Writes what a run measures; used on the main process only."""

    def __init__(self, run: Path, hooks: Hooks, recipe: Mapping[str, object], resume_step: int) -> None:
        self.run = run
        self.hooks = hooks
        self._open(resume_step)
        self.hooks.call("run_started", run=run, recipe=dict(recipe))

    def _open(self, step: int) -> None:
        self._training = _Csv(self.run / TRAINING, step)
        self._validation = _Csv(self.run / VALIDATION, step)
        self._board = _Board(self.run / "tensorboard", step)

    def rewind(self, step: int) -> None:
        """Drop what was logged behind `step`, to which the run has gone back."""
        self._board.close()
        self._open(step)

    def _write(self, table: _Csv, step: int, values: Mapping[str, float]) -> None:
        table.append({"step": step, **values})
        self._board.add(values, step)
        self.hooks.call("step_logged", run=self.run, step=step, values=dict(values))

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Log what training measured up to `step`."""
        self._write(self._training, step, values)

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Log the validation scores after `step`."""
        self._write(self._validation, step, {f"val/{name}": value for name, value in values.items()})
        self.hooks.call("evaluated", run=self.run, step=step, scores=dict(values), samples=samples_of(self.run, step))

    def saved(self, step: int, weights: Path) -> None:
        """Tell the trackers that a checkpoint was written, with `weights`."""
        self.hooks.call("checkpoint_saved", run=self.run, step=step, weights=weights)

    def finish(self, step: int, completed: bool) -> None:
        """Tell the trackers that the run has stopped, and close the files."""
        self.hooks.call("run_finished", run=self.run, step=step, completed=completed)
        self._board.close()

    def fail(self, step: int, error: Exception) -> None:
        """Tell the trackers what ended the run, and close the files."""
        self.hooks.call("run_failed", run=self.run, step=step, error=error)
        self._board.close()
