"""Warnings of a run: one line on the terminal, on the main process only."""

from __future__ import annotations

import os
from functools import cache

import click


def notice(text: str) -> None:
    """Print a warning to the error stream; under a launcher, on the first process only."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(f"Warning: {text}", err=True)


@cache
def notice_once(text: str) -> None:
    """Print a warning the first time that this process has it."""
    notice(text)
