"""Pretrained networks that a user brings in: `restorekit weights add vgg16 FILE`, and what looks through them then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner

import restorekit
from restorekit.backbones import pretrained
from restorekit.backbones.pretrained import feature_state
from restorekit.cli.weights import command
from restorekit.errors import WeightsError
from restorekit.weights.find import own_network

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "weights"
needs_weights = pytest.mark.skipif(
    not (SHARED / "alexnet-lpips.npz").is_file(), reason="the weights of AlexNet and VGG16 are not here"
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_WEIGHTS", str(tmp_path / "own"))


def add(*arguments):
    return CliRunner().invoke(command, ["add", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def arrays():
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(weights=None).features.state_dict()
    return {f"features.{name}": value.numpy() for name, value in state.items()}


def test_an_npz_file_is_brought_in_and_used(tmp_path, arrays):
    np.savez(tmp_path / "net.npz", **{name: v.astype(np.float16) for name, v in arrays.items()})
    assert add("squeezenet1_1", tmp_path / "net.npz").exit_code == 0
    found = feature_state("squeezenet1_1")
    for name, value in arrays.items():
        expected = torch.from_numpy(value.astype(np.float16)).float()
        assert torch.equal(found[name.removeprefix("features.")], expected)
    with pytest.raises(WeightsError, match="--force"):
        add("squeezenet1_1", tmp_path / "net.npz")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.popitem(), "missing or of another shape"),
        (lambda a: a.update({next(iter(a)): np.zeros(3)}), "missing or of another shape"),
        (lambda a: a.update({k: v * np.nan for k, v in a.items()}), "not finite"),
        (lambda a: a.update({"features.0.weight": np.array([{}], object)}), "cannot be read"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, arrays, spoil, message):
    spoil(arrays)
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(WeightsError, match=message):
        add("squeezenet1_1", tmp_path / "net.npz")
    assert not own_network("squeezenet1_1").exists()


@needs_weights
def test_lpips_with_the_weights_that_its_authors_used(tmp_path):
    """The heads that travel with the weights are those of the lpips package; the distance is as the definition says."""
    import lpips

    add("alexnet", SHARED / "alexnet-lpips.npz")
    held = np.load(SHARED / "alexnet-lpips.npz")
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for index, head in enumerate(network.lins):
        np.testing.assert_allclose(head.model[-1].weight.detach().flatten(), held[f"lpips.lin{index}"], atol=1e-6)
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 64, 64, generator=generator)
    restored = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    restored, clean = ((255 * image).round() / 255 for image in (restored, clean))
    found = restorekit.create("metric", "lpips")(restored, clean).item()
    assert found == pytest.approx(_by_definition(held, restored, clean), rel=1e-4)


def _by_definition(held, first, second):
    """LPIPS as the paper has it: unit-normalised activations behind each ReLU, squared differences, weighted."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    layers = [(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)]  # number, stride, padding
    hidden, total = [(2 * image - 1 - shift) / scale for image in (first, second)], 0.0
    for index, (number, stride, padding) in enumerate(layers):
        if index in (1, 2):
            hidden = [torch.nn.functional.max_pool2d(h, 3, 2) for h in hidden]
        weight, bias = (torch.from_numpy(held[f"features.{number}.{part}"]) for part in ("weight", "bias"))
        hidden = [torch.nn.functional.conv2d(h, weight, bias, stride, padding).relu() for h in hidden]
        a, b = (h / (h.norm(dim=1, keepdim=True) + 1e-10) for h in hidden)
        head = torch.from_numpy(held[f"lpips.lin{index}"]).view(1, -1, 1, 1)
        total += ((a - b) ** 2 * head).sum(1).mean().item()
    return total


@needs_weights
def test_the_perceptual_loss_finds_its_network(tmp_path):
    add("vgg16", SHARED / "vgg16-lpips-fp16.npz")
    state = feature_state("vgg16")
    assert state["0.weight"].dtype == torch.float32
    loss = restorekit.create("loss", "perceptual")
    assert loss.network is not None


def test_what_the_hub_prints_stays_out_of_standard_output(tmp_path, monkeypatch, capsys):
    """``benchmark --json`` and ``restore -`` write there."""

    class Hub:
        def get_state_dict(self, progress, check_hash):
            print("Downloading")  # noqa: T201
            return {"features.0.weight": torch.zeros(1)}

    monkeypatch.setenv("RESTOREKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(pretrained._WEIGHTS, "vgg16", Hub())
    pretrained._from_hub("vgg16")
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "Downloading\n")
