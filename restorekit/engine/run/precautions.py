"""What is worth a warning before a run starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from torch import nn

from restorekit.data.checked import checked, findings, glimpse
from restorekit.data.imageset import ImageSet
from restorekit.data.leaks import Leak, close_pairs
from restorekit.data.pairing import listing
from restorekit.engine.step.batchnorm import BATCH_NORMS, SyncedBatchNorm
from restorekit.errors import TrainingError
from restorekit.notices import notice
from restorekit.recipe import Recipe


def look_through(images: ImageSet, validation: ImageSet | None) -> tuple[str, list[int]]:
    """Check what is trained and validated on. Return the findings in one line, and the backgrounds' hashes.

    Of large sets evenly spread images are looked at; what was found is kept by the sets' fingerprints. A validation set
    whose backgrounds are trained on is a warning.
    """
    trained = checked(glimpse(images))
    said = findings(trained, len(images))
    if validation is not None:
        held = checked(glimpse(validation))
        leaks = close_pairs(list(trained.hashes), list(held.hashes))
        _warn_of_leaks(leaks, len(validation))
        count = len({leak.test for leak in leaks})
        said += f"; validation: {findings(held, len(validation))}, {count or 'none'} of them trained on"
    return f"Checked: {said}.", [background for _, background in trained.hashes]


def _warn_of_leaks(leaks: Sequence[Leak], count: int) -> None:
    if leaks:
        first = leaks[0]
        seen = len({leak.test for leak in leaks})
        notice(
            f"{seen} of {count} validation images look like images that are trained on (such as"
            f" {first.test!r} like {first.train!r}, {first.distance} of 64 bits apart), so that validation will"
            " flatter the model; give another set with --val, or take the doubles out"
        )


def require_memory(recipe: Recipe, processes: int) -> None:
    """Refuse a batch whose images alone do not fit the free memory. Raises `TrainingError` before any is taken.

    Counted are the crops of a process's part, degraded and clean, as 8-bit and as float32; what networks need on top
    is found out by `restorekit train --check`.
    """
    needed = recipe.data.batch // processes * recipe.data.crop**2 * 3 * 2 * (1 + 4)
    free = psutil.virtual_memory().available
    if needed > free:
        raise TrainingError(
            f"data.batch={recipe.data.batch} with data.crop={recipe.data.crop} needs {needed / 2**30:,.1f} GiB for its"
            f" images alone, and {free / 2**30:,.1f} GiB are free; choose smaller ones, or accumulate over steps"
        )


def warn_of_batch(recipe: Recipe, images: ImageSet) -> None:
    """Warn when one batch holds more samples than there are images."""
    if recipe.data.batch > len(images):
        notice(
            f"data.batch is {recipe.data.batch} and there are {len(images)} images, so that every step shows some"
            f" image more than once; with --set data.batch={len(images)} none would be"
        )


def warn_of_splitting(recipe: Recipe, networks: Mapping[str, nn.Module], processes: int) -> None:
    """Warn when a batch is split and a network looks at the whole of it: the result depends on the split."""
    if processes * recipe.accumulate == 1:
        return
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    modules = [m for network in networks.values() for m in network.modules() if isinstance(m, kinds)]
    if recipe.accumulate == 1:  # its statistics are those of all processes
        modules = [m for m in modules if not isinstance(m, SyncedBatchNorm)]
    if not modules:
        return
    found = ", ".join(sorted({type(m).__name__ for m in modules}))
    helped = processes > 1 and any(type(m) in BATCH_NORMS for m in modules)
    remedy = "; sync_batch_norm=true lets batch norm see all processes' parts" if helped else ""
    notice(
        f"recipe {recipe.name!r} uses {found}, which see each process's and micro-batch's part alone: over"
        f" {processes} x {recipe.accumulate} parts its results differ from those of a whole batch{remedy}"
    )


def warn_of_start(weights: Path, generator: nn.Module, rest: Sequence[str]) -> None:
    """Warn when weights to start from fit the generator in part only: `rest` names what starts anew."""
    if not rest:
        return
    count = len(generator.state_dict())
    notice(
        f"{weights} fits {count - len(rest)} of the {count} tensors of {type(generator).__name__}; these start anew:"
        f" {listing(rest)}. If they should not, give the generator the settings of the weights, such as"
        " --set generator.width=16"
    )
