from __future__ import annotations

import pytest
import torch
from restorekit_pix2pix.attention import ChannelAndSpatialAttention, ChannelAttention, SpatialAttention
from restorekit_pix2pix.encoder_decoder import EncoderDecoder, EncoderDiscriminator
from restorekit_pix2pix.patch import PatchDiscriminator
from restorekit_pix2pix.unet import UNetGenerator
from torch import nn
from torch.nn import functional as F

from restorekit.errors import RecipeError


def count(network):
    return sum(p.numel() for p in network.parameters())


def small(**settings):
    torch.manual_seed(0)
    return UNetGenerator(**{"width": 4, "levels": 6, **settings})


def untrained(network):
    return [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def test_parameter_counts_at_width_64():
    assert count(UNetGenerator()) == 54_413_955
    assert count(PatchDiscriminator()) == 2_768_705


def test_unet_256_has_the_stated_layers():
    network = UNetGenerator(width=4)
    assert [d.conv.out_channels // 4 for d in network.down] == [1, 2, 4, 8, 8, 8, 8, 8]
    assert [isinstance(d.norm, nn.BatchNorm2d) for d in network.down] == [False, *[True] * 6, False]
    assert [isinstance(u.norm, nn.BatchNorm2d) for u in network.up] == [*[True] * 7, False]
    assert [isinstance(u.dropout, nn.Dropout) for u in network.up] == [False, *[True] * 3, *[False] * 4]
    assert network.size_rule.multiple == 256


def unet_reference(network, image):
    """The eval-mode U-Net as nested functions: the level inside runs between an encoder and a decoder layer."""

    def norm(layer, x):
        if isinstance(layer, nn.Identity):
            return x
        return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-5)

    levels = len(network.down)

    def level(i, x):
        down, up = network.down[i], network.up[levels - 1 - i]
        y = x if i == 0 else torch.where(x > 0, x, 0.2 * x)
        y = norm(down.norm, F.conv2d(y, down.conv.weight, stride=2, padding=1))
        if i < levels - 1:
            y = torch.cat((y, level(i + 1, y)), 1)
        return norm(up.norm, F.conv_transpose2d(y.clamp(min=0), up.conv.weight, up.conv.bias, stride=2, padding=1))

    return (torch.tanh(level(0, 2 * image - 1)) + 1) / 2


def test_unet_follows_the_facts():
    network = small().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.001, 0.01)
    image = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        output, expected = network(image), unet_reference(network, image)
    assert expected.std() > 0.01
    assert output.shape == image.shape
    assert torch.allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("attention", ["none", "channel", "spatial", "both"])
def test_gradients_reach_every_parameter(attention):
    network = small(attention=attention)
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    # Weights of N(0, 0.02) make attention's hidden units close to 0: some may be closed, none of the layers is.
    assert untrained(network) == []


def test_attention_sits_behind_the_norm_of_every_encoder_convolution():
    network = small(attention="channel").eval()
    seen = []
    for down in network.down:
        down.norm.register_forward_hook(lambda m, i, o: seen.append(o))
        down.attention.register_forward_pre_hook(lambda m, i: seen.append(i[0]))
    network(torch.rand(1, 3, 64, 64))
    assert len(seen) == 12
    assert all(a is b for a, b in zip(seen[::2], seen[1::2], strict=True))


def test_attention_formulas():
    torch.manual_seed(0)
    both = ChannelAndSpatialAttention(6)
    for p in both.parameters():
        nn.init.normal_(p)
    x = torch.randn(2, 6, 4, 5)
    c, s = both.channel, both.spatial
    hidden = (x.mean((2, 3)) @ c.squeeze.weight.T + c.squeeze.bias).clamp(min=0)
    channel = x * torch.sigmoid(hidden @ c.excite.weight.T + c.excite.bias)[:, :, None, None]
    score = (x * s.score.weight.view(1, 6, 1, 1)).sum(1, keepdim=True) + s.score.bias
    spatial = x / (1 + torch.exp(-score))
    assert c.squeeze.out_features == 3
    assert torch.allclose(c(x), channel, atol=1e-6)
    assert torch.allclose(s(x), spatial, atol=1e-6)
    assert torch.allclose(both(x), channel + spatial, atol=1e-5)


