"""Checks of a plugin as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click

from restorekit.plugin.discovery import Plugin
from restorekit.plugin.registry import registry
from restorekit.testing.check import require

_HEAVY = ("torch", "torchvision", "kornia", "timm", "accelerate", "matplotlib", "scipy")

_PROGRAM = f"""
import importlib, sys
module = importlib.import_module(sys.argv[1])
list(module.restorekit_entries()) if hasattr(module, "restorekit_entries") else []
print(",".join(name for name in {_HEAVY!r} if name in sys.modules))
"""


def check_declares_without_torch(plugin: Plugin) -> None:
    """Importing the module and asking for its entries imports nothing heavy: listings must stay fast."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, plugin.module],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    require(done.returncode == 0, f"importing {plugin.module} in a new process fails:\n{done.stderr}")
    heavy = done.stdout.strip().splitlines()[-1:]
    require(
        not heavy or not heavy[0],
        f"{plugin.module} imports {''.join(heavy)} when it declares its entries; move those imports into the"
        " modules that the targets name",
    )


def _environment() -> dict[str, str]:
    """Return this process's environment, with its import path: it may have been changed at run time."""
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def check_adds_commands(plugin: Plugin) -> None:
    """The hook for commands, if there is one, adds commands and raises nothing."""
    group = click.Group()
    for implementation in registry().manager.hook.restorekit_commands.get_hookimpls():
        if implementation.plugin_name == plugin.name:
            implementation.function(*[group for _ in implementation.argnames])
            require(group.commands, "restorekit_commands adds no command; leave the hook out")


PLUGIN_CHECKS: list[Callable[[Plugin], None]] = [check_declares_without_torch, check_adds_commands]
