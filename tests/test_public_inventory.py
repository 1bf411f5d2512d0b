"""What version 1 promises (docs/stability.md) is written down in golden/public.json: nothing leaves it unnoticed.

`python tests/test_public_inventory.py` writes the file anew: do that for what is added. What is missing breaks somebody:
deprecate it first, as docs/stability.md says.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

import click

from restorekit.cli.main import cli
from restorekit.commands import COMMANDS
from restorekit.data.cards import DatasetCard
from restorekit.plugin import KINDS, Entry, hookspecs
from restorekit.recipe import Recipe

GOLDEN = Path(__file__).parent / "golden" / "public.json"
MODULES = (
    "restorekit",
    "restorekit.plugin",
    "restorekit.interface",
    "restorekit.recipe",
    "restorekit.testing",
    "restorekit.errors",
    "restorekit.keyed",
    "restorekit.pixels",
    "restorekit.networks",
    "restorekit.data.tasks",
)


def names_of(module: str) -> list[str]:
    """Return a module's public names: its ``__all__``, else what it defines itself."""
    loaded = importlib.import_module(module)
    own = (n for n, v in vars(loaded).items() if getattr(v, "__module__", None) == module and not n.startswith("_"))
    return sorted(getattr(loaded, "__all__", own))


def options_of(command: click.Command, path: str) -> dict[str, list[str]]:
    """Return command -> its options and arguments, of a command and those below it."""
    found = {path: sorted(name for p in command.params for name in (*p.opts, *p.secondary_opts))}
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found |= options_of(inner, f"{path} {name}")
    return found


def inventory() -> dict[str, dict[str, list[str]]]:
    """Return all that is promised: area -> thing -> names."""
    hooks = {n: inspect.signature(f) for n, f in vars(hookspecs).items() if hasattr(f, "restorekit_spec")}
    commands: dict[str, list[str]] = {}
    with click.Context(cli) as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            assert command is not None
            commands |= options_of(command, name)
    return {
        "modules": {module: names_of(module) for module in MODULES},
        "hooks": {name: list(signature.parameters) for name, signature in sorted(hooks.items())},
        "fields": {
            "Entry": sorted(Entry.__dataclass_fields__),
            "DatasetCard": sorted(DatasetCard.__dataclass_fields__),
            "Recipe": sorted(Recipe.model_fields),
        },
        "kinds": {"Entry.kind": sorted(KINDS)},
        "commands": dict(sorted(commands.items())),
    }


def differences(before: dict[str, dict[str, list[str]]], now: dict[str, dict[str, list[str]]]) -> tuple[list, list]:
    """Return what has left, and what is new."""

    def flat(values):
        return {(area, thing, name) for area, things in values.items() for thing, ns in things.items() for name in ns}

    return sorted(flat(before) - flat(now)), sorted(flat(now) - flat(before))


def test_nothing_that_is_promised_has_left():
    left, new = differences(json.loads(GOLDEN.read_text(encoding="utf-8")), inventory())
    assert not left, f"promised in docs/stability.md and gone: {left}; deprecate first"
    assert not new, f"new: {new}; run `python tests/test_public_inventory.py` to promise it"


def test_what_leaves_is_noticed():
    now = inventory()
    before = {**now, "hooks": {**now["hooks"], "run_started": ["run", "recipe", "gone"]}}
    assert differences(before, now) == ([("hooks", "run_started", "gone")], [])
    assert differences(now, before)[1] == [("hooks", "run_started", "gone")]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(inventory(), indent=1) + "\n", encoding="utf-8")
