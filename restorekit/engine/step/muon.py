"""timm's Muon on devices that only emulate bf16."""

from __future__ import annotations

import functools
import inspect

import torch

_ITERATION = "zeropower_via_newtonschulz"


def orthogonalise_in_float32() -> None:
    """Let timm's Muon make its updates orthogonal in float32, in this process from now on.

    It does so in bf16 (Newton-Schulz iterations; Jordan et al. 2024, "Muon"), without a setting for it. A CPU without
    bf16 instructions multiplies such matrices 200 times slower than float32 ones: a step of derain took thrice as long.
    """
    from timm.optim import muon

    iteration = getattr(muon, _ITERATION, None)
    if iteration is not None and "dtype" in inspect.signature(iteration).parameters:
        setattr(muon, _ITERATION, functools.partial(iteration, dtype=torch.float32))
