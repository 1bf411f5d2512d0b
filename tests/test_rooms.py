"""Imports point one way between the rooms of restorekit, and what belongs to one room stays there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import restorekit

CORE = Path(restorekit.__file__).parent
# From the ground up: a room imports from rows above its own in this list, never from its own row or below.
ORDER = (
    ("errors", "version", "commands", "pixels"),
    ("bars", "bounded", "devices", "interface", "jsonfile", "keyed", "layers", "leftovers"),
    ("outofmemory", "pages", "paths", "processes"),
    ("contracts", "files", "notices", "padding", "termination"),
    ("plugin",),
    ("recipe",),
    ("data", "networks"),
    ("weights",),
    ("backbones", "generators", "priors"),
    ("metrics",),
    ("losses",),
    ("core", "engine"),
    ("restoring",),
    ("runtime",),
    ("export",),
    ("benchmark", "serve"),
    ("testing",),
    ("cli",),
    ("__main__", "__init__"),
)
WINGS = (("feed",), ("runtime",), ("step",), ("adapt", "run"), ("__init__",))


def files() -> Iterator[Path]:
    """Yield the core's modules; the templates of plugins are none."""
    yield from (path for path in sorted(CORE.rglob("*.py")) if "templates" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """Yield restorekit's modules that a module imports: at the top, in functions, and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("restorekit."))
        if isinstance(node, ast.ImportFrom) and node.module == "restorekit":
            yield from (f"restorekit.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("restorekit."):
            yield str(node.module)


def against(folder: Path, order: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return what the rooms in `folder` import from their own row of `order`, or from a later one."""
    row = {room: number for number, rooms in enumerate(order) for room in rooms}
    prefix = ".".join(folder.relative_to(CORE.parent).parts) + "."
    found = []
    for path in files():
        if not path.is_relative_to(folder):
            continue
        own = path.relative_to(folder).with_suffix("").parts[0]
        for module in imported(path):
            other = module.removeprefix(prefix).partition(".")[0]
            if module.startswith(prefix) and other != own and row[other] >= row[own]:
                found.append(f"{path.relative_to(CORE.parent)} imports {module}")
    return found


def test_every_room_has_its_place():
    rooms = {path.stem for path in CORE.glob("*.py")} | {path.parent.name for path in CORE.glob("*/__init__.py")}
    assert rooms == {room for row in ORDER for room in row}


@pytest.mark.parametrize(("folder", "order"), [("", ORDER), ("engine", WINGS)], ids=["rooms", "wings of the engine"])
def test_imports_point_one_way(folder, order):
    assert against(CORE / folder, order) == []


def test_only_the_room_of_pictures_opens_them():
    found = {
        path.relative_to(CORE).as_posix()
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open"
    }
    assert found
    assert {name for name in found if not name.startswith("data/images/")} == set()
