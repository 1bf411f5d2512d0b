"""The benchmark end to end with small fake models: rows, resuming, stale results, failures, exit codes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import restorekit.benchmark.loading as loading
import restorekit.benchmark.runner as runner
from restorekit.benchmark.extra_metrics import chosen_metrics
from restorekit.benchmark.loading import NoWeightsError
from restorekit.data.leaks import perceptual_hash
from restorekit.errors import DataError, RestorekitError, UnknownNameError, WeightsError
from restorekit.interface import SizeRule
from restorekit.plugin import hookimpl
from restorekit.plugin.registry import registry
from restorekit.restoring.restorer import AdaptiveRestorer, Restorer
from restorekit.restoring.settings import RestorerInfo
from restorekit.testing import told

COUNT = 6
PLUGIN = SimpleNamespace(name="fake", distribution="restorekit-fake", version="1.0")


class Brighten(nn.Module):
    """Adds a constant, the degradation of the test set being a darker picture."""

    size_rule = SizeRule(multiple=8)

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(amount))
        self.same = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.same.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, degraded):
        return self.same(degraded) + self.amount


class Breaking(Brighten):
    """Fails on dark images: the fixture's fourth and later ones, whose darkest level is below 36."""

    def forward(self, degraded):
        if degraded.min() * 255 < 36:
            raise ZeroDivisionError("a plugin's own error")
        return super().forward(degraded)


def _component(name: str, task: str = "raindrop"):
    entry = SimpleNamespace(name=name, tasks=(task,), weights="")
    return SimpleNamespace(id=f"fake/{name}", entry=entry, plugin=PLUGIN)


@pytest.fixture
def dataset(tmp_path):
    """Six pairs, 40 x 52 pixels: clean noise on a ramp, and the same 20 to 30 levels darker."""
    folder = tmp_path / "drops"
    generator = np.random.default_rng(5)
    for side in ("input", "target"):
        (folder / side).mkdir(parents=True)
    for index in range(COUNT):
        clean = generator.integers(60, 200, (40, 52, 3), dtype=np.uint8)
        degraded = clean - np.uint8(20 + 2 * index)
        Image.fromarray(clean).save(folder / "target" / f"{index:03}.png")
        Image.fromarray(degraded).save(folder / "input" / f"{index:03}.png")
    return folder


@pytest.fixture
def models(monkeypatch):
    """Models by name: a function that returns a restorer or raises."""
    table = {}
    found = SimpleNamespace(
        components=lambda kind: [_component(n, getattr(m, "task", "raindrop")) for n, m in sorted(table.items())],
        find=lambda kind, name: _find(table, name),
        unique_name=lambda c: c.entry.name,
    )
    monkeypatch.setattr(runner, "registry", lambda: found)
    monkeypatch.setattr(loading, "load_model", lambda component, name, settings: table[name](settings))
    monkeypatch.setattr("restorekit.benchmark.efficiency.SECONDS", 0.01)
    return table


def _find(table, name):
    if name not in table:
        raise UnknownNameError(f"there is no model called {name!r}")
    return _component(name)


def _fixed(amount: float, kind=Brighten, task: str = "raindrop", width: str = "ngf 8"):
    def make(settings):
        info = RestorerInfo("m", task, "shipped (fake 1.0)", width, "recipe1")
        return Restorer(kind(amount), device="cpu", precision="fp32", info=info, tile=0)

    make.task = task
    return make


def _none(settings):
    raise NoWeightsError("no weights: train with `restorekit train none --data FOLDER`")


def _broken(settings):
    raise WeightsError("weights/broken.safetensors is damaged")


def _adaptive(settings):
    def adapt(image, budget):
        assert (budget.seconds, budget.steps) == (None, 3)
        return Brighten(0.1)

    from restorekit.restoring.settings import Budget

    info = RestorerInfo("a", "rain-streak", "", "", "recipe2", adaptive=True)
    budget = Budget(steps=settings.budget_steps, seconds=settings.seconds)
    return AdaptiveRestorer(adapt, budget, device="cpu", precision="fp32", info=info)


