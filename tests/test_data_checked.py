"""Checks that run by themselves: once for each set, and said in one line."""

from __future__ import annotations

import numpy as np
import pytest

from restorekit.data import checked as module
from restorekit.data.checked import checked, in_words
from restorekit.data.imageset import ImageSet, RawSample


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pairs(fingerprint="f", names=("good", "shifted", "same")):
    clean = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    degraded = {"good": clean // 2, "shifted": np.roll(clean, 5, axis=1), "same": clean}
    raw = [RawSample(name, degraded[name], clean) for name in names]
    return ImageSet("set@test", "raindrop", True, tuple(names), fingerprint, raw.__getitem__)


def test_what_is_found_is_said():
    assert in_words(checked(pairs())) == "Checked: 3 pairs, shifted look shifted, same equal on both sides."
    assert in_words(checked(pairs("g", ("good",)))) == "Checked: 1 pairs, all aligned."


def test_a_set_is_looked_through_once(monkeypatch, cache):
    first = checked(pairs())

    def again(images):
        raise AssertionError("it was looked through again")

    monkeypatch.setattr(module, "check_set", again)
    assert checked(pairs()) == first
    with pytest.raises(AssertionError):
        checked(pairs("other"))
    monkeypatch.undo()


def test_a_damaged_or_closed_cache_costs_nothing_but_time(cache, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_CACHE", str(cache))
    first = checked(pairs())
    (file,) = (cache / "checks").iterdir()
    file.write_text('{"label": 3}')
    assert checked(pairs()) == first
    (cache / "file").write_text("")
    monkeypatch.setenv("RESTOREKIT_CACHE", str(cache / "file"))
    assert checked(pairs()) == first
    assert list((cache / "checks").iterdir()) == [file]
