"""Perceptual hashes (does a training image reappear in the test set?) and alignment of pairs.

The hash is the DCT hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010):
the signs of the 64 lowest frequencies against their median. It sees through scaling, compression, light rain
and small crops, and not through flips, rotations or large crops.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from restorekit.data.imageset import ImageSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIDE = 32  # the picture is reduced to this many pixels a side before the DCT
_BITS_SIDE = 8
# Measured: Rain100L against Rain100H, same backgrounds: 0 to 4 bits; a rainy image against its clean one:
# up to 8; the closest of 79,003 pairs of unrelated BSDS photographs: 14.
DISTANCE = 8


class Leak(NamedTuple):
    """A training image that looks like a test image; `distance` is the number of differing bits of 64."""

    train: str
    test: str
    distance: int


def grey(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the full-range BT.601 luma [H, W] in [0, 255] of an RGB uint8 image [H, W, 3]."""
    from restorekit.pixels import luma

    red, green, blue = image.astype("float64").transpose(2, 0, 1)
    return luma(red, green, blue)


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """Return the 64-bit DCT hash of an RGB uint8 image [H, W, 3]."""
    import numpy as np
    from PIL import Image
    from scipy.fft import dctn

    grey = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    spectrum = dctn(np.asarray(grey, dtype=np.float64), norm="ortho")
    # The constant term says only how bright the picture is.
    low = spectrum[: _BITS_SIDE + 1, : _BITS_SIDE + 1].ravel()[1 : _BITS_SIDE**2 + 1]
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _hashed(images: Iterable[tuple[str, NDArray[np.uint8]]]) -> list[tuple[str, int]]:
    return [(name, perceptual_hash(image)) for name, image in images]


def backgrounds(images: ImageSet | Iterable[tuple[str, NDArray[np.uint8]]]) -> list[tuple[str, int]]:
    """Return (name, hash) of each background: the clean image where there is one, else the degraded."""
    if isinstance(images, ImageSet):
        chosen = ((s.name, s.degraded if s.clean is None else s.clean) for s in images)
        return _hashed(chosen)
    return _hashed(images)


def close_pairs(train: list[tuple[str, int]], test: list[tuple[str, int]], distance: int = DISTANCE) -> list[Leak]:
    """Return the pairs of (name, hash) that differ in at most `distance` bits, the closest first."""
    found = [
        Leak(a, b, bits)
        for a, hash_a in train
        for b, hash_b in test
        if (bits := (hash_a ^ hash_b).bit_count()) <= distance
    ]
    return sorted(found, key=lambda leak: (leak.distance, leak.train, leak.test))


def find_leaks(
    train: ImageSet | Iterable[tuple[str, NDArray[np.uint8]]],
    test: ImageSet | Iterable[tuple[str, NDArray[np.uint8]]],
    distance: int = DISTANCE,
) -> list[Leak]:
    """Return the training images whose background looks like that of a test image, the closest first.

    `train` and `test`: image sets, or (name, RGB uint8 image) pairs. `distance`: bits of 64 that may differ.
    """
    return close_pairs(backgrounds(train), backgrounds(test), distance)


def alignment(degraded: NDArray[np.uint8], clean: NDArray[np.uint8]) -> tuple[int, int]:
    """Estimate the shift (dy, dx) in whole pixels: degraded[y, x] shows what clean[y - dy, x - dx] shows.

    Phase correlation (Kuglin and Hines 1975) of the lumas under a Hann window; (0, 0) for an aligned pair.
    Shifts up to half the image are seen.
    """
    import numpy as np
    from scipy.fft import irfft2, rfft2

    height, width = degraded.shape[:2]
    window = np.outer(np.hanning(height), np.hanning(width))

    def spectrum(image: NDArray[np.uint8]) -> NDArray[np.complex128]:
        lumas = grey(image)
        result: NDArray[np.complex128] = rfft2((lumas - lumas.mean()) * window)
        return result

    cross = spectrum(degraded) * np.conj(spectrum(clean))
    magnitude = np.abs(cross)
    surface = irfft2(cross / np.maximum(magnitude, 1e-9 * magnitude.max() + 1e-30), s=(height, width))
    row, column = (int(i) for i in np.unravel_index(np.argmax(surface), surface.shape))
    return (
        row - height if row > height // 2 else row,
        column - width if column > width // 2 else column,
    )
