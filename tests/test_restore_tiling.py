"""Tiles give what the whole image gives, within the memory they are given."""

from __future__ import annotations

import errno
import platform
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restorekit.errors import RestorekitError
from restorekit.interface import SizeRule
from restorekit.layers import GlobalMean
from restorekit.outofmemory import is_out_of_memory
from restorekit.restoring import Restorer, memory
from restorekit.restoring import restorer as restorer_module
from restorekit.restoring.tiling import receptive_field, run_tiled

torch.set_num_threads(1)


def convolutions(*kernels, seed=0):
    torch.manual_seed(seed)
    channels = [3, *[4] * (len(kernels) - 1), 3]
    layers = []
    for index, kernel in enumerate(kernels):
        layers += [nn.Conv2d(channels[index], channels[index + 1], kernel, padding=kernel // 2), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


class Strided(nn.Module):
    """Down by 4, a 3x3 kernel there, up by 4: needs multiples of 4."""

    def __init__(self):
        super().__init__()
        self.size_rule = SizeRule(multiple=4, minimum=4)
        self.down = nn.Conv2d(3, 8, 4, stride=4)
        self.mid = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=4)

    def forward(self, x):
        return self.up(self.mid(self.down(x)))


@pytest.mark.parametrize(("kernels", "radius"), [((1,), 0), ((3,), 1), ((3, 3, 5), 4), ((7, 7, 7, 7), 12)])
def test_receptive_field_of_plain_convolutions(kernels, radius):
    assert receptive_field(convolutions(*kernels), SizeRule()) == radius


def test_receptive_field_sees_over_gaps_and_stops_at_the_cap():
    torch.manual_seed(0)
    wide = nn.Conv2d(3, 3, 3, dilation=50, padding=50)
    assert receptive_field(wide, SizeRule()) == 50
    assert receptive_field(convolutions(7, 7, 7, 7), SizeRule(), cap=8) == 8

    def everything(x):
        return x - x.mean((-1, -2), keepdim=True) * 100

    assert receptive_field(everything, SizeRule(), cap=48) == 48


def test_receptive_field_of_a_strided_network_covers_its_cells():
    torch.manual_seed(0)
    field = receptive_field(Strided(), SizeRule(4, 4))
    assert 7 <= field <= 4 + 3 + 4  # a pixel sees its cell of 4 and the two beside it


@torch.inference_mode()
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 64), (65, 131), (400, 37)])
def test_tiled_equals_whole_for_a_known_receptive_field(size):
    net = convolutions(3, 3, 5)
    image = torch.rand(1, 3, *size)
    tiled = run_tiled(net, image, tile=40, overlap=2 * 4 + 6, margin=4)
    assert (tiled - net(image)).abs().max() < 1e-6


@torch.inference_mode()
def test_a_margin_below_the_receptive_field_is_not_exact():
    net = convolutions(3, 3, 5)
    image = torch.rand(1, 3, 80, 80)
    tiled = run_tiled(net, image, tile=40, overlap=12, margin=0)
    assert (tiled - net(image)).abs().max() > 1e-4


@torch.inference_mode()
def test_tiles_of_a_strided_network_start_on_its_grid():
    torch.manual_seed(0)
    net = Strided()
    image = torch.rand(1, 3, 100, 132)
    tiled = run_tiled(net, image, tile=48, overlap=2 * 8 + 4, multiple=4, margin=8)
    assert (tiled - net(image)).abs().max() < 1e-6


@pytest.mark.parametrize(("tile", "overlap", "margin"), [(16, 4, 0), (16, 6, 3), (16, 8, 2), (20, 10, 4)])
@pytest.mark.parametrize("size", [16, 17, 33, 95])
def test_weights_sum_to_one_everywhere(size, tile, overlap, margin):
    image = torch.rand(1, 3, size, 2 * size)
    assert torch.allclose(run_tiled(lambda x: x, image, tile, overlap, 1, margin), image, atol=1e-6)


