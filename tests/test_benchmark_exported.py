"""`benchmark --onnx`: each model exported is a row, with its speed and its dB against PyTorch."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

import restorekit.export
from restorekit.benchmark import efficiency, exported, runner
from restorekit.benchmark.records import Cost, ImageRecord, ModelFacts, Row
from restorekit.cli.benchmark import command
from restorekit.devices import pick_device, pick_precision
from restorekit.errors import RestorekitError
from restorekit.export import write
from restorekit.restoring.settings import RestorerInfo

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="exporting needs the extra restorekit[onnx]")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(efficiency, "SECONDS", 0.01)


@pytest.fixture
def failing_export(monkeypatch):
    def fail(*given, **options):
        raise RestorekitError("the exporter cannot follow it")

    monkeypatch.setattr(restorekit.export, "export_restorer", fail)


def test_a_row_with_speed_and_difference_that_resumes_without_a_second_export(quick, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ["--models", "cgan", "--dataset", "raindrop@builtin", "--limit", "2", "-o", str(out), "--onnx"]
    done = CliRunner().invoke(command, [*arguments, "--precision", "fp32"])
    assert done.exit_code == 0, done.output
    plain, row = json.loads((out / "summary.json").read_text())["rows"][1:]
    assert (row["model"], row["state"], row["images"]) == ("cgan.onnx", "done", 2)
    assert row["source"].endswith("exported in fp32")
    for metric, mean in plain["means"].items():
        assert row["means"][metric]["mean"] == pytest.approx(mean["mean"], abs=2e-3), metric
    cost = row["cost"]
    assert cost["precision"] == "fp32, by onnxruntime"
    assert cost["parameters"] == plain["cost"]["parameters"]
    assert cost["macs"] == plain["cost"]["macs"]
    assert cost["agreement"] > 90  # 1e-4, which export demands, would be 80
    assert set(cost["beside"]) == {"fp32"} | {pick_precision("auto", pick_device("cpu"))}
    assert min(*cost["beside"].values(), cost["latency"]) > 0
    text = (out / "table.md").read_text()
    assert "in turns with PyTorch on 512x352" in text
    assert "against the row above in fp32" in text
    assert "cgan.onnx" in (out / "index.html").read_text()
    [file] = (out / "exported").glob("*.onnx")
    assert file.with_suffix(".md").exists()

    monkeypatch.setattr(write, "graph_of", lambda *given: pytest.fail("it was exported before"))
    again = CliRunner().invoke(command, [*arguments, "--precision", "fp32", "--json"])
    assert json.loads(again.stdout)["rows"][2] == row


def test_fresh_removes_exported_files(quick, tmp_path):
    out = tmp_path / "out"
    runner.run("cgan", "raindrop@builtin", out, limit=1, onnx=True)
    assert list((out / "exported").iterdir())
    runner.run("cgan", "raindrop@builtin", out, limit=1, fresh=True)
    assert not (out / "exported").exists()


def test_a_network_that_cannot_be_exported_is_a_row_that_failed(quick, failing_export, tmp_path):
    report = runner.run("cgan", "raindrop@builtin", tmp_path / "out", limit=1, onnx=True)
    plain, row = report.summary.rows[1:]
    assert (plain.row.state, row.row.state) == ("done", "failed")
    assert row.row.note == "the exporter cannot follow it"
    assert report.failed


def test_without_the_packages_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(write, "_NEEDED", ("onnx_of_nobody",))
    with pytest.raises(RestorekitError, match="restorekit\\[onnx\\]"):
        runner.run("cgan", "raindrop@builtin", tmp_path / "out", onnx=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("budget", "reason"), [("6 s", "trains a network on each image"), ("", "without a network")])
def test_models_that_adapt_say_why_not(budget, reason, monkeypatch):
    facts = ModelFacts("own", adaptive=True, budget=budget)
    bench = runner.Benchmark.__new__(runner.Benchmark)
    monkeypatch.setattr(runner, "registry", lambda: SimpleNamespace(unique_name=lambda component: "own"))
    row = bench.exported(SimpleNamespace(), Row(facts, "done"))
    assert (row.facts.model, row.state) == ("own.onnx", "not exported")
    assert reason in row.note
    assert exported.reason_against(Row(ModelFacts("fixed"), "done")) == ""
    assert write.why_not(RestorerInfo("fixed")) == ""


def test_ways_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in ("a", "b")}
    found = efficiency.in_turns(calls, torch.device("cpu"))
    assert set(found) == {"a", "b"}
    assert order == ["a", "b"] * (1 + efficiency.RUNS)


def test_slow_ways_are_timed_once(monkeypatch):
    times = iter((30.0, 20.0))
    monkeypatch.setattr(efficiency, "_timed", lambda call, device: next(times))
    assert efficiency.in_turns({"a": list, "b": list}, torch.device("cpu")) == {"a": 30.0, "b": 20.0}


def test_the_comparison_in_words():
    def row(scores, **more):
        cost = Cost(1, 1, 1, 1, 0.5, 2.0, 1, 1, "cpu", "bf16", **more)
        return Row(
            ModelFacts("m"), "done", images=[ImageRecord("m", n, 1, 1, {"psnr-rgb": s}) for n, s in scores], cost=cost
        )

    plain = row([("a", 20.0), ("b", 30.0), ("c", math.inf)])
    lines = exported.comparison(
        row([("a", 20.1), ("b", 29.7), ("c", 40.0)], beside={"bf16": 0.25}, agreement=120.0), plain
    )
    assert "0.5 s, 2.00 of the time in bf16 (0.25 s); 120.0 dB from" in lines[0]
    assert lines[1].startswith("-0.100 dB (rgb) on average against the row above in bf16, -0.300 dB")
    assert exported.comparison(Row(ModelFacts("m"), "done"), plain) == ()
    assert exported.comparison(row([("a", 20.1)], agreement=120.0), Row(ModelFacts("m"), "done"))[1:] == ()
