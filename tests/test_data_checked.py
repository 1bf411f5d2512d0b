"""Checks that run by themselves: once for each set, and said in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from restorekit.benchmark.samples import Samples
from restorekit.benchmark.seen import conditions
from restorekit.cli.data import command
from restorekit.data import checked as module
from restorekit.data.checked import checked, in_words
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.data.sets import resolve


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


def test_a_benchmark_says_what_a_run_was_trained_on(tmp_path):
    samples = Samples(pairs(), [0, 1, 2])
    (known,) = {background for _, background in checked(pairs()).hashes}
    for name, backgrounds in (
        ("seen", [known ^ 0b111]),
        ("other", [known ^ 0xFFFFFF]),
        ("damaged", [-1]),
        ("old", None),
    ):
        (tmp_path / name / "weights").mkdir(parents=True)
        facts = {} if backgrounds is None else {"backgrounds": backgrounds}
        (tmp_path / name / "run.json").write_text(json.dumps(facts))
    weights = {name: str(tmp_path / name) for name in ("other", "damaged", "old")}
    said = conditions(samples, {"seen": str(tmp_path / "seen" / "weights" / "last.safetensors"), **weights, "x": "x"})
    found = "Checked: 3 pairs, shifted look shifted, same equal on both sides"
    assert said.startswith(
        f"{found}; 3 of them among the images that seen was trained on ({tmp_path}/seen/weights/last"
    )
    assert "; none of them among the images that other was trained on" in said
    assert "; what damaged was trained on is not known: " in said
    assert " old " not in said
    assert " x " not in said
    assert conditions(samples, {}) == f"{found}."


def test_data_check_keeps_what_it_finds(cache, monkeypatch, tmp_path):
    for kind in ("input", "target"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (32, 24), (9 * number, 20, 30)).save(tmp_path / "set" / kind / f"{number}.png")
    assert CliRunner().invoke(command, ["check", str(tmp_path / "set")]).exit_code == 0
    monkeypatch.setattr(module, "check_set", None)
    assert checked(resolve(tmp_path / "set")).count == 3


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
