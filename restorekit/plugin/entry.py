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
    """One component of one plugin; `summary` is its one line in listings.

    `name`: lower-case words joined by ``-``. `target`: ``"package.module:attribute"``, imported on first
    use. What the target is depends on `kind`: a class or function that builds the component from its
    settings (generator, discriminator, prior, loss, metric, synthesizer; a procedure gets the recipe too), a
    `DatasetCard` (dataset), a `TaskCard` (task), or a `Recipe`, or a function without arguments that returns one
    (model).

    `needs` and `gives` name what passes between components: ``clean``, ``mask``, ``references`` (data and
    priors), ``logits`` (discriminators), and any extra of a generator or discriminator such as
    ``attention``. `tasks` says what a model, data set or synthesizer is for: names of tasks that some plugin
    declares, such as ``raindrop``. `license` is the SPDX expression of the implementation; without, that of the
    distribution counts. `deviations` lists, one
    sentence each, where it differs from the `paper`. `adapts` (models only): it can learn from the one image
    that it restores. `weights` (models only): ``"package:folder"`` with a ``manifest.json`` of trained
    weights. `default_for` (models only): those of its tasks for which it is meant to be taken when the user
    names no model.

    Raises `PluginError` when a field is not valid.
    """

    name: str
    kind: Kind
    target: str
    summary: str
    needs: Iterable[str] = frozenset()
    gives: Iterable[str] = frozenset()
    tasks: tuple[str, ...] = ()
    paper: str = ""
    license: str = ""
    deviations: tuple[str, ...] = ()
    weights: str = ""
    adapts: bool = False
    default_for: tuple[str, ...] = ()

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
