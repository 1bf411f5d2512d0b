"""``restorekit runs``: folders as people leave them behind."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from restorekit.cli.runs import command
from restorekit.errors import DataError, RecipeError
from restorekit.recipe import Recipe, to_toml


@pytest.fixture
def runs(tmp_path):
    recipe = Recipe.read({"name": "tiny", "task": "raindrop", "generator": "unet", "losses": {"l1": {"weight": 1}}})
    for name in ("damaged", "good"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "recipe.toml").write_text(to_toml(recipe))
        (folder / "status.json").write_text(json.dumps({"step": 7, "best": {"psnr-rgb": 20.5}}))
    return tmp_path / "runs"


def _run(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("file", "text"), [("run.json", '{"x'), ("status.json", "[1]"), ("recipe.toml", "= 3"), ("recipe.toml", "x = 3")]
)
def test_a_damaged_run_is_named_and_hides_no_other(runs, file, text, caplog):
    (runs / "damaged" / file).write_text(text)
    with pytest.raises((DataError, RecipeError)):
        _run("show", runs / "damaged")
    result = _run("list", runs)
    assert result.exit_code == 0
    assert f"{runs / 'damaged'} is left out" in caplog.text
    assert "psnr-rgb 20.500" in result.stdout
    assert [row["run"] for row in json.loads(_run("list", runs, "--json").stdout)] == [str(runs / "good")]


def test_a_damaged_file_of_a_run_is_named(runs):
    (runs / "damaged" / "status.json").write_text("")
    with pytest.raises(DataError, match=r"status\.json is damaged .*move it away"):
        _run("show", runs / "damaged")


def test_a_folder_without_runs_is_said_to_have_none(runs):
    for folder in (runs / "good", runs / "absent"):
        assert _run("list", folder).stdout.startswith(f"No runs in {folder}.")
        assert json.loads(_run("list", folder, "--json").stdout) == []


def test_plots_of_runs_with_equal_names_and_of_runs_without_logs(runs, tmp_path):
    with pytest.raises(DataError, match=r"nothing was logged yet in .*good"):
        _run("plot", runs / "good", "-o", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    twins = [runs / "good", runs.parent / "others" / "good"]
    shutil.copytree(*twins)
    for run in twins:
        (run / "log.csv").write_text("step,generator/l1\n1,0.5\n2,0.25\n")
    labels = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("restorekit.engine.run.pictures._panel", lambda axes, title, scale, chosen: labels.extend(chosen))
        _run("plot", *twins, "-o", tmp_path / "both.png")
    assert labels == [f"{run}: generator/l1" for run in twins]


def test_a_run_may_be_called_after_a_norm(runs, tmp_path):
    names = ("batchnorm", "groupnorm")
    for name in names:
        shutil.copytree(runs / "good", runs / name)
        (runs / name / "log.csv").write_text("step,generator/l1,norm/generator\n1,0.5,1\n2,0.25,1\n")
    result = _run("plot", *(runs / name for name in names), "-o", tmp_path / "norms.png")
    assert result.exit_code == 0
    assert (tmp_path / "norms.png").exists()
