"""Which images of a benchmark a model was trained on: it may not be judged by them."""

from __future__ import annotations

from collections.abc import Iterable

from restorekit.benchmark.samples import Pixels, Samples
from restorekit.data.leaks import DISTANCE, perceptual_hash


def seen_among(samples: Samples, hashes: Iterable[int]) -> frozenset[str]:
    """Return the names of the images whose degraded or clean side looks like one of the hashed photographs."""
    known = tuple(hashes)
    if not known:
        return frozenset()

    def looks_known(pixels: Pixels) -> bool:
        found = perceptual_hash(pixels)
        return any((found ^ other).bit_count() <= DISTANCE for other in known)

    names = zip(samples.names, samples, strict=True)
    return frozenset(
        name for name, s in names if looks_known(s.degraded) or (s.clean is not None and looks_known(s.clean))
    )