def _lines(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def _images(folder, model):
    return [line["image"] for line in _lines(folder) if line["model"] == model and line["type"] == "image"]


def test_rows_scores_and_files(dataset, models, tmp_path):
    models.update(better=_fixed(0.1), none=_none, other=_fixed(-0.05, task="rain-streak"))
    out = tmp_path / "out"
    report = runner.run("all", dataset, out)
    rows = {row.model: row for row in report.summary.rows}
    assert list(rows) == ["degraded input", "better", "none", "other"]
    assert not report.failed
    # 0.1 is 25.5 levels: the error of 20..30 levels becomes one of -5.5..4.5 before rounding
    dark = [20 * math.log10(255 / (20 + 2 * i)) for i in range(COUNT)]
    assert rows["degraded input"].means["psnr-rgb"].mean == pytest.approx(np.mean(dark), abs=1e-9)
    assert rows["better"].gains["psnr-rgb"].low > 5
    assert rows["other"].worse == 1.0
    assert rows["other"].worst[0][0] == "000"  # the lightest degradation loses most
    assert rows["none"].row.state == "no weights"
    assert rows["none"].means == {}
    assert {p.name for p in (out / "outputs").iterdir()} == {"better", "other"}
    restored = np.array(Image.open(out / "outputs" / "better" / "000.png")).astype(int)
    dark_pixels = np.array(Image.open(dataset / "input" / "000.png")).astype(int)
    assert set(np.unique(restored - dark_pixels)) <= {25, 26}
    for name in ("summary.json", "table.md", "table.csv", "index.html", "quality-cost.png"):
        assert (out / name).stat().st_size > 200, name
    assert len(list((out / "comparisons").glob("*.png"))) == 4


def test_tables_name_set_width_source_and_missing_weights(dataset, models, tmp_path):
    models.update(better=_fixed(0.1), none=_none)
    report = runner.run("all", dataset, tmp_path / "out", limit=4)
    text = (tmp_path / "out" / "table.md").read_text()
    assert text.startswith("## drops@folder(4/6): 4 images")
    assert "better (ngf 8)" in text
    assert "shipped (fake 1.0)" in text
    assert "restorekit train none" in text
    for protocol in ("rgb", "y-matlab", "y-cv2", "qian2018"):
        assert f"PSNR / SSIM {protocol}" in text
    values = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert values["dataset"] == "drops@folder(4/6)"
    assert values["rows"][1]["cost"]["parameters"] == 10
    assert values == report.values()


def test_other_task_is_marked(models):
    from restorekit.benchmark.records import ModelFacts, Row
    from restorekit.benchmark.summary import title_of

    row = Row(ModelFacts("pix2pix", task="rain-streak", network_width="ngf 8"), "done")
    assert title_of(row, "raindrop") == ("pix2pix (ngf 8) (rain-streak)", True)
    assert title_of(row, "rain-streak") == ("pix2pix (ngf 8)", False)


def test_cost_of_a_known_network(dataset, models, tmp_path):
    models.update(better=_fixed(0.1))
    cost = runner.run("all", dataset, tmp_path / "out").summary.rows[1].row.cost
    assert (cost.height, cost.width) == (40, 52)
    assert cost.parameters == 10
    assert cost.macs == 9 * 40 * 56  # a 1x1 convolution 3 -> 3, the width padded to a multiple of 8
    assert cost.latency > 0
    assert cost.throughput == pytest.approx(1 / cost.latency)
    assert cost.precision == "fp32"
    assert cost.device.startswith("cpu")


def test_failing_model_keeps_its_work_and_the_others_run(dataset, models, tmp_path):
    models.update(bad=_fixed(0.1, kind=Breaking), broken=_broken, good=_fixed(0.1))
    out = tmp_path / "out"
    report = runner.run("all", dataset, out)
    rows = {row.model: row for row in report.summary.rows}
    assert report.failed
    assert rows["bad"].row.state == "failed"
    assert "ZeroDivisionError: a plugin's own error" in rows["bad"].row.note
    assert _images(out, "bad") == ["000", "001", "002"]
    assert rows["broken"].row.note == "weights/broken.safetensors is damaged"
    assert rows["good"].row.state == "done"
    assert "ZeroDivisionError" in (out / "errors" / "bad.txt").read_text()
    assert "failed: ZeroDivisionError" in (out / "table.md").read_text()


def test_resumes_after_an_interruption(dataset, models, tmp_path, monkeypatch):
    models.update(good=_fixed(0.1))
    out = tmp_path / "out"
    restored = []
    real = Restorer.restore_tensor

    def counted(self, image):
        restored.append(1)
        return real(self, image)

    monkeypatch.setattr(Restorer, "restore_tensor", counted)
    finish = runner.ModelRun._finish

    def interrupted(self, sample, image, seconds, learned):
        if sample.name == "003":
            raise KeyboardInterrupt
        return finish(self, sample, image, seconds, learned)

    monkeypatch.setattr(runner.ModelRun, "_finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run("all", dataset, out)
    assert _images(out, "good") == ["000", "001", "002"]
    with (out / "results.jsonl").open("a") as file:
        file.write('{"type": "image", "model": "good", "ima')  # what SIGKILL leaves
    monkeypatch.setattr(runner.ModelRun, "_finish", finish)
    restored.clear()
    report = runner.run("all", dataset, out)
    assert len(restored) == 3  # neither the finished images nor the cost again
    assert _images(out, "good") == [f"{i:03}" for i in range(COUNT)]
    whole = runner.run("all", dataset, tmp_path / "whole")
    assert report.summary.rows[1].means == whole.summary.rows[1].means


def _trained_on(dataset, count):
    paths = sorted((dataset / "target").iterdir())[:count]
    hashes = tuple(perceptual_hash(np.array(Image.open(path))) for path in paths)

    def make(settings):
        restorer = _fixed(0.1)(settings)
        restorer.info = replace(restorer.info, seen=hashes)
        return restorer

    make.task = "raindrop"
    return make


def test_images_that_a_model_was_trained_on_are_left_out_for_it_alone(dataset, models, tmp_path):
    models.update(fair=_fixed(0.05), trained=_trained_on(dataset, 2), wholly=_trained_on(dataset, COUNT))
    metrics = chosen_metrics(["psnr"])
    report = runner.run("all", dataset, tmp_path / "out", metrics=metrics)
    rows = {row.model: row for row in report.summary.rows}
    assert [len(rows[name].row.images) for name in ("fair", "trained", "wholly")] == [COUNT, COUNT - 2, 0]
    dark = [20 * math.log10(255 / (20 + 2 * i)) for i in range(2, COUNT)]
    gains = rows["trained"].gains["psnr-rgb"]
    assert gains.mean == pytest.approx(rows["trained"].means["psnr-rgb"].mean - np.mean(dark), abs=1e-9)
    assert rows["wholly"].row.state == "seen"
    assert rows["wholly"].means == {}
    assert not report.failed
    assert [{test.first, test.second} for test in report.summary.tests] == [{"fair", "trained"}]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "2 images left out, for it was trained on them" in table
    assert f"{COUNT} images left out" in table


def test_changed_weights_are_run_again_and_nothing_is_mixed(dataset, models, tmp_path):
    out = tmp_path / "out"
    models.update(good=_fixed(0.1))
    runner.run("all", dataset, out)
    models.update(good=_fixed(0.08))
    report = runner.run("all", dataset, out)
    assert len(_images(out, "good")) == COUNT
    assert len({line["weights_sha256"] for line in _lines(out) if line["model"] == "good"}) == 1
    fresh = runner.run("all", dataset, tmp_path / "fresh")
    assert report.summary.rows[1].means == fresh.summary.rows[1].means


@pytest.mark.parametrize("junk", [None, b"", b"no picture"])
def test_missing_output_is_made_again(dataset, models, tmp_path, junk):
    out = tmp_path / "out"
    models.update(good=_fixed(0.1))
    runner.run("all", dataset, out)
    output = out / "outputs" / "good" / "002.png"
    before = output.read_bytes()
    output.unlink()
    if junk is not None:
        output.write_bytes(junk)
    runner.run("all", dataset, out)
    assert output.read_bytes() == before
    assert sorted(_images(out, "good")) == [f"{i:03}" for i in range(COUNT)]


def test_another_data_set_in_the_same_folder_is_refused(dataset, models, tmp_path):
    models.update(good=_fixed(0.1))
    runner.run("all", dataset, tmp_path / "out")
    other = dataset.rename(dataset.parent / "streaks")
    with pytest.raises(DataError, match="drops@folder"):
        runner.run("all", other, tmp_path / "out")
    report = runner.run("all", other, tmp_path / "out", fresh=True)
    assert report.summary.label == "streaks@folder"


def test_adaptive_model_gets_the_budget_and_says_so(dataset, models, tmp_path):
    models.update(adapts=_adaptive)
    report = runner.run("all", dataset, tmp_path / "out", budget_steps=3, limit=2)
    row = report.summary.rows[1]
    assert row.row.state == "done", row.row.note
    assert row.source == "trained on each image (3 steps)"
    assert row.row.cost.macs is None
    assert row.row.cost.latency > 0
    again = runner.run("all", dataset, tmp_path / "out", budget_steps=3, limit=2)
    assert again.summary.rows[1].row.cost == row.row.cost


def test_a_budget_that_is_too_small_is_told_in_the_row(dataset, models, tmp_path):
    def sometimes(settings):
        restorer = _adaptive(settings)
        learn = restorer.adapt
        restorer.adapt = lambda image, budget: image.clone() if image.mean() < 0.4 else learn(image, budget)
        return restorer

    models.update(adapts=sometimes)
    for _ in range(2):  # the second time from what the first has left
        row = runner.run("all", dataset, tmp_path / "out", budget_steps=3).summary.rows[1]
        dark = sum(not record.learned for record in row.row.images)
        assert 0 < dark < COUNT
        assert row.source == f"references' mean in {dark} of {COUNT} images: 3 steps are too little to learn one"


def test_results_of_another_plugin_version_are_made_again(dataset, models, tmp_path, monkeypatch):
    models.update(good=_fixed(0.1))
    runner.run("all", dataset, tmp_path / "out")
    before = {line["key"] for line in _lines(tmp_path / "out") if line["model"] == "good"}
    monkeypatch.setattr(PLUGIN, "version", "1.1")
    runner.run("all", dataset, tmp_path / "out")
    after = {line["key"] for line in _lines(tmp_path / "out") if line["model"] == "good"}
    assert not before & after


def test_score_spares_the_results_of_a_benchmark(dataset, models, tmp_path):
    from restorekit.benchmark.foreign import score

    models.update(good=_fixed(0.1))
    out = tmp_path / "out"
    runner.run("all", dataset, out)
    kept = (out / "results.jsonl").read_text()
    with pytest.raises(DataError, match="holds the results of a benchmark; choose another folder"):
        score(out / "outputs" / "good", dataset, out=out)
    assert (out / "results.jsonl").read_text() == kept


def test_fresh_leaves_folders_of_others_alone(dataset, models, tmp_path):
    models.update(good=_fixed(0.1))
    mine = tmp_path / "out" / "outputs" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("kept")
    runner.run("all", dataset, tmp_path / "out", fresh=True)
    assert mine.read_text() == "kept"


def test_a_model_that_needs_no_weights_was_not_trained(dataset, models, tmp_path):
    def needs_none(settings):
        restorer = _adaptive(settings)
        restorer.info = replace(restorer.info, weights="needs none", learns=False)
        return restorer

    models.update(adapts=needs_none)
    report = runner.run("all", dataset, tmp_path / "out", budget_steps=3, limit=1)
    row = report.summary.rows[1]
    assert row.source == "needs none"
    assert not row.row.cost.notes


def test_unpaired_folder_gives_outputs_and_timings_only(dataset, models, tmp_path):
    models.update(good=_fixed(0.1))
    out = tmp_path / "out"
    report = runner.run("all", dataset / "input", out)
    assert not report.summary.paired
    assert "no scores" in (out / "table.md").read_text()
    assert "PSNR" not in (out / "table.md").read_text()
    assert report.summary.rows[1].row.cost.latency > 0
    assert len(list((out / "outputs" / "good").glob("*.png"))) == COUNT
    assert (out / "index.html").exists()


def test_exact_output_has_infinite_psnr_and_valid_json(dataset, models, tmp_path):
    models.update(exact=_fixed(20 / 255))
    out = tmp_path / "out"
    report = runner.run("all", dataset, out)
    mean = report.summary.rows[1].means["psnr-rgb"]
    assert mean.infinite == 1
    assert math.isfinite(mean.mean)
    first = next(line for line in _lines(out) if line["model"] == "exact" and line["type"] == "image")
    assert first["scores"]["psnr-rgb"] == "inf"
    assert "+1∞" in (out / "table.md").read_text()
    assert runner.run("all", dataset, out).summary.rows[1].means["psnr-rgb"] == mean


def test_wrong_options_end_before_anything_runs(dataset, models, tmp_path):
    models.update(good=_fixed(0.1))
    out = tmp_path / "out"
    with pytest.raises(UnknownNameError, match="gud"):
        runner.run("good,gud", dataset, out)
    with pytest.raises(WeightsError, match="not among"):
        runner.run("good", dataset, out, weights={"better": "x"})
    with pytest.raises(RestorekitError, match="precision"):
        runner.run("good", dataset, out, precision="fp8")
    assert not out.exists()
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(DataError, match="cannot be used"):
        runner.run("good", dataset, blocked / "out")


def test_command_exit_codes_and_json(dataset, models, tmp_path):
    from restorekit.cli.benchmark import benchmark

    models.update(good=_fixed(0.1), none=_none)
    arguments = ["--dataset", str(dataset), "-o", str(tmp_path / "out")]
    shown = CliRunner().invoke(benchmark, arguments)
    assert shown.exit_code == 0, shown.output
    assert "degraded input" in shown.stdout
    assert max(len(line) for line in shown.stdout.split("Page:")[0].splitlines()) <= 130
    as_json = CliRunner().invoke(benchmark, [*arguments, "--json"])
    assert json.loads(as_json.stdout)["dataset"] == "drops@folder"
    models.update(broken=_broken)
    failed = CliRunner().invoke(benchmark, arguments)
    assert failed.exit_code == 1
    assert "damaged" in failed.stdout
    wrong = CliRunner().invoke(benchmark, [*arguments, "--weights", "good"])
    assert isinstance(wrong.exception, WeightsError)


class Follower:
    """Keeps what it is told of benchmarks."""

    def __init__(self) -> None:
        self.told: list[tuple[object, dict[str, object]]] = []

    @hookimpl
    def benchmark_finished(self, folder, results):
        self.told.append((folder, results))


@pytest.fixture
def followers():
    """Two plugins that follow benchmarks: ``near`` and ``far``."""
    made = {"near": Follower(), "far": Follower()}
    for name, follower in made.items():
        registry().manager.register(follower, name=name)
    yield made
    for name in made:
        registry().manager.unregister(name=name)


def test_a_benchmark_tells_the_trackers_that_it_names_and_no_other(dataset, models, followers, tmp_path):
    from restorekit.cli.benchmark import benchmark

    models.update(good=_fixed(0.1))
    arguments = ["--dataset", str(dataset), "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(benchmark, arguments).exit_code == 0
    assert followers["near"].told == followers["far"].told == []
    shown = CliRunner().invoke(benchmark, [*arguments, "--track", "near"])
    assert shown.exit_code == 0, shown.output
    [(folder, results)] = followers["near"].told
    assert folder == tmp_path / "out"
    assert results == json.loads((folder / "summary.json").read_text())
    assert followers["far"].told == []


def test_a_benchmark_refuses_an_unknown_tracker_before_it_restores_anything(dataset, models, followers, tmp_path):
    from restorekit.cli.benchmark import benchmark

    models.update(good=_fixed(0.1))
    arguments = ["--dataset", str(dataset), "-o", str(tmp_path / "out"), "--track", "neer"]
    refused = CliRunner().invoke(benchmark, arguments)
    assert isinstance(refused.exception, UnknownNameError)
    assert "Did you mean 'near'" in str(refused.exception)
    assert not (tmp_path / "out").exists()


def test_the_conformance_check_tells_trackers_what_a_benchmark_would(dataset, models, followers, tmp_path):
    from restorekit.cli.benchmark import benchmark

    models.update(good=_fixed(0.1))
    arguments = ["--dataset", str(dataset), "-o", str(tmp_path / "out"), "--track", "near"]
    assert CliRunner().invoke(benchmark, arguments).exit_code == 0
    [(_, real)] = followers["near"].told
    made_up = told.results()
    assert made_up.keys() == real.keys()
    for one, other in zip(made_up["rows"], real["rows"], strict=True):
        assert one.keys() == other.keys()
    assert made_up["rows"][1]["gains"]["psnr-rgb"].keys() == real["rows"][1]["gains"]["psnr-rgb"].keys()


def test_builtin_results_carry_the_warning(models, tmp_path, dataset, monkeypatch):
    from dataclasses import replace

    from restorekit.data.sets import resolve

    models.update(good=_fixed(0.1))
    monkeypatch.setattr(runner, "resolve", lambda name: replace(resolve(dataset), label="raindrop@builtin"))
    runner.run("all", "raindrop", tmp_path / "out")
    for name in ("table.md", "index.html", "summary.json"):
        text = (tmp_path / "out" / name).read_text()
        assert "raindrop@builtin" in text, name
        assert "cannot be compared with published ones" in text.replace("\n", " "), name


def test_page_is_self_contained(dataset, models, tmp_path):
    models.update(good=_fixed(0.1), other=_fixed(0.05))
    runner.run("all", dataset, tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    assert "$" not in text.split("<style>")[0]
    for outside in ('src="http', "href=", "url(http", "@import", "<link"):
        assert outside not in text.replace('xlink:href="#', ""), outside
    for part in ("<svg", 'class="slider"', "Worst cases", "Paired tests", "data:image/jpeg;base64,"):
        assert part in text, part
