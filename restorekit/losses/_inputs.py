"""What a loss needs from its input, or a sentence that says who should have given it."""

from __future__ import annotations

from torch import Tensor

from restorekit.errors import TrainingError
from restorekit.interface import Judgement, LossInput


def _missing(loss: str, what: str, remedy: str) -> TrainingError:
    return TrainingError(f"loss {loss!r} needs {what}, and got none; {remedy}")


def clean_of(seen: LossInput, loss: str) -> Tensor:
    """Return the clean images, [B, 3, H, W]. Raises `TrainingError` when the data are not paired."""
    if seen.batch.clean is None:
        raise _missing(loss, "clean images", "train on a paired data set or take the loss out of the recipe")
    return seen.batch.clean


def mask_of(seen: LossInput, loss: str) -> Tensor:
    """Return the masks, [B, 1, H, W]. Raises `TrainingError` when there are none."""
    if seen.batch.mask is None:
        raise _missing(loss, "masks", "use data that bring them or a prior that gives them ('mask-from-pair')")
    return seen.batch.mask


def references_of(seen: LossInput, loss: str) -> Tensor:
    """Return the reference images, [B, K, 3, H, W]. Raises `TrainingError` when there are none."""
    if seen.batch.references is None:
        raise _missing(loss, "reference images", "use a prior that gives 'references'")
    return seen.batch.references


def fake_of(seen: LossInput, loss: str) -> Judgement:
    """Return the judgement of the output. Raises `TrainingError` when there is no discriminator."""
    if seen.fake is None:
        raise _missing(loss, "a discriminator's judgement", "name a discriminator in the recipe")
    return seen.fake


def real_of(seen: LossInput, loss: str) -> Judgement:
    """Return the judgement of the clean image. Raises `TrainingError` outside of the critic's phase."""
    if seen.real is None:
        raise _missing(
            loss,
            "the judgement of clean images",
            "put it under 'critic_losses' and train on a paired data set",
        )
    return seen.real
