"""The Rain2Avoid U-Net: parameter counts, sizes, gradients."""

import pytest
import torch
from restorekit_rain2avoid.network import RainUNet
from torch.nn import functional

from restorekit.errors import RecipeError


def test_parameter_count_matches_the_paper():
    assert sum(p.numel() for p in RainUNet().parameters()) == 4_539_988


def test_layers_and_their_order():
    net = RainUNet(width=4)
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    seen = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.bias is not None) for c in convs]
    assert seen == [
        (3, 4, 7, 2, False),
        (4, 8, 5, 2, False),
        (8, 16, 5, 2, False),
        (16, 32, 3, 2, False),
        (48, 16, 3, 1, False),
        (24, 8, 3, 1, False),
        (12, 4, 3, 1, False),
        (7, 3, 3, 1, True),
    ]
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [n.num_features for n in norms] == [8, 16, 32, 16, 8, 4]


@pytest.mark.parametrize("size", [(16, 16), (32, 80), (48, 64)])
def test_any_size_of_the_rule_keeps_its_shape(size):
    net = RainUNet(width=4).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_gradients_reach_every_parameter():
    net = RainUNet(width=4)
    net(torch.rand(2, 3, 32, 32)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_it_can_start_from_the_input():
    image = torch.rand(1, 3, 48, 64)
    net = RainUNet(width=8, start="input")
    assert (net(image) - image).abs().max() < 0.03
    net(image).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    with pytest.raises(RecipeError, match="start 'inputs' is unknown"):
        RainUNet(start="inputs")


def as_drawn(net, image):
    """The layers as the source has them: enlarge, concatenate, convolve."""
    skips = [image]
    for level in net.encoder:
        skips.append(level(skips[-1]))
    features = skips.pop()
    for level in net.decoder:
        joined = torch.cat([functional.interpolate(features, scale_factor=2, mode="nearest"), skips.pop()], 1)
        features = functional.leaky_relu(level.norm(level.convolution(joined)), 0.2)
    return net.head(torch.cat([functional.interpolate(features, scale_factor=2, mode="nearest"), skips.pop()], 1))


def test_small_maps_are_convolved_as_enlarged_ones():
    net = RainUNet(width=4).double()
    image = torch.rand(2, 3, 48, 80, dtype=torch.float64)
    ours, drawn = net(image), as_drawn(net, image)
    assert torch.allclose(ours, drawn, atol=1e-12)
    parameters = list(net.parameters())
    gradients = [torch.autograd.grad(out.square().mean(), parameters) for out in (ours, drawn)]
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(*gradients, strict=True))


def test_autocast_and_channels_last():
    net = RainUNet(width=4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out = net(torch.rand(1, 3, 32, 32).to(memory_format=torch.channels_last))
    assert out.shape == (1, 3, 32, 32)
    assert torch.isfinite(out).all()
