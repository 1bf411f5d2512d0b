"""Metrics beyond PSNR and SSIM in benchmarks and scores: their values, tables, settings and failures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from restorekit.benchmark import extra_metrics
from restorekit.benchmark.extra_metrics import chosen_metrics, composed_protocols
from restorekit.benchmark.foreign import score
from restorekit.benchmark.runner import run
from restorekit.benchmark.table import csv_text, extra_lines, markdown
from restorekit.errors import DataError, PluginError, RecipeError, UnknownNameError


class Levels:
    """Mean absolute error in levels, times `factor`."""

    higher_is_better = False
    unit = "levels"

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def __call__(self, restored, clean):
        return 255 * self.factor * (restored - clean).abs().mean((1, 2, 3)).double()


class Failing(Levels):
    def __call__(self, restored, clean):
        raise KeyError("no such layer")


@pytest.fixture
def pairs(tmp_path):
    """Three pairs: the degraded image is 10 levels darker, the output of another program 4."""
    for name, levels in (("set/input", 10), ("set/target", 0), ("mine", 4)):
        (tmp_path / name).mkdir(parents=True)
        for index in range(3):
            pixels = np.full((24, 32, 3), 100 + index - levels, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index:03}.png")
    return tmp_path


@pytest.fixture
def levels(monkeypatch):
    monkeypatch.setattr(extra_metrics, "create", lambda kind, name, **settings: Levels(**settings))
    return chosen_metrics(["levels"], ["levels.factor=2"])


def test_other_programs_are_measured_by_it(pairs, levels, tmp_path):
    report = score(pairs / "mine", pairs / "set", tmp_path / "out", metrics=levels)
    degraded, mine = report.summary.rows
    assert degraded.means["levels (factor=2)"].mean == pytest.approx(20)
    assert mine.means["levels (factor=2)"].mean == pytest.approx(8)
    assert mine.gains["levels (factor=2)"].mean == pytest.approx(-12)
    assert "| levels (factor=2) ↓ (difference [95 %]) |" in markdown(report.summary)
    assert "| 8.0000 (-12.0000 [-12.0000, -12.0000]) |" in markdown(report.summary)
    assert "levels (factor=2)_mean" in csv_text(report.summary)
    assert extra_lines(report.summary)[0] == "levels (factor=2) ↓, and its difference from the input [95 %]:"
    values = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert values["metrics"] == {"levels (factor=2)": {"higher_is_better": False, "unit": "levels"}}
    line = json.loads((tmp_path / "out" / "results.jsonl").read_text().splitlines()[-1])
    assert line["scores"]["levels (factor=2)"] == pytest.approx(8)


def test_finished_benchmarks_are_measured_without_restoring_again(pairs, levels, tmp_path, monkeypatch):
    out = tmp_path / "out"
    before = run("pix2pix-small", pairs / "set", out, device="cpu", precision="fp32")
    monkeypatch.setattr("restorekit.restoring.restorer.Restorer.restore_tensor", None)  # must not be asked
    after = run("pix2pix-small", pairs / "set", out, device="cpu", precision="fp32", metrics=levels)
    row = after.summary.rows[1]
    assert row.means["psnr-rgb"] == before.summary.rows[1].means["psnr-rgb"]
    restored = np.stack([np.asarray(Image.open(out / f"outputs/pix2pix-small/{i:03}.png")) for i in range(3)])
    clean = np.stack([np.asarray(Image.open(pairs / f"set/target/{i:03}.png")) for i in range(3)])
    expected = 2 * np.abs(restored.astype(float) - clean).mean()
    assert row.means["levels (factor=2)"].mean == pytest.approx(expected, rel=1e-5)


def scores_in(out):
    lines = map(json.loads, (out / "results.jsonl").read_text().splitlines())
    return {(line["model"], line["image"]): line["scores"] for line in lines if line["type"] == "image"}


def test_composed_protocols_are_in_every_file(pairs, tmp_path):
    out, wanted = tmp_path / "out", ["rgb+crop6", "y-matlab+resize32"]
    ids = {f"{kind}-{protocol}" for protocol in wanted for kind in ("psnr", "ssim")}
    asked = {"device": "cpu", "precision": "fp32"}
    for path in (pairs / "set/input").iterdir():  # so that cutting the edge off makes a difference
        pixels = np.array(Image.open(path))
        pixels[0] = 255
        Image.fromarray(pixels).save(path)
    run("pix2pix-small", pairs / "set", out, **asked, metrics=composed_protocols(wanted))
    scored = scores_in(out)
    assert len(scored) == 6
    for (model, image), scores in scored.items():
        assert ids < set(scores)
        if model == "degraded input":
            shown, clean = (np.asarray(Image.open(pairs / f"set/{k}/{image}.png")) for k in ("input", "target"))
            parts = [planes[6:-6, 6:-6].astype(float) for planes in (shown, clean)]
            expected = 10 * np.log10(255**2 / ((parts[0] - parts[1]) ** 2).mean())
            assert scores["psnr-rgb+crop6"] == pytest.approx(expected)
            assert scores["psnr-rgb+crop6"] != pytest.approx(scores["psnr-rgb"])
    for name in ("summary.json", "table.md", "table.csv", "index.html"):
        assert all(protocol in (out / name).read_text() for protocol in wanted), name
    # a run that does not ask for them shows none, and keeps what is known
    again = run("pix2pix-small", pairs / "set", out, **asked)
    assert again.summary.protocols == ("rgb", "y-matlab", "y-cv2", "qian2018")
    assert scores_in(out) == scored
    more = run("pix2pix-small", pairs / "set", out, **asked, metrics=composed_protocols(["rgb+crop2"]))
    assert more.summary.protocols[4:] == ("rgb+crop2",)
    assert all("psnr-rgb+crop2" in scores and ids < set(scores) for scores in scores_in(out).values())


def test_a_metric_that_cannot_measure_says_so_before_anything_runs(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(extra_metrics, "create", lambda kind, name, **settings: Failing())
    metrics = chosen_metrics(["failing"])
    with pytest.raises(PluginError, match=r"metric 'failing' failed on an image of 32x24 pixels .*no such layer"):
        run("pix2pix-small", pairs / "set", tmp_path / "out", metrics=metrics)
    assert not (tmp_path / "out" / "outputs").exists()


def test_results_that_are_no_numbers_are_refused(pairs, monkeypatch):
    for given in (torch.ones(2), None, 0.5):
        monkeypatch.setattr(Levels, "__call__", lambda self, restored, clean, given=given: given)
        with pytest.raises(PluginError, match="metric 'levels' failed"):
            extra_metrics.ExtraMetric("levels", Levels()).score(
                np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
            )


def test_a_metric_says_how_its_scores_are_read(monkeypatch):
    monkeypatch.setattr(extra_metrics, "create", lambda kind, name, **settings: lambda restored, clean: None)
    with pytest.raises(PluginError, match="metric 'bare' has no higher_is_better and no unit"):
        chosen_metrics(["bare"])


def test_names_and_settings_are_checked():
    with pytest.raises(UnknownNameError, match=r"no metric called 'lpisp'\. Did you mean 'lpips'"):
        chosen_metrics(["lpisp"])
    with pytest.raises(RecipeError, match=r"'ssim\.protocol=rgb' sets no metric .*: psnr"):
        chosen_metrics(["psnr"], ["ssim.protocol=rgb"])
    with pytest.raises(RecipeError, match="no setting 'protcol'"):
        chosen_metrics(["psnr"], ["psnr.protcol=rgb"])


def test_sets_without_clean_images_are_refused(pairs, levels, tmp_path):
    with pytest.raises(DataError, match="no pairs of degraded and clean images"):
        run("pix2pix-small", pairs / "mine", tmp_path / "out", metrics=levels)


def test_the_commands_take_metrics(pairs):
    from restorekit.cli.score import score as command

    arguments = [str(pairs / "mine"), "--dataset", str(pairs / "set"), "--metric", "psnr", "--set", "psnr.protocol=rgb"]
    shown = CliRunner().invoke(command, arguments)
    assert shown.exit_code == 0, shown.output
    assert "psnr (protocol=rgb) ↑" in shown.stdout
