"""Whole commands meet broken files, names that are no UTF-8, links and pipes: named, carried, followed, not waited for."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.cli.ending import guarded
from restorekit.cli.main import cli
from restorekit.data.sets import training_part

MODEL = ["--device", "cpu", "--precision", "fp32"]
CLIPPED = os.fsdecode(b"caf\xe9")  # Latin-1, as old archives and cameras write it
BROKEN = b"II*\0\x08\0\0\0\xff\xff"  # a TIFF whose list of tags leads nowhere


@dataclass
class Ended:
    """How a command ended."""

    code: object
    out: str
    err: str


def stream():
    return io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)


def command(*arguments):
    """Run a command within this process, up to the sentence and the code that it ends with."""
    out, err = stream(), stream()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        guarded(lambda: cli([str(argument) for argument in arguments], prog_name="restorekit", standalone_mode=False))
    return Ended(end.value.code, *(part.buffer.getvalue().decode() for part in (out, err)))


def pairs(folder, *stems):
    rng = np.random.default_rng(3)
    for kind in ("input", "target"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for stem in stems:
            Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(folder / kind / f"{stem}.png")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_CACHE", str(tmp_path / "cache"))


# ---- a file that no decoder takes ----


@pytest.mark.parametrize("where", ["benchmark", "score", "score-outputs", "train", "check"])
def test_a_broken_file_is_named_by_every_command(tmp_path, where):
    data, outputs = pairs(tmp_path / "set", "a", "b"), tmp_path / "outputs"
    outputs.mkdir()
    for path in (data / "target").iterdir():
        (outputs / path.name).write_bytes(path.read_bytes())
    (outputs / "b.png" if where == "score-outputs" else data / "input" / "b.png").write_bytes(BROKEN)
    result = {
        "benchmark": lambda: command(
            "benchmark", "--models", "derain", "--dataset", data, "-o", tmp_path / "o", *MODEL
        ),
        "score": lambda: command("score", outputs, "--dataset", data),
        "score-outputs": lambda: command("score", outputs, "--dataset", data),
        "train": lambda: command("train", "derain", "--data", data, "--val", "none", "-o", tmp_path / "run", *MODEL),
        "check": lambda: command("data", "check", data),
    }[where]()
    assert result.code == 1
    assert "b.png" in result.out + result.err
    assert "Traceback" not in result.err


# ---- names that are no UTF-8 ----


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8")
def test_names_that_are_no_utf_8_go_through_every_command(tmp_path):
    data = pairs(tmp_path / CLIPPED, f"{CLIPPED}-1", f"{CLIPPED}-2")
    made = command(
        "restore", data / "input", "-m", "derain", "-o", tmp_path / "clean", "--log", tmp_path / "log", *MODEL
    )
    assert made.code == 0, made.err
    outputs = sorted(os.fsencode(path.name) for path in (tmp_path / "clean").iterdir())
    assert outputs == [b"caf\xe9-1.png", b"caf\xe9-2.png"]
    for folder, more in (("one", []), ("two", ["--limit", "1"])):
        arguments = ("--models", "derain", "--dataset", data, "-o", tmp_path / folder, *more, *MODEL)
        assert command("benchmark", *arguments).code == 0
    for name in ("one", "two"):
        for file in ("index.html", "table.csv", "results.jsonl", "summary.json"):
            text = (tmp_path / name / file).read_text(encoding="utf-8")  # which it could not be with surrogates in it
            assert file == "table.csv" or "caf" in text
    assert command("score", tmp_path / "clean", "--dataset", data, "-o", tmp_path / "scored").code == 0
    assert command("compare", tmp_path / "one", tmp_path / "scored", "-o", tmp_path / "compared").code == 0
    assert "caf" in (tmp_path / "compared" / "index.html").read_text(encoding="utf-8")
    checked = command("data", "check", data, "--json")
    assert checked.code == 0
    assert json.loads(checked.out)["sets"][0]["count"] == 2


# ---- links, pipes and devices ----


def test_training_and_benchmarks_follow_links(tmp_path):
    pairs(tmp_path / "far", "a", "b", "c")
    (tmp_path / "set").mkdir()
    for kind in ("input", "target"):
        (tmp_path / "set" / kind).symlink_to(tmp_path / "far" / kind, target_is_directory=True)
    assert len(training_part(str(tmp_path / "set"))) == 3
    result = command("benchmark", "--models", "derain", "--dataset", tmp_path / "set", "-o", tmp_path / "o", *MODEL)
    assert result.code == 0
    assert len(list((tmp_path / "o" / "outputs" / "derain").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/zero").exists() or not hasattr(os, "mkfifo"), reason="needs pipes and devices")
def test_restore_does_not_wait_for_pipes_nor_read_devices(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (32, 24), (90, 120, 40)).save(photos / "a.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "endless.jpg").symlink_to("/dev/zero")
    (photos / "self.png").symlink_to("self.png")
    done = subprocess.run(
        [sys.executable, "-m", "restorekit", "restore", str(photos), "-m", "derain", "-o", str(tmp_path / "out"), *MODEL],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for name in ("pipe.png", "endless.jpg"):
        assert f"Failed: {photos / name}: " in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_a_folder_for_weights_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    from restorekit.networks import build_generator
    from restorekit.plugin.registry import registry
    from restorekit.recipe.check import model_recipe
    from restorekit.weights.files import save_weights

    recipe = model_recipe(registry(), "derain")
    save_weights(tmp_path / "mine.safetensors", build_generator(recipe), recipe)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RESTOREKIT_WEIGHTS", str(tmp_path / "file" / "weights"))
    result = command("weights", "add", "derain", tmp_path / "mine.safetensors")
    assert result.code == 1
    assert str(tmp_path / "file") in result.err
    assert command("models", "derain").code == 0
