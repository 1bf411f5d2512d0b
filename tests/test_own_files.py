"""restorekit's own files with other contents: the file is named, listings go on, a resume takes what is good."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from restorekit.benchmark.records import ImageRecord, as_values, read_cost, read_image
from restorekit.benchmark.runner import _is_picture
from restorekit.benchmark.samples import write_png
from restorekit.benchmark.store import RESULTS, Store
from restorekit.cli.main import cli
from restorekit.engine.run import precautions
from restorekit.engine.run.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from restorekit.engine.run.logs import _Board, read_rows
from restorekit.errors import DataError, RecipeError, TrainingError
from restorekit.jsonfile import json_lines, read_file, read_table
from restorekit.plugin.registry import registry
from restorekit.recipe import apply_overrides, from_toml, to_toml
from restorekit.recipe.check import model_recipe

BRACKETS = "[" * 100_000
WRONG = {
    "empty": "",
    "a list": "[1, 2]",
    "a number": "3",
    "null": "null",
    "brackets": BRACKETS,
    "many digits": '{"step": ' + "9" * 5000 + "}",
    "other contents": '{"best": [1], "step": "x", "seconds": {}, "data": 4, "completed": "perhaps"}',
    "half": '{"step": 1',
    "not text": "\udcff",
}


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(to_toml(model_recipe(registry(), "remaen")))
    return folder


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("name", ["status.json", "run.json", "recipe.toml"])
def test_one_bad_run_does_not_hide_the_others(run, tmp_path, name, case):
    good = tmp_path / "runs" / "two"
    good.mkdir()
    (good / "recipe.toml").write_text((run / "recipe.toml").read_text())
    written(run / name, WRONG[case])
    result = CliRunner().invoke(cli, ["runs", "list", str(tmp_path / "runs")], catch_exceptions=False)
    assert result.exit_code == 0
    assert "two" in result.output
    harmless = (name, case) == ("run.json", "many digits")  # no field of it is read
    assert harmless or f"{run} is left out" in result.output


def test_a_folder_where_a_file_should_be(run):
    (run / "status.json").mkdir()
    with pytest.raises(DataError, match=r"status\.json is damaged"):
        read_table(run / "status.json", dict)


@pytest.mark.parametrize("case", WRONG)
def test_one_bad_record_does_not_hide_the_other_sets(tmp_path, monkeypatch, case):
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path))
    written(tmp_path / "raindrop" / "test-a" / "set.json", WRONG[case])
    result = CliRunner().invoke(cli, ["data", "list"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "set.json is damaged" in result.output
    assert "data add raindrop PATH --force" in result.output
    assert "rain100l" in result.output


def test_what_is_wrong_and_where_is_said(tmp_path):
    path = written(tmp_path / "x.json", '{"a": [1, 2, "three"]}')
    with pytest.raises(DataError, match=r"x\.json is damaged \(a\.2: .* integer.*\); start anew"):
        read_file(path, dict[str, list[int]], "start anew")


GOOD = ImageRecord("m", "a", 4, 5, {"psnr-rgb": float("inf")})


def test_results_of_another_shape_are_done_again(tmp_path):
    facts = {"key": "k", "dataset": "set", "fingerprint": "f"}
    good = {"type": "image", **facts, **as_values(GOOD)}
    wrong = [{**good, "image": "b", "scores": 3}, {**good, "image": "c", "height": "tall"}, {**good, "image": ["d"]}]
    wrong += [{"type": "image", **facts, "model": "m"}, {"type": "cost", **facts, "model": "m", "height": 4}]
    lines = [json.dumps(line) for line in (good, *wrong)]
    written(tmp_path / RESULTS, "\n".join([BRACKETS, "7", "[]", *lines]))
    store = Store(tmp_path, "set", "f")
    assert store.images("m", "k") == {"a": GOOD}
    assert store.cost("m", "k", 4, 5) is None


def test_records_are_read_as_what_they_are():
    assert read_image({"type": "image", **as_values(GOOD)}) == GOOD
    assert read_cost({"type": "image", **as_values(GOOD)}) is None


def test_lines_of_a_folder_are_a_named_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        json_lines(tmp_path)


def test_logs_that_are_none(tmp_path):
    assert read_rows(written(tmp_path / "log.csv", "step,a\n1,2\nx,y\n\udcff,3\n2,4\n")) == [
        {"step": 1, "a": 2},
        {"step": 2, "a": 4},
    ]
    with pytest.raises(DataError, match=r"validation\.csv is damaged"):
        read_rows(written(tmp_path / "validation.csv", "step\n" + "9" * 200_000))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv is damaged"):
        read_rows(tmp_path / "folder.csv")


PARTS = {"engine": ("networks", "updaters"), "progress": ()}
STATE = {"engine": {"networks": {}, "updaters": {}}, "progress": {"best": {}}}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: {**state, "engine": {"networks": {}}},
        lambda state: {**state, "progress": None},
        lambda state: {"engine": state["engine"]},
        lambda state: {**state, "step": "two"},
        lambda state: [1],
    ],
)
def test_a_checkpoint_without_a_part_is_passed_over_for_an_older_one(tmp_path, caplog, spoil):
    save_checkpoint(tmp_path, 1, STATE)
    newest = save_checkpoint(tmp_path, 2, STATE)
    torch.save(spoil({"step": 2, **STATE}), newest)
    assert load_checkpoint(tmp_path, torch.device("cpu"), PARTS)["step"] == 1
    assert "step-000000002.pt" in caplog.text
    (tmp_path / "step-000000001.pt").unlink()
    with pytest.raises(TrainingError, match="no checkpoint in"):
        load_checkpoint(tmp_path, torch.device("cpu"), PARTS)


def test_a_folder_called_like_a_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, STATE)
    (tmp_path / "step-000000003.pt").mkdir()
    assert load_checkpoint(tmp_path, torch.device("cpu"), PARTS)["step"] == 1


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_tensorboard_folder_that_is_removed_begins_anew(tmp_path):
    board = _Board(tmp_path / "tensorboard", 0)
    board.add({"loss": 1.0}, 1)
    board._writer.flush()
    shutil.rmtree(tmp_path / "tensorboard")
    board.add({"loss": 2.0}, 2)
    board.close()
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize("text", ["a = " + "[" * 10_000, "seed = " + "9" * 5000, "steps = 1\nsteps = 2"])
def test_recipes_that_cannot_be_read(text):
    with pytest.raises(RecipeError, match="is not valid TOML"):
        from_toml(text, "the recipe in x")


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    write_atomically(path, lambda beside: beside.write_text("x"))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_output_that_something_has_spoiled_is_restored_again(tmp_path):
    good, junk, other = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    write_png(good, np.zeros((4, 5, 3), np.uint8))
    write_png(other, np.zeros((5, 5, 3), np.uint8))
    junk.write_bytes(good.read_bytes()[:40])
    record = ImageRecord("m", "a", 4, 5, {"psnr-rgb": 1.0})
    assert _is_picture(good, record)
    for path in (junk, other, tmp_path / "absent.png", tmp_path):
        assert not _is_picture(path, record)


def test_a_batch_that_no_memory_holds_is_refused_at_once(monkeypatch):
    recipe = model_recipe(registry(), "remaen")
    free = SimpleNamespace(available=2**30)
    monkeypatch.setattr(precautions.psutil, "virtual_memory", lambda: free)
    large = apply_overrides(recipe, ["data.batch=65536", "data.crop=1024"])
    with pytest.raises(TrainingError, match=r"data\.batch=65536 with data\.crop=1024 needs 1,920\.0 GiB"):
        precautions.require_memory(large, 1)
    precautions.require_memory(apply_overrides(recipe, ["data.batch=8", "data.crop=128"]), 1)
