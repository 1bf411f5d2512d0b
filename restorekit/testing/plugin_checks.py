"""Checks of a plugin as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import click

from restorekit.commands import COMMANDS
from restorekit.leftovers import temporary
from restorekit.notices import unheard
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.hooks import LOG, Hooks, trackers
from restorekit.plugin.registry import registry
from restorekit.testing.check import require

_HEAVY = ("torch", "torchvision", "kornia", "timm", "accelerate", "matplotlib", "scipy")

# The answer goes into a file: a plugin may print when it is imported.
_PROGRAM = f"""
import importlib, inspect, json, pathlib, sys
import click
module = importlib.import_module(sys.argv[1])
list(module.restorekit_entries()) if hasattr(module, "restorekit_entries") else []
if hasattr(module, "restorekit_commands"):
    group = click.Group()
    module.restorekit_commands(*[group for _ in inspect.signature(module.restorekit_commands).parameters])
heavy = [name for name in {_HEAVY!r} if name in sys.modules]
pathlib.Path(sys.argv[2]).write_text(json.dumps(heavy))
"""


def check_declares_without_torch(plugin: Plugin) -> None:
    """Importing the module and asking for its entries and commands imports nothing heavy, and prints nothing."""
    heavy, printed = _answer(plugin, _PROGRAM)
    require(
        not heavy,
        f"{plugin.module} imports {', '.join(heavy)} when it declares its entries and commands, which every call of"
        " restorekit waits for; move those imports into the modules that the targets name, and into the commands",
    )
    require(
        not printed,
        f"{plugin.module} prints {printed[:80]!r} when it is imported, at every command; leave that out",
    )


# The new process inherits what this one's import of the plugin has changed: what is done counts, not what differs.
_SHARED = """
import importlib, json, os, pathlib, signal, sys
import click, pluggy, restorekit.plugin
changed = set()
def note(event, arguments):
    if event in ("os.putenv", "os.unsetenv"):
        changed.add("the environment (" + os.fsdecode(arguments[0]) + ")")
    elif event == "os.chdir":
        changed.add("the working directory")
sys.dont_write_bytecode = True
os.umask(0o067)  # as no plugin would choose
handler = lambda *_: None
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, handler)
sys.addaudithook(note)
importlib.import_module(sys.argv[1])
if any(signal.getsignal(number) is not handler for number in (signal.SIGINT, signal.SIGTERM)):
    changed.add("handlers of signals")
if os.umask(0o022) != 0o067:
    changed.add("the permissions of new files (umask)")
pathlib.Path(sys.argv[2]).write_text(json.dumps(sorted(changed)))
"""


def check_importing_changes_nothing(plugin: Plugin) -> None:
    """Importing the module changes nothing that the whole process shares: environment, folder, umask, signals."""
    changed, _ = _answer(plugin, _SHARED)
    require(
        not changed,
        f"importing {plugin.module} changes {', '.join(changed)}, at every command and for every plugin; leave that"
        " out, or do it where a component runs and set it back",
    )


def _answer(plugin: Plugin, program: str) -> tuple[list[str], str]:
    """Return the answer of a program in a new process, and what it prints beside."""
    with temporary("check") as folder:
        file = folder / "answer.json"
        done = subprocess.run(
            [sys.executable, "-c", program, plugin.module, str(file)],
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
        )
        require(
            done.returncode == 0 and file.exists(),
            f"importing {plugin.module} in a new process ends with exit code {done.returncode}:\n{done.stderr}",
        )
        found: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return found, done.stdout.strip()


def _environment() -> dict[str, str]:
    """Return this process's environment, with its import path: it may have been changed at run time."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def check_adds_commands(plugin: Plugin) -> None:
    """The hook for commands, if there is one, adds commands, and replaces none."""
    taken = {name: click.Command(name) for name in COMMANDS}
    group = click.Group(commands=dict(taken))
    for implementation in registry().manager.hook.restorekit_commands.get_hookimpls():
        if implementation.plugin_name != plugin.name:
            continue
        implementation.function(*[group for _ in implementation.argnames])
        replaced = [name for name in taken if group.commands.get(name) is not taken[name]]
        require(not replaced, f"it replaces the command {', '.join(replaced)} of restorekit; give yours another name")
        require(len(group.commands) > len(taken), "restorekit_commands adds no command; leave the hook out")


def check_follows_a_run(plugin: Plugin) -> None:
    """The hooks that follow runs live through a whole one: start, logs, evaluation, checkpoint, end, failure."""
    manager = registry().manager
    if plugin.name not in trackers(manager):
        return
    from restorekit.testing.told import calls, run_folder

    with temporary("check") as folder, unheard():
        run = folder / "run"
        hooks = Hooks(manager, [plugin.name], run_folder(run))
        for hook, arguments in calls(run):
            hooks.call(hook, **arguments)
            failed = (run / LOG).read_text(encoding="utf-8") if (run / LOG).exists() else ""
            require(not failed, f"its hook {hook} fails:\n{failed}")


PLUGIN_CHECKS: list[Callable[[Plugin], None]] = [
    check_declares_without_torch,
    check_importing_changes_nothing,
    check_adds_commands,
    check_follows_a_run,
]
