"""The hooks that a plugin may implement, and the marker that marks an implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from restorekit.plugin.entry import Entry

if TYPE_CHECKING:
    import click

PROJECT = "restorekit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def restorekit_entries() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Return all entries of the plugin, whatever their kind. A hook that raises gives nothing."""


@hookspec
def restorekit_commands(cli: click.Group) -> None:
    """Add commands to the command line. Import heavy modules inside the commands only."""


@hookspec
def run_started(run: Path, recipe: Mapping[str, Any]) -> None:
    """A training run starts, or goes on, in the folder `run`; called on the main process, like all that follow.

    `recipe` holds the recipe's fields in plain values. The hooks of runs and benchmarks are called for the plugins that
    ``--track`` names; a run that goes on keeps those that it was started with.
    """


@hookspec
def step_logged(run: Path, step: int, values: Mapping[str, float]) -> None:
    """Values were logged at `step`.

    Of training: ``PHASE/LOSS`` for each term of a phase (``generator/l1``), ``PHASE/gradient-norm``, ``lr/PHASE``, and
    what a phase adds (``accuracy/real``, ``accuracy/fake``). Of an evaluation: ``val/METRIC`` (``val/psnr-rgb``).
    """


@hookspec
def evaluated(run: Path, step: int, scores: Mapping[str, float], samples: Path) -> None:
    """The validation images were scored after `step`: METRIC -> mean. `samples`: the folder of restored examples."""


@hookspec
def checkpoint_saved(run: Path, step: int, weights: Path) -> None:
    """A checkpoint was written; `weights` is the file of the last weights."""


@hookspec
def run_finished(run: Path, step: int, completed: bool) -> None:
    """The run stopped after `step`; `completed` is False after an interruption."""


@hookspec
def run_failed(run: Path, step: int, error: Exception) -> None:
    """The run ended with `error` after `step`; `run_finished` is not called then."""


@hookspec
def benchmark_finished(folder: Path, results: Mapping[str, Any]) -> None:
    """A benchmark has written its tables to `folder`; `results` is the content of its ``summary.json``."""
