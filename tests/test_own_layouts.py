"""Data sets whose folders are called as nobody else's, or that pair their files themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.data.cards import DatasetCard, Split
from restorekit.data.pairing import FilePair, NoPairsError
from restorekit.data.plan import plan_import
from restorekit.errors import PluginError, UnknownNameError


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    return root


def card(**fields) -> DatasetCard:
    splits = {"train": Split(folders=("train",)), "test": Split()}
    return DatasetCard(name="mine", title="Mine", task="raindrop", splits=splits, **fields)


def test_folders_of_any_name_are_paired(tmp_path):
    root = fill(tmp_path, "train/Wet/1.png", "train/dry/1.png", "wet/2.png", "wet/3.png", "dry/2.png", "dry/3.png")
    plans = {plan.split: plan for plan in plan_import(card(sides=("wet", "dry")), root, None, "")}
    assert [p.name for p in plans["train"].files.pairs] == ["1"]
    pairs = plans["test"].files.pairs
    assert [(p.degraded.parent.name, p.clean.parent.name) for p in pairs] == [("wet", "dry")] * 2
    with pytest.raises(NoPairsError):
        plan_import(card(sides=("dirty", "dry")), root, None, "")


def test_a_function_of_its_own_pairs(tmp_path):
    root = fill(tmp_path, "a-with.png", "a-without.png")

    def pair(folder: Path) -> dict[str, list[FilePair]]:
        return {"test": [FilePair("a", folder / "a-with.png", folder / "a-without.png")]}

    [plan] = plan_import(card(pair=pair), root, None, "")
    assert (plan.split, plan.files.pairs[0].clean.name) == ("test", "a-without.png")


@pytest.mark.parametrize(
    ("pair", "error", "message"),
    [
        (lambda folder: {"tset": []}, UnknownNameError, "no split 'tset'"),
        (lambda folder: {"test": ["a"]}, PluginError, "gave a str, not FilePair"),
        (lambda folder: 1 / 0, PluginError, r"its function `pair` failed \(ZeroDivisionError"),
        (lambda folder: {}, NoPairsError, "no pairs"),
    ],
)
def test_what_such_a_function_gives_is_checked(tmp_path, pair, error, message):
    with pytest.raises(error, match=message):
        plan_import(card(pair=pair), fill(tmp_path, "a.png"), None, "")
