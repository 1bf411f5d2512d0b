"""Random numbers without a state: pure functions of a key, the same on every device and process."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MURMUR = ((16, 0x85EBCA6B), (13, 0xC2B2AE35))


def _multiply(value: Tensor, factor: int) -> Tensor:
    """Return the low 32 bits of value * factor; in halves, because int64 must not overflow."""
    low = (value & 0xFFFF) * factor
    high = (((value >> 16) * factor) & 0xFFFF) << 16
    return (low + high) & _MASK


def _scramble(value: Tensor) -> Tensor:
    """Return the 32-bit finalizer of MurmurHash3 (Appleby 2011) of each value in [0, 2**32)."""
    for shift, factor in _MURMUR:
        value = _multiply(value ^ (value >> shift), factor)
    return value ^ (value >> 16)


def uniform(key: Tensor, stream: int | str) -> Tensor:
    """Return one number in [0, 1) per key, float32, a multiple of 2**-24.

    `key`: [B] integers in [0, 2**32), such as `restorekit.interface.Batch.key`. `stream` names the purpose:
    numbers of different streams are independent for the same key, numbers of the same stream and key are
    equal.
    """
    number = zlib.crc32(stream.encode()) if isinstance(stream, str) else stream & _MASK
    offset = _scramble(torch.full((), (number + 0x9E3779B9) & _MASK, dtype=torch.int64, device=key.device))
    mixed = _scramble(_scramble(key.long() & _MASK) ^ offset)
    return (mixed >> 8).float() * 2.0**-24
