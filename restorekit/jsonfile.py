"""Reading the files that restorekit itself writes: what is in them is what was meant, or the error names them."""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from restorekit.errors import DataError

T = TypeVar("T")


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def parsed(text: str) -> object:
    """Return the value of JSON text. Raises `ValueError` for whatever it is not, thousands of brackets too."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def shaped(value: object, shape: type[T]) -> T:
    """Return a value as `shape` (a pydantic model, a dataclass, a type). Raises `ValueError` in one line."""
    try:
        adapter: TypeAdapter[T] = _adapter(cast(Hashable, shape))
        result = adapter.validate_python(value)
    except ValidationError as error:
        first, *rest = error.errors(include_url=False, include_context=False)
        where = ".".join(str(part) for part in first["loc"]) or "it"
        more = f", and {len(rest)} more" if rest else ""
        raise ValueError(f"{where}: {first['msg']}{more}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return result


def read_file(path: Path, shape: type[T], remedy: str) -> T:
    """Return a JSON file's contents as `shape`. Raises `DataError` that names the file, what is wrong, and `remedy`."""
    try:
        return shaped(parsed(path.read_text(encoding="utf-8")), shape)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())}); {remedy}") from error


def read_table(path: Path, shape: type[T]) -> T:
    """Return one of a run's small files; its defaults when there is no such file. Raises `DataError` when damaged."""
    if not path.exists():
        return shaped({}, shape)
    return read_file(path, shape, "move it away, and the rest of the run counts")


def json_lines(path: Path) -> list[dict[str, object]]:
    """Return the tables in a file with one JSON value a line; lines that are none, as a killed process leaves, are not.

    Raises `DataError` when the file cannot be read.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; move it away, or choose another folder") from error
    found = []
    for text in texts:
        try:
            value = parsed(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
