"""Priors that look at a whole image once: their references, cut along with every crop."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from restorekit.contracts import expect
from restorekit.data.crops import Referencer
from restorekit.engine.feed.order import sample_key
from restorekit.errors import PluginError
from restorekit.interface import Batch, ReferencePrior
from restorekit.networks import per_image_prior
from restorekit.pixels import Pixels, to_image, to_pixels


def referencer_of(prior: nn.Module | None, device: torch.device) -> Referencer | None:
    """Return a function from an image [H, W, 3] uint8 and its index to references [K, H, W, 3] uint8, or None.

    That function raises `PluginError` when the prior gives anything else.
    """
    if prior is None or not per_image_prior(prior):
        return None

    @torch.no_grad()
    def references(image: Pixels, index: int) -> Pixels:
        key = sample_key(0, index)
        if isinstance(prior, ReferencePrior):
            return np.ascontiguousarray(prior.references(image, key))
        degraded = to_image(image, device)
        found = expect(prior(Batch(degraded, key=torch.tensor([key]))), Batch, "the prior")
        if found.references is None or found.mask is not None:
            raise PluginError(
                "the prior has per_image=True and must give references, and nothing else; a prior that gives a mask"
                " is asked for each batch, without per_image"
            )
        return to_pixels(found.references[0])

    return references
