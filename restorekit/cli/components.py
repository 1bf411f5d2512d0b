"""``restorekit generators | discriminators | losses | metrics | datasets | synthesizers | tasks | procedures``."""

from __future__ import annotations

import click

from restorekit.cli.listing import listing_command
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import PLURALS

_KINDS: tuple[Kind, ...] = (
    "generator",
    "discriminator",
    "loss",
    "metric",
    "dataset",
    "synthesizer",
    "task",
    "procedure",
)

COMMANDS: dict[str, click.Command] = {PLURALS[kind]: listing_command(kind) for kind in _KINDS}
