"""Whole numbers to [0, 1] and back: one rule, against exact fractions."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import restorekit
from restorekit.metrics.protocols import levels
from restorekit.pixels import luma, pixels_of, planes_of, to_image, to_levels, to_pixels, unit, whole, whole_levels

ROOT = Path(restorekit.__file__).parent.parent


def nearest(value: float, top: int) -> int:
    """Return the level nearest to a float, halves up, in exact arithmetic."""
    return min(top, max(0, (Fraction(value) * top + Fraction(1, 2)).__floor__()))


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_level_comes_back(kind, top):
    pixels = np.arange(top + 1, dtype=kind).reshape(16, -1, 1)
    planes = planes_of(pixels)
    assert planes.dtype == np.float32
    assert planes.min() == 0
    assert planes.max() == 1
    np.testing.assert_array_equal(planes[0], (pixels[..., 0] / top).astype(np.float32))
    np.testing.assert_array_equal(pixels_of(planes, kind), pixels)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_numbers_become_the_nearest_level_halves_up(kind):
    top = np.iinfo(kind).max
    random = np.random.default_rng(0).uniform(-0.1, 1.1, 2000)
    halves = ((np.arange(0, 255) + 0.5) / top).astype(np.float32)
    around = [halves, np.nextafter(halves, np.float32(0)), np.nextafter(halves, np.float32(1))]
    values = np.concatenate([random.astype(np.float32), *around])
    np.testing.assert_array_equal(whole(values, kind), [nearest(value, top) for value in values.tolist()])


def test_the_product_in_float32_that_becomes_a_half_is_none():
    """Just below half a level; in float32 adding a half gives a whole 1."""
    below = np.nextafter(np.float32(0.5) / np.float32(255), np.float32(0))
    assert np.floor(below * np.float32(255) + np.float32(0.5)) == 1
    assert whole(np.array([below])) == to_levels(torch.tensor([below])) == nearest(float(below), 255) == 0


def test_tensors_and_arrays_follow_one_rule():
    image = torch.rand(2, 3, 40, 50, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1
    expected = whole(image.numpy())
    assert torch.equal(to_levels(image), torch.from_numpy(expected))
    np.testing.assert_array_equal(whole_levels(image), expected)
    np.testing.assert_array_equal(levels(image), expected)
    np.testing.assert_array_equal(to_pixels(image), expected.transpose(0, 2, 3, 1))


def test_images_and_pixels_are_turned():
    pixels = np.random.default_rng(2).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = to_image(pixels)
    assert image.shape == (1, 3, 5, 7)
    assert image.is_contiguous()
    assert float(image[0, 2, 4, 6]) == np.float32(pixels[4, 6, 2] / 255)
    np.testing.assert_array_equal(to_pixels(image)[0], pixels)
    np.testing.assert_array_equal(to_pixels(image.bfloat16()[..., :0]), pixels[None, :, :0])
    assert to_image(np.stack([pixels, pixels])).shape == (2, 3, 5, 7)
    assert to_image(pixels, double=True).dtype == torch.float64
    assert torch.equal(unit(torch.from_numpy(pixels)), image[0].permute(1, 2, 0))


def test_luma_is_that_of_bt601():
    colours = np.array([[255.0, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]])
    expected = [76.245, 149.685, 29.07, 2.99 + 11.74 + 3.42]
    np.testing.assert_allclose(luma(*colours.T), expected)
    np.testing.assert_allclose(luma(*torch.from_numpy(colours).unbind(1)), expected)


# The rule itself; a truncation and another luma; what a foreign network was trained on.
OWN = {
    "restorekit/pixels.py",
    "restorekit/metrics/protocols.py",
    "plugins/restorekit-pix2pix/restorekit_pix2pix/espnet.py",
}
CONVERSION = re.compile(r"(?<!\d )/ 255|mul\(255|div\(255|\* 255\)\.(round|floor|byte)|0\.299 ?\*")


def test_no_room_converts_on_its_own():
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in [*ROOT.glob("restorekit/**/*.py"), *ROOT.glob("plugins/*/restorekit_*/**/*.py")]
        if path.relative_to(ROOT).as_posix() not in OWN and "templates" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if CONVERSION.search(line.partition("#")[0])
    ]
    assert found == [
        "plugins/restorekit-derain/restorekit_derain/losses.py: self.low, self.high = low / 255, high / 255"
    ]
