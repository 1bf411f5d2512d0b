"""`Entry`: the declaration of one component. Declaring imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from restorekit.errors import PluginError

Kind = Literal[
    "generator", "discriminator", "prior", "loss", "metric", "dataset", "synthesizer", "task", "procedure", "model"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_KEPT_AS: dict[str, Callable[[Iterable[str]], Iterable[str]]] = {
    "needs": frozenset,
    "gives": frozenset,
    "tasks": tuple,
    "deviations": tuple,
    "default_for": tuple,
}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def check_license(text: str, where: str) -> None:
    """Raise `PluginError` for a text that is neither empty nor an SPDX licence expression."""
    if not text:
        return
    try:
        canonicalize_license_expression(text)
    except InvalidLicenseExpression as error:
        raise PluginError(
            f"{where}: license {text!r} is no SPDX expression; give one such as 'Apache-2.0', 'MIT OR BSD-3-Clause' or"
            " 'LicenseRef-Mine'"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One component of one plugin.

    Raises `PluginError` when a field is not valid.
    """

    name: str
    """Lower-case words joined by ``-``."""
    kind: Kind
    """What it is; what `target` has to be depends on it."""
    target: str
    """``"package.module:attribute"``, imported on first use.

    A class or function that builds the component from its settings (generator, discriminator, prior, loss, metric,
    synthesizer; a procedure gets the recipe too), a `DatasetCard` (dataset), a `TaskCard` (task), or a `Recipe`, or a
    function without arguments that returns one (model).
    """
    summary: str
    """Its one line in listings."""
    needs: Iterable[str] = frozenset()
    """What others must hand to it.

    ``clean``, ``mask``, ``references`` (of data and priors), ``logits`` (of discriminators), and any extra of a
    generator or discriminator, such as ``attention``.
    """
    gives: Iterable[str] = frozenset()
    """What it hands to others, by the same names."""
    tasks: tuple[str, ...] = ()
    """What a model, data set or synthesizer is for: names of tasks that some plugin declares, such as ``raindrop``."""
    paper: str = ""
    """Where it comes from: authors, title, year."""
    license: str = ""
    """SPDX expression of the implementation's licence; without, that of the distribution counts."""
    deviations: tuple[str, ...] = ()
    """Where it differs from the paper, one sentence each."""
    weights: str = ""
    """Models only: ``"package:folder"`` with a ``manifest.json`` of trained weights."""
    adapts: bool = False
    """Models only: it can learn from the one image that it restores."""
    default_for: tuple[str, ...] = ()
    """Models only: those of its tasks for which it is meant to be taken when the user names no model."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PluginError(f"entry {self.name!r}: kind {self.kind!r} is unknown; use one of {', '.join(KINDS)}")
        if not _NAME.fullmatch(self.name):
            raise PluginError(
                f"entry name {self.name!r} is not valid; use lower-case letters, digits and single"
                " hyphens, such as 'pix2pix-small'"
            )
        if not _TARGET.fullmatch(self.target):
            raise PluginError(f"entry {self.name!r}: target {self.target!r} is not 'package.module:attribute'")
        for attribute in _KEPT_AS:
            value = getattr(self, attribute)
            if isinstance(value, str):
                raise PluginError(
                    f"entry {self.name!r}: {attribute} is the string {value!r}; give several, such as ({value!r},)"
                )
            object.__setattr__(self, attribute, _KEPT_AS[attribute](value))
        unfit = [task for task in self.tasks if not isinstance(task, str) or not _NAME.fullmatch(task)]
        if unfit:
            raise PluginError(f"entry {self.name!r}: {unfit[0]!r} is no name of a task, such as 'rain-streak'")
        check_license(self.license, f"entry {self.name!r}")
        stray = [task for task in self.default_for if self.kind != "model" or task not in self.tasks]
        if stray:
            raise PluginError(
                f"entry {self.name!r}: default_for names {stray[0]!r}; only a model may be a default, and of its own"
                f" tasks: {', '.join(self.tasks) or 'none'}"
            )
