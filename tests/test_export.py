"""Exported files compute what PyTorch computes, say how to feed them, and refuse what cannot be exported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import restorekit
from restorekit.cli.export import command
from restorekit.errors import RestorekitError, WeightsError
from restorekit.export import export_onnx, precision, write
from restorekit.interface import Output
from restorekit.plugin.registry import registry
from restorekit.restoring.settings import RestorerInfo
from restorekit.runtime.network import OnnxNetwork

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="exporting needs the extra restorekit[onnx]")


INSTALLED = {c.entry.name for c in registry().components("model")}
MODELS = [name for name in ("attngan", "remaen", "pix2pix", "derain") if name in INSTALLED]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A cheap model in float32."""
    return export_onnx("cgan", tmp_path_factory.mktemp("export") / "cgan.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_onnxruntime_agrees_with_pytorch_on_three_sizes(model, tmp_path):
    done = export_onnx(model, tmp_path / "model.onnx")
    assert len(done.differences) == 3
    network, restorer = OnnxNetwork(done.path, "cpu"), restorekit.load(model, device="cpu", precision="fp32", tile=0)
    for batch, height, width in ((1, 65, 130), (3, 40, 90), (1, 200, 33)):
        sides = done.facts.rule.padded(height), done.facts.rule.padded(width)
        image = torch.rand(batch, 3, *sides, generator=torch.Generator().manual_seed(width))
        difference = network(image.numpy()) - restorer.restore_tensor(image).numpy()
        assert np.abs(difference).max() <= 1e-4


def test_the_file_and_its_card_say_how_to_feed_it(small):
    metadata = OnnxNetwork(small.path, "cpu").session.get_modelmeta().custom_metadata_map
    assert metadata["restorekit.model"] == "cgan"
    assert metadata["restorekit.multiple"] == "16"
    assert "divided by 255" in metadata["restorekit.preprocessing"]
    text = small.card.read_text()
    assert small.card.name == "cgan.md"
    for part in ("multiples of 16 pixels, at least 32", "opset | 18", "Against PyTorch", "CC-BY-NC-4.0"):
        assert part in text
    assert "\n# " not in text, "the weights' card is a part of this one"


@pytest.mark.parametrize(("kind", "least"), [("fp16", 50), ("int8", 30)])
def test_smaller_numbers_cost_what_the_report_says(kind, least, small, tmp_path):
    done = export_onnx("cgan", tmp_path / "small.onnx", precision=kind, images="raindrop@builtin")
    assert done.path.stat().st_size < 0.7 * small.path.stat().st_size
    assert least < done.cost.agreement < 100
    assert abs(done.cost.before - done.cost.after) < 1
    assert done.cost.calibrated == (8 if kind == "int8" else 0)
    assert f"{done.cost.agreement:.2f} dB" in done.card.read_text()
    planes = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    results = [OnnxNetwork(path, "cpu")(planes) for path in (small.path, done.path)]
    assert 0 < np.abs(results[0] - results[1]).max() < 0.3


def test_convolutions_of_few_channels_stay_in_float32():
    import onnx

    def convolution(name, shape):
        weight = onnx.numpy_helper.from_array(np.zeros(shape, np.float32), f"{name}.weight")
        return onnx.helper.make_node("Conv", ["x", f"{name}.weight"], ["y"], name=name), weight

    pairs = [
        convolution("first", (16, 3, 3, 3)),
        convolution("inner", (16, 16, 3, 3)),
        convolution("last", (3, 16, 1, 1)),
    ]
    graph = onnx.helper.make_graph([node for node, _ in pairs], "g", [], [], [weight for _, weight in pairs])
    assert precision._thin(onnx.helper.make_model(graph)) == ["first", "last"]


def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    class Darker(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, degraded):
            return Output.of(self.network(degraded)).image * 0.999

    whole = write.graph_of
    monkeypatch.setattr(write, "graph_of", lambda network, rule: whole(Darker(network), rule))
    with pytest.raises(RestorekitError, match="differs from PyTorch's by"):
        export_onnx("cgan", tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())


def test_a_network_that_depends_on_values_is_named(tmp_path, monkeypatch):
    class Choosing(nn.Module):
        def forward(self, degraded):
            return degraded if degraded.mean().item() > 0.5 else degraded * 2

    whole = write.graph_of
    monkeypatch.setattr(write, "graph_of", lambda network, rule: whole(Choosing(), rule))
    with pytest.raises(RestorekitError, match="Choosing cannot be exported"):
        export_onnx("cgan", tmp_path / "wrong.onnx")


def test_models_that_adapt_say_why_they_cannot_be_exported(tmp_path):
    result = CliRunner().invoke(command, ["rain2avoid-plus", "-o", str(tmp_path / "x.onnx")])
    assert isinstance(result.exception, RestorekitError)
    assert "cannot be exported" in str(result.exception)
    assert "without a network" in str(result.exception)
    assert "before the image is known" in write.why_not(RestorerInfo("rain2avoid", adaptive=True, learns=True))


def test_nothing_is_overwritten_and_names_are_checked_first(small, tmp_path):
    for path, options, message in (
        (small.path, {}, "exists"),
        (tmp_path / "model.pt", {}, r"ends in \.onnx"),
        (tmp_path / "model.onnx", {"precision": "int8"}, "--images"),
        (tmp_path / "model.onnx", {"precision": "fp61"}, "Did you mean 'fp16'"),
    ):
        with pytest.raises(RestorekitError, match=message):
            export_onnx("cgan", path, **options)


def test_files_of_others_are_refused(tmp_path):
    import onnx

    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(WeightsError, match="cannot be read as an ONNX model"):
        OnnxNetwork(tmp_path / "text.onnx", "cpu")
    with pytest.raises(WeightsError, match="no such file"):
        OnnxNetwork(tmp_path / "absent.onnx", "cpu")
    value = onnx.helper.make_tensor_value_info("degraded", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("restored", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["degraded"], ["restored"])], "g", [value], [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match=r"lacks restorekit\.model"):
        OnnxNetwork(tmp_path / "other.onnx", "cpu")
    with pytest.raises(RestorekitError, match="use auto, cpu or cuda"):
        OnnxNetwork(tmp_path / "other.onnx", "tpu")