def test_only_tiles_reach_the_network_and_feathering_is_smooth():
    seen = []

    def offset(x):  # every tile has another brightness: the worst case for seams
        seen.append(x.shape[-2:])
        return torch.full_like(x, len(seen) % 2)

    result = run_tiled(offset, torch.zeros(1, 3, 32, 200), tile=64, overlap=32)
    assert max(max(shape) for shape in seen) <= 64
    assert (result[..., 1:] - result[..., :-1]).abs().max() <= 1 / 32 + 1e-6


def test_tiles_that_are_all_overlap_are_refused():
    with pytest.raises(RestorekitError, match="larger tiles"):
        run_tiled(lambda x: x, torch.zeros(1, 3, 64, 64), tile=16, overlap=16)


@torch.inference_mode()
def test_bytes_per_pixel_counts_what_is_alive_at_once():
    def two_alive(x):  # 10 channels beside 20 channels; the 10 are gone before the 5
        a = torch.cat([x[:, :1]] * 10, 1)
        b = torch.cat([a, a], 1)
        del a
        return b[:, :5] * 2

    _, slope = memory.bytes_per_pixel(two_alive, SizeRule(), torch.device("cpu"))
    assert slope == pytest.approx(2 * 4 * (10 + 20), rel=0.02)


def test_out_of_memory_is_told_from_other_errors():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as info:
        torch.empty(2**60)
    assert is_out_of_memory(info.value)
    for words in (
        "could not create a primitive",
        "std::bad_alloc",
        "CUBLAS_STATUS_ALLOC_FAILED when calling",
        "x: unable to allocate 3 GB",
    ):
        assert is_out_of_memory(RuntimeError(words))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_freed_memory_is_kept():
    program = """
import resource, torch
from restorekit.restoring.memory import keep_freed_memory
def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given_back = new_pages()
keep_freed_memory()
print(given_back, min(new_pages() for _ in range(6)))
"""
    given_back, kept = map(int, subprocess.check_output([sys.executable, "-c", program], text=True).split())
    # At first small blocks may come to lie in between, and then a large one takes new pages once more.
    assert kept < given_back / 4


class Squeezing(nn.Module):
    """Convolutions whose channels are scaled by their means over the image, twice, and a plain convolution."""

    def __init__(self, mean):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = (nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 8), (8, 8), (8, 3)))
        self.mean = mean

    def forward(self, x):
        for layer in (self.first, self.second):
            x = layer(x)
            x = x * torch.sigmoid(4 * self.mean(x))
        return self.last(x)


class PlainMean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True)


def two_scenes(height, width):
    """A dark scene beside a bright one, uint8 [H, W, 3]."""
    noise = np.random.default_rng(0).integers(0, 120, (height, width, 3))
    noise[:, width // 2 :] += 135
    return noise.astype(np.uint8)


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("flips", [False, True])
def test_tiles_have_the_means_of_the_whole_image(strips, flips, monkeypatch, caplog):
    """Each tile had its own: the tiles of two scenes differed by up to 46 levels from the image restored as one."""
    monkeypatch.setattr(restorer_module, "LARGE", 1 if strips else 10**9)
    image = Image.fromarray(two_scenes(96, 192))
    settings = {"device": "cpu", "precision": "fp32", "flips": flips}
    whole, tiled = (
        np.asarray(Restorer(Squeezing(GlobalMean()), tile=tile, **settings).restore(image)).astype(int)
        for tile in (0, 64)
    )
    assert np.abs(whole - tiled).max() <= 1
    assert not caplog.messages
    assert receptive_field(Squeezing(GlobalMean()), SizeRule()) == 3


def test_tiles_of_a_network_that_looks_at_the_whole_image_are_told(caplog):
    restorer = Restorer(Squeezing(PlainMean()), device="cpu", precision="fp32", tile=64)
    restorer.restore(Image.fromarray(two_scenes(96, 192)))
    (said,) = caplog.messages
    assert re.search(r"looks 128 pixels far or at the whole image, and gets tiles of 64: .*--tile 0", said)


def test_means_are_the_images_own_again_when_the_tiles_are_done():
    mean = GlobalMean()
    Restorer(Squeezing(mean), device="cpu", tile=64).restore(Image.fromarray(two_scenes(96, 192)))
    x = torch.rand(2, 3, 5, 4)
    assert mean.source is None
    assert torch.equal(mean(x), x.mean((2, 3), keepdim=True))
