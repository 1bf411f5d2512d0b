"""Drops found on photographs without a clean side, by benchmarks/tools/cut_out_drops.py."""

from __future__ import annotations

import sys
from pathlib import Path

import cut_out_drops
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from restorekit.data.sets import resolve

PLACES = ((30, 40), (30, 90), (70, 60), (100, 120))


def pane(seed: int = 0) -> np.ndarray:
    """A smooth scene [128, 160] with four drops, half dark and half bright, 10 pixels wide."""
    rng = np.random.default_rng(seed)
    scene = 0.5 + 2 * ndimage.gaussian_filter(rng.standard_normal((128, 160)), 25)
    rows, columns = np.mgrid[:128, :160]
    for row, column in PLACES:
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= 25
        scene[inside] += np.where(rows[inside] > row, 0.3, -0.3)
    return scene.clip(0, 1).astype(np.float32)


def test_drops_on_a_pane_are_found_whole_and_apart():
    drops = cut_out_drops.drops_on_pane(pane())
    labels, count = ndimage.label(drops)
    assert count == 4
    assert len({labels[place] for place in PLACES} - {0}) == 4
    assert all(50 <= size <= 160 for size in np.bincount(labels.ravel())[1:])


def test_a_mask_gives_what_is_compact_and_sure():
    mask = np.zeros((64, 96), np.float32)
    mask[10:20, 10:20] = 0.9
    mask[10:20, 40:50] = 0.7  # never sure
    mask[50:52, 60:62] = 1.0  # too small
    found = cut_out_drops.drops_of_mask(mask)
    assert found[15, 15]
    assert not found[15, 45]
    assert not found[51, 61]


def test_drops_are_dealt_out_each_once():
    drops = cut_out_drops.drops_on_pane(pane())
    parts = cut_out_drops.dealt(drops, 3)
    assert np.array_equal(np.sum(parts, axis=0), drops.astype(int))


def test_a_filled_photograph_keeps_what_is_no_drop():
    photo = np.repeat(pane()[..., None], 3, 2)
    drops = cut_out_drops.drops_on_pane(pane())
    filled = cut_out_drops.filled(photo, drops)
    around = ndimage.binary_dilation(drops, iterations=2)
    assert np.array_equal(filled[~around], photo[~around])
    assert abs(filled[35, 40, 0] - photo[50, 40, 0]) < 0.1  # the drop shows 0.3 more


def test_the_entries_are_what_the_synthesizer_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photo = (pane()[..., None].repeat(3, 2) * 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "near.png")
    out = tmp_path / "cut"
    monkeypatch.setattr(sys, "argv", ["cut", str(tmp_path / "near.png"), "-o", str(out), "--pane", "--parts", "2"])
    cut_out_drops.main()
    samples = list(resolve(out))
    assert [sample.name for sample in samples] == ["near-0", "near-1"]
    assert all(sample.clean is not None and sample.mask is not None for sample in samples)
    assert sum(int(ndimage.label(sample.mask)[1]) for sample in samples) == 4
