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
    """A training run starts, or goes on, in the folder `run`; called on the main process."""


@hookspec
def step_logged(run: Path, step: int, values: Mapping[str, float]) -> None:
    """Values were logged at `step`: names such as ``generator/l1``, ``lr/generator``, ``val/psnr-rgb``."""


@hookspec
def run_finished(run: Path, step: int, completed: bool) -> None:
    """The run stopped after `step`; `completed` is False after an interruption."""
