from __future__ import annotations

import subprocess
import sys

import pytest
import restorekit_remaen
import torch
from restorekit_remaen.blocks import MAEB, ConvGRU
from restorekit_remaen.generator import ReMAEN
from restorekit_remaen.models import remaen
from torch.nn import functional as F

from restorekit.errors import RecipeError


def count(network):
    return sum(p.numel() for p in network.parameters())


def build(**settings):
    torch.manual_seed(0)
    network = ReMAEN(**{"width": 8, **settings}).eval()
    for p in network.parameters():  # biases too, so that one left out is seen
        p.data += 0.05 * torch.randn_like(p)
    return network


def conv(x, weight, bias, d=1):
    return F.conv2d(x, weight, bias, padding=d, dilation=d)


def se(module, x):
    mean = x.mean(dim=(2, 3))
    hidden = F.relu(F.linear(mean, module.squeeze.weight.flatten(1), module.squeeze.bias))
    return x * torch.sigmoid(F.linear(hidden, module.excite.weight.flatten(1), module.excite.bias))[..., None, None]


def lrelu(x):
    return torch.where(x > 0, x, 0.2 * x)


def maeb(module, x):
    total = 0
    for d in (1, 2, 3):
        y = lrelu(conv(x, module.first.weight, module.first.bias, d))
        total = total + lrelu(conv(y, module.second.weight, module.second.bias, d))
    return se(module.attention, total)


def gru(module, x, h):
    w = module.from_input.out_channels // 3

    def term(layer, i, y):
        return conv(y, layer.weight[i * w : i * w + w], layer.bias[i * w : i * w + w])

    if h is None:
        return torch.sigmoid(term(module.from_input, 0, x)) * torch.tanh(term(module.from_input, 2, x))
    z = torch.sigmoid(term(module.from_input, 0, x) + term(module.from_state, 0, h))
    r = torch.sigmoid(term(module.from_input, 1, x) + term(module.from_state, 1, h))
    n = torch.tanh(term(module.from_input, 2, x) + term(module.from_reset, 0, r * h))
    return (1 - z) * h + z * n


def reference(net, image, stages):
    """The network as the paper's facts tell it, one line per arrow."""
    s = [None] * 7
    outputs = []

    def cell(i, x, attention):
        s[i] = lrelu(se(attention, gru(net.grus[i], x, s[i])))
        return s[i]

    for _ in range(stages):
        ext, res = net.extracting_attention, net.responding_attention
        m1 = maeb(net.maebs[0], image)
        m2 = maeb(net.maebs[1], cell(0, m1, ext))
        m3 = maeb(net.maebs[2], cell(1, m2, ext))
        m4 = maeb(net.maebs[3], cell(2, m3, ext))
        x = cell(3, m4, ext)
        for i, skip in enumerate((m3, m2, m1)):
            c = net.responding[i].conv
            x = cell(4 + i, F.relu(conv(x, c.weight, c.bias)) + skip, res)
        x = lrelu(se(net.residual_attention, conv(x, net.to_features.weight, net.to_features.bias)))
        image = image - conv(x, net.to_residual.weight, net.to_residual.bias)
        outputs.append(image)
    return outputs


def test_parameter_count_of_the_paper():
    assert count(ReMAEN()) == 495_771


@pytest.mark.parametrize("stages", [1, 3])
def test_the_network_follows_the_facts(stages):
    network, image = build(stages=stages), torch.rand(2, 3, 17, 23)
    with torch.no_grad():
        expected = reference(network, image, stages)
        output = network(image)
    assert (expected[-1] - image).abs().max() > 0.05  # the residual is not nothing
    assert len(output.extras["stages"]) == stages
    for mine, theirs in zip(output.extras["stages"], expected, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)
    assert torch.equal(output.image, output.extras["stages"][-1])


def test_stages_share_their_weights():
    two, four = build(stages=2), build(stages=4)
    four.load_state_dict(two.state_dict())
    assert count(two) == count(four)
    image = torch.rand(1, 3, 9, 9)
    assert torch.allclose(two(image).image, four(image).extras["stages"][1], atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 31)])
def test_any_size(size):
    assert build()(torch.rand(2, 3, *size)).image.shape == (2, 3, *size)


@pytest.mark.parametrize("stages", [1, 3])
def test_gradients_reach_every_parameter(stages):
    # At full width, where no attention has all its hidden ReLUs closed by chance.
    torch.manual_seed(0)
    network = ReMAEN(stages=stages)
    network(torch.rand(2, 3, 16, 16)).image.square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_first_stage_has_no_state():
    cell = ConvGRU(4)
    x = torch.randn(1, 4, 6, 6)
    z, _, n = cell.from_input(x).chunk(3, 1)
    assert torch.allclose(cell(x, None), z.sigmoid() * n.tanh())


def test_maeb_uses_one_pair_of_kernels_for_three_dilations():
    block = MAEB(3, 8)
    assert count(block) == (3 * 8 * 9 + 8) + (8 * 8 * 9 + 8) + (8 * 2 + 2) + (2 * 8 + 8)
    x = torch.randn(1, 3, 9, 9)
    assert torch.allclose(block(x), maeb(block, x), atol=1e-6)


def test_xavier_initialisation_and_zero_biases():
    torch.manual_seed(0)
    network = ReMAEN()
    # Xavier uniform for one 3x3 kernel of 32 -> 32: variance 2 / (9 * (32 + 32)), fused or not.
    expected = (2 / (9 * 64)) ** 0.5
    for layer in (network.grus[0].from_input, network.grus[6].from_state, network.to_features):
        for kernel in layer.weight.split(32):
            assert kernel.std().item() == pytest.approx(expected, rel=0.05)
            assert kernel.abs().max().item() <= (6 / (9 * 64)) ** 0.5
    assert all(not p.any() for n, p in network.named_parameters() if n.endswith("bias"))


def test_channels_last_and_bf16():
    network, image = build(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        expected = network(image).image
        network.to(memory_format=torch.channels_last)
        last = network(image.to(memory_format=torch.channels_last)).image
        with torch.autocast("cpu", torch.bfloat16):
            low = network(image).image.float()
    assert torch.allclose(last, expected, atol=1e-5)
    assert torch.allclose(low, expected, atol=0.05)


@pytest.mark.slow
def test_compiles_without_graph_breaks():
    network, image = build(), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")(image)
        assert torch.allclose(compiled.image, network(image).image, atol=1e-5)


@pytest.mark.parametrize("settings", [{"width": 2}, {"stages": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(RecipeError, match="at least"):
        ReMAEN(**settings)


def test_recipe_is_the_papers():
    recipe = remaen()
    assert {k: t.weight for k, t in recipe.losses.items()} == {"mse": 1.0, "edge": 0.1}
    assert (recipe.data.crop, recipe.data.batch, recipe.steps) == (64, 32, 40_000)
    assert recipe.schedule.milestones == (30_000,)
    assert recipe.optim.generator.lr == 1e-3
    assert recipe.discriminator is None


def test_declaring_imports_no_torch():
    code = (
        "import sys, restorekit_remaen as p; from restorekit_remaen.models import remaen;"
        " p.restorekit_entries(); remaen(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert {(e.kind, e.name) for e in restorekit_remaen.restorekit_entries()} == {
        ("generator", "remaen"),
        ("model", "remaen"),
    }
