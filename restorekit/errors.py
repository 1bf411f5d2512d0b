"""The errors that restorekit raises on purpose.

Each message says what was given, what is allowed and what to do next; the command line prints it
without a traceback and exits non-zero.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RestorekitError(Exception):
    """Base of every error that the user can act on."""


class PluginError(RestorekitError):
    """A plugin, or a component that it declares, cannot be used."""


class UnknownNameError(PluginError):
    """No component, field or file goes by the given name."""


class RecipeError(RestorekitError):
    """A recipe or an override of it is not valid."""


class DataError(RestorekitError):
    """A data set or folder cannot be used as it is."""


class ImageError(DataError):
    """One image cannot be read or written."""


class WeightsError(RestorekitError):
    """Weights are missing, damaged or do not fit the network."""


class TrainingError(RestorekitError):
    """A training run cannot start or go on."""


def closest(name: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the allowed name nearest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def missing_package(error: ImportError) -> str:
    """Say which package a kind of file needs: ``restorekit-runtime`` comes with what common pictures need only."""
    name = (error.name or str(error)).partition(".")[0]
    package = "restorekit" if name.startswith("restorekit") else name
    return f"files of this kind need {package}, which is not installed; pip install {package}"
