"""Large pictures are restored strip by strip: as whole ones are, and within a bounded memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from restorekit.data.images import Picture, read_picture, reading
from restorekit.errors import RestorekitError
from restorekit.interface import SizeRule
from restorekit.restoring import Restorer, restorer
from restorekit.restoring.spans import tiling_of
from restorekit.restoring.strips import restore_strips


class Blur(nn.Module):
    """Looks 3 pixels far, at half the size, so that the grid of tiles matters."""

    size_rule = SizeRule(multiple=4, minimum=8)

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 3, 2, stride=2)
        self.outer = nn.ConvTranspose2d(3, 3, 4, 2, 1)

    def forward(self, degraded):
        return 0.5 * degraded + 0.2 * self.outer(self.inner(degraded)).sigmoid()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Blur().eval()


def picture(height, width, kind=np.uint8, **rest):
    levels = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (height, width, 3))
    return Picture(levels.astype(kind), **rest)


@pytest.mark.parametrize("size", [(203, 150), (64, 333), (9, 100), (101, 13)])
@pytest.mark.parametrize(("tile", "flips"), [(48, False), (64, True), (0, False)])
def test_strips_give_what_whole_pictures_give(network, size, tile, flips, monkeypatch):
    # Tiles are mirrored one by one: where the padding is not empty, a mirrored whole image lies on another grid.
    given = picture(size[0], -(-size[1] // 4) * 4 if flips else size[1])
    whole = Restorer(network, device="cpu", precision="fp32", tile=0, flips=flips).restore_picture(given)
    monkeypatch.setattr(restorer, "LARGE", 1)
    strips = Restorer(network, device="cpu", precision="fp32", tile=tile, flips=flips).restore_picture(given)
    difference = np.abs(whole.pixels.astype(int) - strips.pixels.astype(int))
    assert difference.max() <= 1  # the sum of two weights may round to another level
    assert (difference > 0).mean() < 0.01


def test_depth_alpha_and_greyness_stay(network, monkeypatch):
    monkeypatch.setattr(restorer, "LARGE", 1)
    deep = picture(80, 90, np.uint16, alpha=np.full((80, 90), 7, np.uint16), grey=True)
    done = Restorer(network, device="cpu", tile=48).restore_picture(deep)
    assert done.pixels.dtype == np.uint16
    assert done.grey
    assert (done.pixels[..., 0] == done.pixels[..., 2]).all()
    assert (done.alpha == 7).all()
    assert (deep.pixels == picture(80, 90, np.uint16).pixels).all(), "the given picture is as it was"


def test_tiles_are_halved_when_the_memory_runs_out(network, monkeypatch):
    monkeypatch.setattr(restorer, "LARGE", 1)

    class Hungry(Blur):
        sizes: list = []  # noqa: RUF012

        def forward(self, degraded):
            self.sizes.append(degraded.shape[-1])
            if degraded.shape[-1] > 70:
                raise MemoryError
            return degraded

    given = picture(150, 170)
    done = Restorer(Hungry(), device="cpu", precision="fp32", tile=128).restore_picture(given)
    assert (done.pixels == given.pixels).all()
    assert {128, 64} <= set(Hungry.sizes)


def test_values_that_are_not_finite_are_an_error():
    with pytest.raises(RestorekitError, match="not finite"):
        restore_strips(lambda planes: planes * np.nan, picture(20, 20), tiling_of(0, 1, SizeRule()))


def test_every_row_is_read_before_it_could_be_needed_no_more(network):
    """Each tile sees the picture itself, mirrored at the end and then repeated, as `pad_to_rule` pads."""
    seen = []
    given = picture(3, 3)
    restore_strips(lambda planes: seen.append(planes) or planes, given, tiling_of(0, 1, SizeRule(multiple=8)))
    rows = [0, 1, 2, 1, 0, 0, 0, 0]
    expected = given.pixels[np.ix_(rows, rows)].transpose(2, 0, 1)[None] / np.float32(255)
    np.testing.assert_allclose(seen[0], expected, rtol=1e-6)


PROGRAM = """
import resource, sys, numpy as np, torch
from PIL import Image
from torch import nn
from restorekit.restoring import Restorer
from restorekit.restoring.memory import keep_freed_memory

Image.new("RGB", (16, 16)).save(sys.argv[1] + "/small.png")
pixels = np.tile(np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8), (8, 8, 1))
Image.fromarray(pixels).save(sys.argv[1] + "/in.jpg")
del pixels

class Wide(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 3, 3, padding=1), nn.Sigmoid())

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1e3
keep_freed_memory()
restorer = Restorer(Wide(), device="cpu", precision="fp32")
restorer.restore_file(sys.argv[1] + "/small.png", sys.argv[1] + "/out.png")
open("/proc/self/clear_refs", "w").write("5")
before = peak()
restorer.restore_file(sys.argv[1] + "/in.jpg", sys.argv[1] + "/out.jpg")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_sixteen_megapixels_take_less_than_a_gigabyte_and_a_half(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1500


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_large_pictures_are_read_as_small_ones(mode, tmp_path, monkeypatch):
    levels = np.random.default_rng(1).integers(0, 256, (23, 17, 4), dtype=np.uint8)
    Image.fromarray(levels).convert(mode).save(
        tmp_path / "a.webp" if mode != "LA" else tmp_path / "a.tif", lossless=True
    )
    [path] = tmp_path.iterdir()
    small = read_picture(path)
    monkeypatch.setattr(reading, "_LARGE", 1)
    monkeypatch.setattr(reading, "_ROWS", 5)
    large = read_picture(path)
    assert (large.pixels == small.pixels).all()
    assert (large.alpha is None) == (small.alpha is None)
    assert large.alpha is None or (large.alpha == small.alpha).all()
