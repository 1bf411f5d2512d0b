"""Random numbers that depend on one sample's key and on nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.errors import DataError

Range = tuple[float, float]

_WORD = (1 << 64) - 1


def _mixed(key: int, stream: int) -> int:
    """Scramble (key, stream) to 32 bits, so that neighbouring keys give unrelated sequences.

    The finaliser is MurmurHash3's (Appleby, 2011). 32 bits, because torch's CPU generator uses no more.
    """
    word = (key * 0x9E3779B97F4A7C15 + (stream + 1) * 0xD1B54A32D192ED03) & _WORD
    word = ((word ^ (word >> 33)) * 0xFF51AFD7ED558CCD) & _WORD
    word = ((word ^ (word >> 33)) * 0xC4CEB9FE1A85EC53) & _WORD
    return (word ^ (word >> 33)) & 0xFFFFFFFF


def uniforms(keys: Tensor, stream: int, *shape: int) -> Tensor:
    """Return float64 numbers in [0, 1), [B, *shape], on the CPU: row i depends on (keys[i], stream) alone."""
    rows = [
        torch.rand(*shape, generator=torch.Generator().manual_seed(_mixed(key, stream)), dtype=torch.float64)
        for key in keys.tolist()
    ]
    return torch.stack(rows)


def between(share: Tensor, bounds: Range | tuple[Tensor, Tensor]) -> Tensor:
    """Map numbers in [0, 1) linearly to the range `bounds`."""
    low, high = bounds
    return low + (high - low) * share


def check(clean: Tensor, keys: Tensor) -> None:
    """Raise `DataError` for what is not a batch [B, 3, H, W] in float32 or float64 with B integer keys."""
    if clean.ndim != 4 or clean.shape[1] != 3 or clean.dtype not in (torch.float32, torch.float64):
        raise DataError(
            f"The synthesizer got an image tensor of shape {tuple(clean.shape)} and type {clean.dtype}; it "
            "takes float32 or float64 RGB in [0, 1] of shape [B, 3, H, W]. Add the batch axis "
            "or convert the image."
        )
    if keys.shape != (clean.shape[0],) or keys.is_floating_point():
        raise DataError(
            f"The synthesizer got keys of shape {tuple(keys.shape)} and type {keys.dtype} for "
            f"{clean.shape[0]} images; it takes one integer per image (int64, shape [B])."
        )
