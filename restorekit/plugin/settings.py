"""Are these the settings of a component? Judged by the signature of what builds it."""

from __future__ import annotations

import functools
import inspect
import json
import types
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from restorekit.errors import RecipeError, closest

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_WORDS: dict[object, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    type(None): "none",
}


def check_settings(component: str, target: Callable[..., object], settings: Mapping[str, object]) -> None:
    """Refuse settings that the target does not know, naming the closest, and values that its annotations rule out.

    Values are judged as those of a recipe: a list for a tuple is right, a text for a number is not. What a recipe
    cannot hold, such as a function, and annotations that pydantic does not know, are left to the target. `component`:
    its kind and id, for the error. Raises `RecipeError`.
    """
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # a class written in C may not say; it judges its settings itself
        return
    allowed = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name, value in settings.items():
        if name in allowed:
            _check_value(component, name, _annotation(target, allowed[name]), value)
        elif not open_ended:
            raise RecipeError(
                f"{component} has no setting {name!r}.{closest(name, allowed)} It has: {', '.join(allowed) or 'none'}."
            )


def _annotation(target: Callable[..., object], parameter: inspect.Parameter) -> object:
    """Return what a parameter is annotated with, or `Any` when that is nothing, or cannot be resolved here."""
    if parameter.annotation is parameter.empty:
        return Any
    function: object = target
    if isinstance(target, type):
        function = next(vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base))
    only = types.SimpleNamespace(__annotations__={"value": parameter.annotation})
    known = getattr(inspect.unwrap(cast("Callable[..., object]", function)), "__globals__", {})
    try:
        return get_type_hints(only, known, include_extras=True)["value"]
    except Exception:  # a name that is there for type checkers only, or none at all
        return Any


@functools.cache
def _adapter(annotation: Hashable) -> TypeAdapter[object] | None:
    """Return what judges values, or None for a type that pydantic does not know."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(cast("type[object]", annotation))
    except (PydanticUserError, TypeError):
        return None


def _check_value(component: str, name: str, annotation: object, value: object) -> None:
    """Raise `RecipeError` for a value that the annotation rules out."""
    from pydantic import ValidationError

    adapter = _adapter(annotation) if isinstance(annotation, Hashable) else None
    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError):  # no value that a recipe holds
        return
    try:
        if adapter is not None:
            adapter.validate_json(text, strict=True)
    except ValidationError as error:
        raise RecipeError(f"{component}: setting {name!r} is {value!r}; give {_wanted(annotation)}") from error


def _plain(value: object) -> object:
    """Return a number of numpy as Python's. Raises `TypeError` for anything else."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    raise TypeError(f"{type(value).__name__} cannot be written in a recipe")


def _wanted(annotation: object) -> str:
    """Return in words what an annotation allows."""
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(map(_wanted, get_args(annotation)))
    if get_origin(annotation) is Literal:
        return " or ".join(map(repr, get_args(annotation)))
    return _WORDS.get(annotation) or str(annotation).removeprefix("typing.")
