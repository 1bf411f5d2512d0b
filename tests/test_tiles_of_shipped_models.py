"""Shipped networks that look at the whole image give in tiles what they give without.

Only names that were there before are used, so that these tests can be run on the code that had the fault.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

import restorekit


def two_scenes(height: int, width: int) -> Image.Image:
    """A dark face beside a bright table: the means of each half's channels are not those of both."""
    scenes = (data.astronaut()[:, :256] // 4, data.coffee())
    halves = [np.asarray(Image.fromarray(scene).resize((width // 2, height))) for scene in scenes]
    return Image.fromarray(np.concatenate(halves, 1))


def restored(model: str, tile: int | str, image: Image.Image) -> np.ndarray:
    restorer = restorekit.load(model, device="cpu", precision="fp32", tile=tile)
    return np.asarray(restorer.restore(image)).astype(int)


def test_chosen_tiles_of_two_scenes_give_what_the_whole_image_gives(monkeypatch):
    """Each tile had the means of its own, by up to 46 levels, and nothing was said."""
    scenes = two_scenes(144, 320)
    monkeypatch.setattr("restorekit.restoring.restorer.memory_budget", lambda device: 80_000_000)  # tiles of 150
    assert np.abs(restored("remaen", 0, scenes) - restored("remaen", "auto", scenes)).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pix2pix-channel", "pix2pix-both", "derain"])
def test_tiles_that_are_asked_for_do_too(model):
    scenes = two_scenes(350, 1012)
    assert np.abs(restored(model, 0, scenes) - restored(model, 320, scenes)).max() <= 2
