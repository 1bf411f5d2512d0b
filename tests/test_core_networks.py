"""The U-Net over timm encoders, and what the core declares."""

import subprocess
import sys

import pytest
import timm
import torch

from restorekit.core import CORE_ENTRIES
from restorekit.errors import RecipeError, UnknownNameError, WeightsError
from restorekit.generators.unet import UNet
from restorekit.interface import SizeRule

SMALL = "mobilenetv3_small_100"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet(encoder=SMALL, width=8).eval()


@pytest.mark.parametrize("encoder", ["resnet18", SMALL, "convnext_atto", "efficientnet_b0"])
def test_every_parameter_of_every_encoder_learns(encoder):
    torch.manual_seed(0)
    net = UNet(encoder=encoder, width=8)
    assert net.size_rule == SizeRule(multiple=32, minimum=64)
    image = torch.rand(1, 3, 64, 96)
    restored = net(image)
    assert restored.shape == image.shape
    assert restored.dtype == torch.float32
    (restored - torch.rand_like(image)).square().mean().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_it_predicts_a_residual(net):
    image = torch.rand(1, 3, 64, 64)
    last = {name: p.detach().clone() for name, p in net.last.named_parameters()}
    try:
        with torch.no_grad():
            assert not torch.equal(net(image), image)
            torch.nn.init.zeros_(net.last.weight)
            torch.nn.init.zeros_(net.last.bias)
            assert torch.equal(net(image), image)
    finally:
        net.last.load_state_dict(last)


@torch.no_grad()
def test_eval_is_deterministic_and_independent_of_the_batch(net):
    image = torch.rand(3, 3, 64, 96)
    whole = net(image)
    assert torch.equal(whole, net(image))
    assert torch.allclose(whole[1:2], net(image[1:2]), atol=1e-5)


@torch.no_grad()
def test_channels_last_bfloat16_and_one_graph(net):
    image = torch.rand(1, 3, 64, 64)
    plain = net(image)
    assert torch.allclose(plain, net(image.contiguous(memory_format=torch.channels_last)), atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = net(image)
    assert torch.isfinite(low).all()
    assert (low.float() - plain).abs().max() < 0.1
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.allclose(plain, compiled(image), atol=1e-5)


def test_state_round_trips(net, tmp_path):
    from safetensors.torch import load_file, save_file

    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other = UNet(encoder=SMALL, width=8).eval()
    other.load_state_dict(load_file(tmp_path / "net.safetensors"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(image), other(image))


@pytest.mark.slow
def test_a_few_steps_learn_a_constant_shift():
    torch.manual_seed(0)
    net = UNet(encoder=SMALL, width=8)
    clean = torch.rand(2, 3, 64, 64) * 0.5
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    errors = []
    for _ in range(15):
        error = (net(clean + 0.3) - clean).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]


def test_encoders_that_cannot_serve_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        UNet(encoder="resnet18x")
    with pytest.raises(RecipeError, match="convolutional"):
        UNet(encoder="vit_tiny_patch16_224")
    with pytest.raises(RecipeError, match="at least 1"):
        UNet(width=0)


def test_pretrained_without_network_is_a_clear_error(monkeypatch, tmp_path):
    def offline(*_, pretrained, **__):
        assert pretrained
        raise FileNotFoundError("cannot reach the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match="weights=FILE"):
        UNet(pretrained=True)
    with pytest.raises(WeightsError, match="there is no file"):
        UNet(weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError, match="no pretrained weights"):
        UNet(encoder="resnet18.none_such", pretrained=True)


def test_weights_of_the_encoder_come_from_a_file(tmp_path):
    from safetensors.torch import save_file

    torch.manual_seed(1)
    source = timm.create_model(SMALL, pretrained=False)
    save_file(source.state_dict(), tmp_path / "encoder.safetensors")
    net = UNet(encoder=SMALL, width=8, weights=str(tmp_path / "encoder.safetensors"))
    assert torch.equal(net.encoder.conv_stem.weight, source.conv_stem.weight)
    save_file({"conv_stem.weight": torch.zeros(2)}, tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match="could not be had"):
        UNet(encoder=SMALL, weights=str(tmp_path / "bad.safetensors"))


def test_every_entry_has_its_target_and_says_what_it_is():
    import importlib

    names = [(entry.kind, entry.name) for entry in CORE_ENTRIES]
    assert len(set(names)) == len(names)
    for entry in CORE_ENTRIES:
        module, _, attribute = entry.target.partition(":")
        target = getattr(importlib.import_module(module), attribute)
        assert target.__doc__
        assert entry.summary


def test_declaring_imports_no_torch():
    code = "import restorekit.core, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
