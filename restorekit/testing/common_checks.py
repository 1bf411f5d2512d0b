"""Checks of every kind of component."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from restorekit.errors import RecipeError
from restorekit.plugin.entry import KINDS
from restorekit.testing.check import CheckFailedError, Subject, for_kinds, require

_UNKNOWN = "no_such_setting_as_this"


@for_kinds(*KINDS)
def check_target_is_importable(subject: Subject) -> None:
    """The target can be imported, and its summary is one line."""
    subject.component.load()
    summary = subject.component.entry.summary
    require(summary.strip() and "\n" not in summary, f"the summary is {summary!r}; give one line of text")


@for_kinds("generator", "discriminator", "prior", "loss", "metric")
def check_builds_by_default(subject: Subject) -> None:
    """It can be built without settings, and has no positional-only or unnamed settings."""
    target = subject.component.load()
    require(callable(target), f"the target is a {type(target).__name__}; it must be a class or a function")
    for parameter in _parameters(target):
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        require(
            named,
            f"its parameter {_shown(parameter)!r} cannot be given by name and checked; recipes give settings by"
            " name: spell each one out as a keyword argument",
        )
        require(
            parameter.default is not parameter.empty,
            f"its setting {parameter.name!r} has no default; give each setting one",
        )
    target()


def _shown(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=parameter.empty))


def _parameters(target: Any) -> list[inspect.Parameter]:
    """Return a target's parameters; a module without a constructor of its own has none."""
    if isinstance(target, type):
        defining = next(base for base in target.__mro__ if "__init__" in vars(base))
        if defining is nn.Module:
            return []
    return list(inspect.signature(target).parameters.values())


@for_kinds("generator", "discriminator", "prior", "loss", "metric")
def check_refuses_unknown_settings(subject: Subject) -> None:
    """A setting that it does not have is an error, so that a misspelt one is never ignored."""
    try:
        subject.build(**{_UNKNOWN: 1})
    except (RecipeError, TypeError, ValueError):
        return
    raise CheckFailedError(f"it accepts the unknown setting {_UNKNOWN!r}; take **kwargs out of its signature")
