"""Are these the settings of a component? Judged by the signature of what builds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from restorekit.errors import RecipeError, closest

_PLAIN_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "int": (lambda value: isinstance(value, Integral) and not isinstance(value, bool), "an integer"),
    "float": (lambda value: isinstance(value, Real) and not isinstance(value, bool), "a number"),
    "str": (lambda value: isinstance(value, str), "a text"),
    "None": (lambda value: value is None, "none"),
}
"""Annotations that are judged: what passes for each, and in words."""


def check_settings(component: str, target: Any, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the target does not know, naming the closest, and values of another type.

    `component`: its kind and id, for the error. Raises `RecipeError`.
    """
    try:
        parameters = inspect.signature(target).parameters.values()
    except ValueError:  # a class written in C may not say; it judges its settings itself
        return
    allowed = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name, value in settings.items():
        if name in allowed:
            _check_type(component, allowed[name], value)
        elif not open_ended:
            raise RecipeError(
                f"{component} has no setting {name!r}.{closest(name, allowed)} It has: {', '.join(allowed) or 'none'}."
            )


def _check_type(component: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuse a value that the parameter's annotation rules out; only plain types are judged."""
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    names = [part.strip() for part in text.split("|")]
    if not all(name in _PLAIN_TYPES for name in names):
        return
    if not any(_PLAIN_TYPES[name][0](value) for name in names):
        wanted = " or ".join(_PLAIN_TYPES[name][1] for name in names)
        raise RecipeError(f"{component}: setting {parameter.name!r} is {value!r}; give {wanted}")
