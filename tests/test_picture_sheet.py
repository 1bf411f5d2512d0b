"""The picture sheets of benchmarks/tools/picture_sheet.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_sheet import Case, chosen, cropped, main
from PIL import Image

from restorekit.data.imageset import RawSample


def write(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 60, 3), level, np.uint8)).save(path)


def test_best_and_worst_cases_are_chosen_once() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    found = [Case(RawSample(str(gain), pixels, pixels), pixels, 20.0, 20.0 + gain) for gain in (1, -2, 3, 0, -1)]
    assert [case.sample.name for case in chosen(found, 2, 1)] == ["3", "1", "-2"]
    assert [case.gain for case in chosen(found, 4, 4)] == [3, 1, 0, -1, -2]


@pytest.mark.parametrize(("clean", "columns"), [(True, 3), (False, 2)])
def test_a_sheet_of_a_folder(tmp_path: Path, clean: bool, columns: int) -> None:
    places = ("photos/input", "photos/target") if clean else ("photos",)
    for place in places:
        for name in ("a", "b"):
            write(tmp_path / place / f"{name}.png", 90)
    sheet = tmp_path / "sheet.png"
    assert main(["rain2avoid-plus", "--dataset", str(tmp_path / "photos"), "-o", str(sheet), "--device", "cpu"]) == 0
    with Image.open(sheet) as picture:
        assert picture.width == columns * (400 + 8) + 8


def test_a_crop_is_the_square_that_was_changed_most() -> None:
    degraded = np.zeros((40, 60, 3), np.uint8)
    restored = degraded.copy()
    restored[25:30, 41:48] = 200
    case = cropped(Case(RawSample("a", degraded, degraded), restored), 8)
    assert case.restored.shape == case.sample.degraded.shape == (8, 8, 3)
    assert (case.restored > 0).sum() == 3 * 5 * 7
    assert cropped(Case(RawSample("a", degraded), restored), 100).restored.shape == (40, 60, 3)
