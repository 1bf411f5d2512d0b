"""The tool that averages runs: the mean itself, the run folder that comes out, and what it refuses."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from restorekit.networks import build_generator
from restorekit.plugin.registry import registry
from restorekit.recipe import apply_overrides, to_toml
from restorekit.recipe.check import model_recipe
from restorekit.weights.files import read_state, recipe_of, save_weights

TOOL = Path(__file__).resolve().parents[1] / "benchmarks" / "tools" / "average_weights.py"
spec = importlib.util.spec_from_file_location("average_weights", TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def run_of(folder: Path, seed: int, widths: str = "[8,16]") -> Path:
    recipe = apply_overrides(
        model_recipe(registry(), "derain"), (f"generator.widths={widths}", "generator.blocks=[1,1]", f"seed={seed}")
    )
    torch.manual_seed(seed)
    (folder / "weights").mkdir(parents=True)
    save_weights(folder / "weights" / "last.safetensors", build_generator(recipe), recipe)
    (folder / "recipe.toml").write_text(to_toml(recipe))
    (folder / "run.json").write_text("{}")
    (folder / "status.json").write_text("{}")
    (folder / "command.txt").write_text(f"restorekit train derain --set seed={seed}\n")
    return folder


def averaged(*words: object):
    return CliRunner().invoke(tool.main, [str(word) for word in words])


def test_the_average_is_a_run_of_the_first_with_the_mean_of_all_weights(tmp_path):
    one, two = (run_of(tmp_path / f"run-{seed}", seed) for seed in (1, 2))
    done = averaged(f"{one}=3", f"{two}=1", "-o", tmp_path / "mean")
    assert done.exit_code == 0, done.output
    file, *states = (folder / "weights" / "last.safetensors" for folder in (tmp_path / "mean", one, two))
    mean, first, second = read_state(file), *map(read_state, states)
    for name, value in mean.items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])
    assert recipe_of(file).seed == 1
    commands = (tmp_path / "mean" / "command.txt").read_text().splitlines()
    assert commands[0] == "restorekit train derain --set seed=1"
    assert commands[1].endswith(f"average_weights.py {one}=3 {two}=1 -o {tmp_path / 'mean'}")


@pytest.mark.parametrize("words", ["run-1=0", "run-1", "=1", "run-1=-2", "run-1=inf", "run-1=nan", "run-1=x"])
def test_what_is_no_share_is_refused(words):
    done = averaged(words, "-o", "mean")
    assert done.exit_code == 2
    assert "is not WEIGHTS=SHARE with a share above 0" in done.output


def test_other_networks_other_places_and_a_first_without_recipe_are_refused(tmp_path):
    one, wider = run_of(tmp_path / "one", 1), run_of(tmp_path / "wider", 1, "[16,16]")
    assert "weights of another network" in averaged(f"{one}=1", f"{wider}=1", "-o", tmp_path / "mean").output
    assert not (tmp_path / "mean").exists()
    assert "is there already" in averaged(f"{one}=1", "-o", one).output
    file = one / "weights" / "last.safetensors"
    assert "is no run folder" in averaged(f"{file}=1", "-o", tmp_path / "mean").output
