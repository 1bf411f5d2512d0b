from __future__ import annotations

import pytest
import torch
from restorekit_attngan.discriminator import AttentiveDiscriminator
from restorekit_attngan.generator import AttentiveGenerator
from restorekit_attngan.recurrent import ConvLSTMCell
from torch.nn import functional as F

from restorekit.errors import RecipeError


def count(network):
    return sum(p.numel() for p in network.parameters())


def small(**settings):
    torch.manual_seed(0)
    return AttentiveGenerator(width=8, recurrent_width=4, **settings)


def test_parameter_counts_of_the_paper():
    assert count(AttentiveGenerator()) == 6_244_362
    assert count(AttentiveDiscriminator()) == 7_737_746


def test_peepholes_add_three_numbers_per_channel():
    assert count(AttentiveGenerator(peephole=True)) == 6_244_362 + 3 * 32


@pytest.mark.parametrize("size", [(4, 4), (8, 20), (36, 28)])
def test_shapes(size):
    height, width = size
    output = small()(torch.rand(2, 3, height, width))
    assert output.image.shape == (2, 3, height, width)
    quarter, half = output.extras["scales"]
    assert quarter.shape == (2, 3, height // 4, width // 4)
    assert half.shape == (2, 3, height // 2, width // 2)
    assert [m.shape for m in output.extras["attention"]] == [(2, 1, height, width)] * 4
    assert AttentiveGenerator.size_rule.multiple == 4


def test_time_steps_share_their_weights():
    two, five = small(time_steps=2), small(time_steps=5)
    five.load_state_dict(two.state_dict())
    image = torch.rand(1, 3, 12, 12)
    maps = five(image).extras["attention"]
    assert len(maps) == 5
    for mine, other in zip(two(image).extras["attention"], maps, strict=False):
        assert torch.allclose(mine, other, atol=1e-6)
    assert (maps[1] - maps[0]).abs().max() > 1e-4


@pytest.mark.parametrize("settings", [{}, {"peephole": True}, {"time_steps": 1}, {"time_steps": 1, "peephole": True}])
def test_gradients_reach_every_parameter(settings):
    generator = small(**settings)
    output = generator(torch.rand(2, 3, 16, 24))
    loss = output.image.square().mean()
    for extra in output.extras.values():
        loss = loss + sum(each.square().mean() for each in extra)
    loss.backward()
    if "peephole" in settings and settings.get("time_steps") == 1:  # the first cell state is zero
        assert all(p.grad is not None for p in generator.parameters())
    else:
        assert [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_image_output_alone_trains_the_attention_too():
    generator = small()
    generator(torch.rand(1, 3, 16, 16)).image.square().mean().backward()
    assert generator.recurrent.stem.weight.grad.abs().sum() > 0


def test_lstm_follows_the_gate_equations():
    torch.manual_seed(1)
    cell = ConvLSTMCell(3, peephole=True)
    torch.nn.init.normal_(cell.peephole)
    x, h, c = torch.randn(3, 2, 3, 6, 5).unbind()
    gate = {}
    for i, name in enumerate("ifgo"):
        rows = slice(3 * i, 3 * i + 3)
        gate[name] = F.conv2d(torch.cat((x, h), 1), cell.gates.weight[rows], cell.gates.bias[rows], padding=1)
    w_i, w_f, w_o = cell.peephole
    new_c = torch.sigmoid(gate["f"] + w_f * c) * c + torch.sigmoid(gate["i"] + w_i * c) * gate["g"].tanh()
    new_h = torch.sigmoid(gate["o"] + w_o * new_c) * new_c.tanh()
    hidden, state = cell(x, (h, c))
    assert torch.allclose(hidden, new_h, atol=1e-6)
    assert torch.allclose(state, new_c, atol=1e-6)


@pytest.mark.parametrize("peephole", [False, True])
def test_no_state_means_a_state_of_zeros(peephole):
    cell = ConvLSTMCell(3, peephole)
    x = torch.randn(1, 3, 6, 5)
    zeros = torch.zeros_like(x)
    for first, explicit in zip(cell(x, None), cell(x, (zeros, zeros)), strict=True):
        assert torch.allclose(first, explicit, atol=1e-6)


def test_channels_last_and_bf16():
    generator = small().eval()
    image = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        expected = generator(image).image
        generator.to(memory_format=torch.channels_last)
        last = generator(image.to(memory_format=torch.channels_last)).image
        with torch.autocast("cpu", torch.bfloat16):
            low = generator(image).image
    assert low.dtype == torch.float32  # the last layers keep their digits
    assert torch.allclose(last, expected, atol=1e-5)
    assert torch.allclose(low, expected, atol=0.05)


@pytest.mark.slow
def test_compiles_without_graph_breaks():
    generator = small().eval()
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        compiled = torch.compile(generator, fullgraph=True, backend="aot_eager")(image)
        assert torch.allclose(compiled.image, generator(image).image, atol=1e-5)


@pytest.mark.parametrize("settings", [{"width": 1}, {"time_steps": 0}, {"recurrent_width": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(RecipeError, match=f"generator.{next(iter(settings))}"):
        AttentiveGenerator(**settings)


@pytest.mark.parametrize("size", [(11, 11), (64, 64), (50, 97)])
def test_discriminator_takes_any_crop(size):
    torch.manual_seed(0)
    judge = AttentiveDiscriminator(width=8)
    candidate = torch.rand(2, 3, *size)
    judgement = judge(candidate, candidate)
    assert judgement.logits.shape == (2, 1)
    assert judgement.extras["attention_map"].shape == (2, 1, *size)
    judgement.logits.sum().backward()
    assert [n for n, p in judge.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_discriminator_at_224_follows_the_paper_without_pooling():
    torch.manual_seed(0)
    judge = AttentiveDiscriminator(width=8).to(memory_format=torch.channels_last)
    candidate = torch.rand(1, 3, 224, 224)
    x = candidate
    for conv in judge.features[::2]:
        x = F.relu(F.conv2d(x, conv.weight, conv.bias, padding=2))
    x = x * F.conv2d(x, judge.to_map.weight, judge.to_map.bias, padding=2)
    for conv in judge.reduce[::2]:
        x = F.relu(F.conv2d(x, conv.weight, conv.bias, stride=4, padding=1))
    assert x.shape == (1, 4, 14, 14)
    for dense in judge.dense:
        x = F.linear(x.reshape(1, -1), dense.weight, dense.bias)
    judged = judge(candidate.to(memory_format=torch.channels_last), candidate)
    assert torch.allclose(judged.logits, x, atol=1e-5)


def test_discriminator_refuses_tiny_crops_and_widths():
    with pytest.raises(RecipeError, match="at least 11"):
        AttentiveDiscriminator(width=8)(torch.rand(1, 3, 10, 64), torch.rand(1, 3, 10, 64))
    with pytest.raises(RecipeError, match=r"discriminator\.width"):
        AttentiveDiscriminator(width=4)


def test_training_starts_at_the_degraded_image():
    image = F.interpolate(torch.rand(2, 3, 10, 12), scale_factor=4, mode="bilinear")
    with torch.no_grad():
        output = small()(image)
    for restored in (output.image, *output.extras["scales"]):
        there = F.interpolate(image, size=restored.shape[-2:], mode="area")
        assert (restored - there).square().mean() < 1e-2
