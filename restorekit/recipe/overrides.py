"""``--set generator.width=16``: changing single fields of a recipe."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable

from restorekit.errors import RecipeError, closest
from restorekit.recipe.model import Recipe, fields_at

_COMPONENTS = ("generator", "discriminator", "prior", "procedure")
_WORDS = {"none": None, "true": True, "false": False}
_SHORTHANDS = (*_COMPONENTS, "schedule")  # a bare string is the table's name


def parse_value(text: str) -> object:
    """Read a value as TOML does (``0.1``, ``true``, ``[1, 2]``, ``"a"``); anything else is a plain string.

    ``true`` and ``false`` may be written in any case; ``none`` removes an optional field.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise RecipeError(f"value {text[:40]}… is nested too deeply; give a flatter one") from error
    except ValueError:  # no TOML, or a number of more digits than Python reads: a text, which is then judged as one
        return text


def parse_assignment(text: str) -> tuple[list[str], object]:
    """Split ``a.b=value`` into its path and its value."""
    key, equals, value = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise RecipeError(f"override {text!r} is not of the form field=value, such as generator.width=16")
    return path, parse_value(value.strip())


def _assign(values: dict[str, object], path: list[str], value: object) -> None:
    table = values
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if isinstance(inner, str) and table is values and part in _SHORTHANDS:
            inner = table[part] = {"name": inner}
        if not isinstance(inner, dict):
            raise RecipeError(f"{'.'.join(path)!r} cannot be set: {part!r} is {inner!r}, which has no fields")
        table = inner
    if value is None:
        _remove(table, path)
    elif len(path) == 1 and path[0] in _COMPONENTS and isinstance(value, str):
        # Another component has other settings: those of the one that it replaces go with it.
        values[path[0]] = {"name": value}
    else:
        table[path[-1]] = value


def _remove(table: dict[str, object], path: list[str]) -> None:
    """Take a field out. Raises `RecipeError` for one that is not there and is no field of a recipe."""
    if path[-1] not in table and path[-1] not in fields_at(Recipe, path[:-1]):
        there = [name for name in table if table[name] is not None]
        raise RecipeError(
            f"{'.'.join(path)!r} cannot be set to none: it is not there.{closest(path[-1], there)}"
            f" There are: {', '.join(there) or 'none'}."
        )
    table.pop(path[-1], None)


def apply_overrides(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Return the recipe with ``field=value`` assignments applied in order, validated anew.

    Raises `RecipeError` for a malformed assignment, an unknown field or a value that is not allowed.
    """
    values = copy.deepcopy(recipe.plain())
    for text in assignments:
        _assign(values, *parse_assignment(text))
    return Recipe.read(values)
