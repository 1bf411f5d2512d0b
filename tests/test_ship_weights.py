"""The tool that ships weights with this repository's plugins leaves what it writes to `restorekit weights pack`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import stand_ins
from click.testing import CliRunner

from restorekit.plugin.registry import registry
from restorekit.recipe import apply_overrides
from restorekit.recipe.check import model_recipe
from restorekit.weights import pack as packing
from restorekit.weights.files import read_facts
from restorekit.weights.manifest import Shipped, read_manifest, verify

TOOL = Path(__file__).resolve().parents[1] / "benchmarks" / "tools" / "ship_weights.py"
SUMMARY = {
    "dataset": "raindrop@builtin",
    "rows": [
        {
            "model": "remaen",
            "state": "done",
            "images": 18,
            "share_worse": 0.0,
            "gains": {"psnr-rgb": {"mean": 2.0, "low": 1.0, "high": 3.0}, "ssim-rgb": {}},
            "means": {"psnr-rgb": {"mean": 24.0}},
        }
    ],
}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("ship_weights", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    package = tmp_path / "restorekit_remaen"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(module, "folder_of", lambda location: package / "weights")
    monkeypatch.setattr(module, "BUILTIN", {"raindrop": "raindrop@builtin"})
    gains = iter([[2.0, 3.0], [2.5, 2.498]])
    monkeypatch.setattr(packing, "measured_gains", lambda network, task: next(gains))
    return module


@pytest.mark.slow
def test_a_run_is_packed_and_its_card_tells_how_it_was_made(tool, tmp_path):
    run, photos = tmp_path / "runs" / "remaen", tmp_path / "photos"
    stand_ins.run_of("remaen")(run)
    stand_ins.photographs(photos / "bsds")
    (run / "command.txt").write_text("restorekit train remaen --data photographs/bsds\n")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"init": "1" * 64}))
    folder = tmp_path / "restorekit_remaen" / "weights"
    folder.mkdir()
    before = {"remaen": {"file": "remaen.safetensors", "sha256": "1" * 64, "seen": [f"{2:016x}"]}}
    (folder / "manifest.json").write_text(json.dumps(before))
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    arguments = [str(run), "--photos", str(photos), "--summary", str(tmp_path / "summary.json")]
    done = CliRunner().invoke(tool.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    [shipped] = read_manifest(folder).values()
    verify(shipped)
    assert shipped.seen == (2,)  # what the weights that it began with had seen
    assert (shipped.model, shipped.gain, shipped.license) == ("remaen", 2.5, "CC-BY-NC-4.0")
    assert read_facts(shipped.path)["restorekit.license"] == "CC-BY-NC-4.0"
    card = shipped.path.with_suffix(".md").read_text()
    for text in (
        "- Storage: float16 (float16 changes PSNR by -0.0010 dB).",
        "BSDS500: non-commercial research and education",
        "perceptual hashes of 3 photographs compared",
        "    restorekit train remaen --data photographs/bsds",
        "| raindrop@builtin | 18 | rgb | 24.00 | +2.00 [+1.00, +3.00] | 0% |",
    ):
        assert text in card
    assert shipped.path.with_suffix(".toml").is_file()


def test_what_weights_have_seen_is_told_by_both_sides_of_pairs_and_by_photographs(tool, tmp_path):
    stand_ins.pairs(tmp_path / "pairs")
    stand_ins.cutouts(tmp_path / "cutouts")
    folders = {"pairs": "pairs", "pseudo_pairs": "cutouts", "cutouts": "cutouts"}
    settings = {name: str(tmp_path / folder) for name, folder in folders.items()}
    recipe = apply_overrides(
        model_recipe(registry(), "derain"),
        ("data.synthesis.task=rain", *(f"data.synthesis.{name}={folder}" for name, folder in settings.items())),
    )
    assert len(tool.seen_of(recipe, "pairs")) == 4
    assert [len(tool.seen_of(recipe, setting)) for setting in tool.UNPAIRED] == [2, 2]
    assert tool.seen_of(model_recipe(registry(), "derain"), "pairs") == []


@pytest.mark.parametrize(("begun", "expected"), [("0" * 64, {1, 2}), (None, set())])
def test_weights_that_began_at_others_have_seen_what_those_had(tool, tmp_path, begun, expected):
    (tmp_path / "run.json").write_text(json.dumps({"init": begun}))
    assert tool.inherited(tmp_path, Shipped("derain", tmp_path / "w", "1" * 64, seen=(1, 2))) == expected
    assert tool.inherited(tmp_path, None) == set()


@pytest.mark.parametrize(
    ("made", "file", "said"),
    [
        ("restorekit train remaen", "last", "of the last command below; its last step is what ships"),
        ("restorekit train remaen", "best-psnr-rgb", "of the last command below; its best evaluation is what ships"),
        ("python benchmarks/tools/average_weights.py a=1 b=1 -o c", "last", "the average that the last line makes"),
    ],
)
def test_the_card_tells_an_average_from_a_step(tool, tmp_path, made, file, said):
    (tmp_path / "command.txt").write_text(f"restorekit train remaen --set seed=1\n{made}\n")
    assert said in tool._what_ships(tmp_path, tmp_path / f"{file}.safetensors")


@pytest.mark.parametrize("given", ["cutouts=CUTOUTS", "pseudo_pairs=WET", "cutouts=CUTOUTS pseudo_pairs=WET"])
def test_the_licence_of_photographs_that_lend_their_drops_is_told_once(tool, given):
    assert tool._licences([f"restorekit train derain {given}"]).count("wet glass") == 1
