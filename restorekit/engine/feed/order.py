"""Data order and randomness as pure functions of (seed, global sample index).

The global sample index counts every sample that the run draws, over all processes and steps:
``step * batch + position``. Nothing here depends on the rank or on how a run was interrupted.
"""

from __future__ import annotations

import functools
import hashlib
import struct

import numpy as np
from numpy.typing import NDArray


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def image_index(seed: int, sample: int, count: int) -> int:
    """Return which of `count` images the global sample `sample` shows: each once per epoch, shuffled anew."""
    epoch, position = divmod(sample, count)
    return int(_permutation(seed, epoch, count)[position])


def sample_key(seed: int, sample: int) -> int:
    """Return a random number in [0, 2**31) for one global sample."""
    digest = hashlib.blake2b(struct.pack("<qq", seed, sample), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def step_seed(seed: int, step: int) -> int:
    """Return the seed of the global random generators (dropout) in one step."""
    return sample_key(seed, -1 - step)