def test_attention_parameter_counts():
    widths = [4, 8, 16, 32, 32, 32]
    channel = sum(c * (c // 2) + c // 2 + (c // 2) * c + c for c in widths)
    spatial = sum(c + 1 for c in widths)
    plain = count(small())
    assert count(small(attention="channel")) == plain + channel
    assert count(small(attention="spatial")) == plain + spatial
    assert count(small(attention="both")) == plain + channel + spatial
    assert isinstance(small(attention="channel").down[0].attention, ChannelAttention)
    assert isinstance(small(attention="spatial").down[0].attention, SpatialAttention)


def test_eval_is_deterministic_and_independent_of_the_batch():
    network, images = small(levels=6).eval(), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        together = network(images)
        assert torch.equal(together, network(images))
        assert torch.allclose(together[:1], network(images[:1]), atol=1e-5)


def test_batch_statistics_behave_as_in_training_but_leave_the_weights_alone():
    torch.manual_seed(0)
    plain, source = small(dropout=0.0), small(dropout=0.0, batch_statistics=True)
    source.load_state_dict(plain.state_dict())
    images = torch.rand(3, 3, 64, 64)
    source.eval()
    before = {k: v.clone() for k, v in source.state_dict().items()}
    with torch.no_grad():
        restored, trained = source(images), plain.train()(images)
    assert torch.allclose(restored, trained, atol=1e-6)
    assert all(torch.equal(v, before[k]) for k, v in source.state_dict().items())
    source.train()(images)
    after = source.state_dict()
    assert not torch.equal(after["down.1.norm.running_mean"], before["down.1.norm.running_mean"])


def test_batch_statistics_keep_dropout_when_restoring():
    network = small(batch_statistics=True).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(network(images), network(images))


def test_initial_weights():
    torch.manual_seed(0)
    network = UNetGenerator(width=16)
    weight = network.down[4].conv.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert network.down[4].norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert not network.up[-1].conv.bias.any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attention": "chanel"}, "Did you mean 'channel'"),
        ({"levels": 1}, "levels"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(RecipeError, match=words):
        UNetGenerator(**settings)


@pytest.mark.parametrize("size", [(24, 24), (256, 256), (65, 90)])
def test_patch_logits(size):
    torch.manual_seed(0)
    judge = PatchDiscriminator(width=4)
    images = torch.rand(2, 3, *size)
    logits = judge(images, images.flip(0)).logits
    assert logits.shape == (2, 1, size[0] // 8 - 2, size[1] // 8 - 2)
    logits.square().sum().backward()
    assert untrained(judge) == []


def test_a_patch_logit_sees_70_pixels():
    judge = PatchDiscriminator(width=2).eval()
    candidate = torch.rand(1, 3, 256, 256, requires_grad=True)
    judge(candidate, torch.zeros(1, 3, 256, 256)).logits[0, 0, 15, 15].backward()
    seen = candidate.grad.abs().sum((0, 1))
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == 70
    assert columns[-1] - columns[0] + 1 == 70


@pytest.mark.parametrize("judge", [PatchDiscriminator(width=4), EncoderDiscriminator(width=4, latent=8)])
def test_discriminators_are_conditional(judge):
    judge.eval()
    a, b, c = torch.rand(3, 1, 3, 32, 32).unbind()
    first = judge(a, b).logits
    assert not torch.equal(first, judge(a, c).logits)
    assert not torch.equal(first, judge(c, b).logits)


def test_patch_refuses_tiny_images():
    with pytest.raises(RecipeError, match="at least 24"):
        PatchDiscriminator(width=4)(torch.rand(1, 3, 23, 64), torch.rand(1, 3, 23, 64))


@pytest.mark.parametrize("skips", [False, True])
def test_encoder_decoder(skips):
    torch.manual_seed(0)
    network = EncoderDecoder(width=8, latent=16, skips=skips)
    image = torch.rand(2, 3, 32, 48)
    output = network(image)
    assert output.shape == image.shape
    assert output.min() >= 0
    assert output.max() <= 1
    output.square().mean().backward()
    assert untrained(network) == []


def test_encoder_decoder_widths():
    wide = EncoderDecoder(skips=True)
    assert [b[0].out_channels for b in wide.encoder] == [32, 64, 128, 128]
    assert [b[0].in_channels for b in wide.decoder] == [128, 256, 128]
    assert [b[0].out_channels for b in wide.decoder] == [128, 64, 32]
    # Counted by hand: convolutions of 16 taps, two numbers per batch-normalised channel, two biased layers.
    encoder = 16 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 128) + 32 + 2 * (64 + 128 + 128)
    decoder = 16 * (128 * 128 + 128 * 64 + 64 * 32 + 32 * 3) + 2 * (128 + 64 + 32) + 3
    assert count(EncoderDecoder()) == encoder + decoder
    assert count(wide) == encoder + decoder + 16 * (128 * 64 + 64 * 32 + 32 * 3)


def test_encoder_discriminator_gives_one_logit():
    torch.manual_seed(0)
    judge = EncoderDiscriminator(width=4, latent=8)
    logits = judge(torch.rand(2, 3, 48, 33), torch.rand(2, 3, 48, 33)).logits
    assert logits.shape == (2, 1)
    logits.square().sum().backward()
    assert untrained(judge) == []


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"attention": "both"}, {"batch_statistics": True}])
def test_compiles_without_graph_breaks(settings):
    network, image = small(dropout=0.0, **settings).eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")(image)
        assert torch.allclose(compiled, network(image), atol=1e-5)
