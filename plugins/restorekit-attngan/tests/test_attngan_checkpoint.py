"""The authors' checkpoint format against an independent network built from the facts of the paper and its release."""

from __future__ import annotations

import pytest
import torch
from restorekit_attngan.generator import AttentiveGenerator
from torch import nn
from torch.nn import functional as F


def layer(inside, outside, size=3, stride=1, padding=1, dilation=1):
    return nn.Sequential(nn.Conv2d(inside, outside, size, stride, padding, dilation), nn.ReLU())


def up(inside, outside):
    return nn.Sequential(
        nn.ConvTranspose2d(inside, outside, 4, 2, 1),
        nn.ReflectionPad2d((1, 0, 1, 0)),
        nn.AvgPool2d(2, stride=1),
        nn.ReLU(),
    )


class Reference(nn.Module):
    """The released network's layers under its own names, for BGR images; nothing shared, nothing fused."""

    def __init__(self):
        super().__init__()
        self.det_conv0 = layer(4, 32)
        for i in range(1, 6):
            block = nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU())
            setattr(self, f"det_conv{i}", block)
        for gate in "ifgo":
            setattr(self, f"conv_{gate}", nn.Sequential(nn.Conv2d(64, 32, 3, 1, 1)))
        self.det_conv_mask = nn.Sequential(nn.Conv2d(32, 1, 3, 1, 1))
        self.conv1 = layer(4, 64, 5, 1, 2)
        self.conv2, self.conv3 = layer(64, 128, stride=2), layer(128, 128)
        self.conv4 = layer(128, 256, stride=2)
        for name in ("conv5", "conv6", "conv7", "conv8"):
            setattr(self, name, layer(256, 256))
        for i, d in enumerate((2, 4, 8, 16), 1):
            setattr(self, f"diconv{i}", layer(256, 256, padding=d, dilation=d))
        self.outframe1, self.outframe2 = layer(256, 3), layer(128, 3)
        self.deconv1, self.deconv2 = up(256, 128), up(128, 64)
        self.conv9, self.conv10 = layer(128, 128), layer(64, 32)
        self.output = nn.Sequential(nn.Conv2d(32, 3, 3, 1, 1))

    def forward(self, bgr):
        b, _, height, width = bgr.shape
        mask = torch.full((b, 1, height, width), 0.5)
        h = c = torch.zeros(b, 32, height, width)
        maps = []
        for _ in range(4):
            x = self.det_conv0(torch.cat((bgr, mask), 1))
            for i in range(1, 6):
                x = F.relu(getattr(self, f"det_conv{i}")(x) + x)
            x = torch.cat((x, h), 1)
            i, f, o = (torch.sigmoid(getattr(self, f"conv_{g}")(x)) for g in "ifo")
            c = f * c + i * torch.tanh(self.conv_g(x))
            h = o * torch.tanh(c)
            mask = self.det_conv_mask(h)
            maps.append(mask)
        skip1 = self.conv1(torch.cat((bgr, mask), 1))
        skip2 = self.conv3(self.conv2(skip1))
        x = skip2
        for name in ("conv4", "conv5", "conv6", "diconv1", "diconv2", "diconv3", "diconv4", "conv7", "conv8"):
            x = getattr(self, name)(x)
        quarter = self.outframe1(x)
        x = self.conv9(self.deconv1(x) + skip2)
        half = self.outframe2(x)
        return maps, quarter, half, self.output(self.conv10(self.deconv2(x) + skip1))


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(3)
    network = Reference().eval()
    for parameter in network.parameters():  # PyTorch's own start would leave next to nothing to compare
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    network.output[0].weight.data.mul_(0.1)
    return network


def test_authors_weights_give_the_authors_output(reference):
    ours = AttentiveGenerator().eval()
    ours.load_state_dict(AttentiveGenerator.convert_state_dict(reference.state_dict()))
    rgb = torch.rand(2, 3, 36, 52)
    with torch.no_grad():
        maps, quarter, half, full = reference(rgb.flip(1))
        output = ours(rgb)
    assert full.std() > 0.01  # the comparison means something
    scale = max(1.0, full.abs().max().item())
    assert (output.image - full.flip(1)).abs().max() < 1e-5 * scale
    for mine, theirs in zip(output.extras["scales"], (quarter, half), strict=True):
        assert theirs.std() > 0.01
        assert (mine - theirs.flip(1)).abs().max() < 1e-5 * max(1.0, theirs.abs().max().item())
    for mine, theirs in zip(output.extras["attention"], maps, strict=True):
        assert theirs.std() > 0.01
        assert (mine - theirs).abs().max() < 1e-5


def test_every_authors_key_is_used_and_every_key_of_ours_is_set(reference):
    state = reference.state_dict()
    converted = AttentiveGenerator.convert_state_dict(state)
    assert converted.keys() == AttentiveGenerator().state_dict().keys()
    assert sum(v.numel() for v in converted.values()) == sum(v.numel() for v in state.values()) == 6_244_362


def test_converting_does_not_change_the_given_state(reference):
    state = reference.state_dict()
    before = {k: v.clone() for k, v in state.items()}
    for value in AttentiveGenerator.convert_state_dict(state).values():
        value.zero_()
    assert all(torch.equal(state[k], v) for k, v in before.items())


def test_other_keys_are_refused_and_named(reference):
    state = dict(reference.state_dict())
    del state["conv7.0.bias"]
    state["conv99.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"1 missing \(conv7\.0\.bias\), 1 unexpected \(conv99\.weight\)"):
        AttentiveGenerator.convert_state_dict(state)
    with pytest.raises(ValueError, match="missing"):
        AttentiveGenerator.convert_state_dict({})
