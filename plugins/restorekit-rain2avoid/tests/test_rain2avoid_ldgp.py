"""The angle, the rotation and the mask: against brute force, known images and the authors' program."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from restorekit_rain2avoid.hog import BINS, grey_8bit, patch_histograms, rain_angles
from restorekit_rain2avoid.mask import brighter_than_surroundings, keep_vertical_runs, rain_prior
from restorekit_rain2avoid.rotation import Region, canvas_size, rotate

REFERENCE = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "rain2avoid-reference"
real = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the shared Rain2Avoid reference images are not here")

# What the authors' masks were made with: found by trying every angle against them.
AUTHORS_ANGLES = {
    "1": -5, "3": 25, "4": 0, "7": 0, "9": 5, "10": 0, "15": 15, "17": 30,
    "20": 10, "21": -5, "22": -40, "23": 0, "24": -30, "31": -30, "32": -20, "33": 15,
}  # fmt: skip


def read(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).contiguous()


def stripes(degrees, height=160, width=160):
    """Return a grey image [1, H, W] whose bright lines lean by `degrees` from vertical."""
    y, x = np.mgrid[:height, :width]
    across = x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees))
    return torch.from_numpy((127 + 100 * np.sin(across / 2)).round().astype(np.int32))[None]


def brute_force_histogram(patch, swapped):
    """Return [36] for a patch [80, 80] by the definition, one pixel, block and cell at a time."""
    blocks = np.zeros((7, 7, 4, 4, 36))  # block row, block column, cell row, cell column
    for y in range(80):
        for x in range(80):
            dx = 0 if x in (0, 79) else patch[y, x + 1] - patch[y, x - 1]
            dy = 0 if y in (0, 79) else patch[y + 1, x] - patch[y - 1, x]
            place = math.atan2(dy, dx) % math.pi / math.pi * 36 - 0.5
            for by in range(max(0, y // 8 - 3), min(6, y // 8) + 1):
                for bx in range(max(0, x // 8 - 3), min(6, x // 8) + 1):
                    v, u = y - 8 * by, x - 8 * bx
                    gauss = math.exp(-((v - 16) ** 2 + (u - 16) ** 2) / (2 * 8**2))
                    for cy in range(4):
                        for cx in range(4):
                            wy = max(0, 1 - abs((v + 0.5) / 8 - 0.5 - cy))
                            wx = max(0, 1 - abs((u + 0.5) / 8 - 0.5 - cx))
                            vote = math.hypot(dx, dy) * gauss * wy * wx
                            low = math.floor(place)
                            blocks[by, bx, cy, cx, low % 36] += vote * (1 - (place - low))
                            blocks[by, bx, cy, cx, (low + 1) % 36] += vote * (place - low)
    cells, covered = np.zeros((10, 10, 36)), np.zeros((10, 10, 1))
    for by in range(7):
        for bx in range(7):
            block = blocks[by, bx]
            block = np.minimum(block / (np.sqrt((block**2).sum()) + 57.6), 0.2)
            block /= np.sqrt((block**2).sum()) + 1e-3
            for cy in range(4):
                for cx in range(4):
                    place = (by + cx, bx + cy) if swapped else (by + cy, bx + cx)
                    cells[place] += block[cy, cx]
                    covered[place] += 1
    return (cells / covered).sum((0, 1))


@pytest.mark.parametrize("layout", ["authors", "orderly"])
def test_histogram_is_the_definition(layout):
    patch = np.random.default_rng(0).integers(0, 256, (80, 80)).astype(np.int32)
    patch[20:50, 30:70] = patch[20, 30:70]  # not the same along both axes
    ours = patch_histograms(torch.from_numpy(patch)[None], layout)
    theirs = brute_force_histogram(patch.astype(float), layout == "authors")
    np.testing.assert_allclose(ours[0, 0].numpy(), theirs, rtol=1e-4)


@pytest.mark.parametrize(
    ("lean", "angle"),
    [(2, 0), (12, 10), (37, 35), (47, 45), (-3, -5), (-33, -35), (-63, -65), (88, 0), (92, 0)],
)
def test_angle_of_stripes(lean, angle):
    """An edge at `lean` degrees falls into the bin of 5 degrees below it; 85 and 90 are taken for 0."""
    assert rain_angles(patch_histograms(stripes(lean))).tolist() == [angle]


def test_angle_is_the_most_frequent_one_and_the_smallest_among_equals():
    votes = torch.zeros(2, 5, BINS)
    votes[0, range(5), [7, 3, 7, 3, 9]] = 1.0
    votes[1, range(5), [30, 30, 30, 2, 2]] = 1.0
    assert rain_angles(votes).tolist() == [15, -30]


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (79, 200), (40, 40)])
def test_images_below_one_patch_still_have_an_angle(size):
    image = stripes(22)[:, : size[0], : size[1]].contiguous()
    histograms = patch_histograms(image)
    assert torch.isfinite(histograms).all()
    if min(size) >= 40:
        assert rain_angles(histograms).abs().tolist() == [20]


def test_grey_of_8_bit_colours():
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]])
    grey = grey_8bit(colours.T.reshape(1, 3, 1, 6))
    assert grey.flatten().tolist() == [0, 255, 76, 150, 29, 18]


def test_rotation_by_90_degrees_turns_counter_clockwise():
    image = torch.arange(6 * 8).reshape(1, 6, 8)
    turned = rotate(image, 90)
    assert turned.shape == (1, *canvas_size(6, 8, 90))
    np.testing.assert_array_equal(turned[0, 1:].numpy(), np.rot90(image[0].numpy())[: turned.shape[1] - 1])


@pytest.mark.parametrize("degrees", [-50, -5, 15, 70])
def test_rotation_is_bilinear_with_a_white_border(degrees):
    """Against float interpolation: positions are rounded to 1/32 pixel, which moves a level by at most 2."""
    y, x = np.mgrid[:40, :60]
    image = np.stack([3 * y + x, 4 * x, 255 - 2 * x - y]).clip(0, 255)
    turned = rotate(torch.from_numpy(image), degrees).numpy()
    height, width = turned.shape[1:]
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    v, u = np.mgrid[:height, :width]
    source_x = c * (u - width / 2) - s * (v - height / 2) + 30
    source_y = s * (u - width / 2) + c * (v - height / 2) + 20
    framed = np.pad(image, ((0, 0), (2, 2), (2, 2)), constant_values=255)
    left, top = np.floor(source_x).astype(int).clip(-2, 60), np.floor(source_y).astype(int).clip(-2, 40)
    fx, fy = source_x - np.floor(source_x), source_y - np.floor(source_y)

    def at(dy, dx):
        return framed[:, top + 2 + dy, left + 2 + dx]

    expected = (at(0, 0) * (1 - fx) + at(0, 1) * fx) * (1 - fy) + (at(1, 0) * (1 - fx) + at(1, 1) * fx) * fy
    inside = (source_x > 1) & (source_x < 58) & (source_y > 1) & (source_y < 38)
    assert inside.sum() > 1000
    assert np.abs(turned - expected)[:, inside].max() <= 2
    outside = (source_x < -1.1) | (source_x > 60.1) | (source_y < -1.1) | (source_y > 40.1)
    assert (turned[:, outside] == 255).all()


def test_a_region_is_a_part_of_the_whole():
    image = torch.randint(0, 256, (3, 50, 70), generator=torch.Generator().manual_seed(0))
    whole = rotate(image, 25)
    assert torch.equal(rotate(image, 25, Region(7, 11, 40, 30)), whole[:, 7:47, 11:41])


def test_local_mean_is_rounded_and_edges_are_repeated():
    grey = np.random.default_rng(1).integers(0, 256, (17, 23))
    grey[5:12] = 100
    grey[8, 8:16] += 1
    padded = np.pad(grey, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    expected = grey > np.rint(windows.mean((2, 3)))
    np.testing.assert_array_equal(brighter_than_surroundings(torch.from_numpy(grey)).numpy(), expected)


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_ten_survive_one_pixel_lower(seed):
    mask = np.random.default_rng(seed).random((40, 30)) < 0.9
    mask[:, 3] = False
    mask[12:22, 3] = True

    def window(values, combine):
        return np.array([combine(values[max(0, y - 5) : y + 5], axis=0) for y in range(len(values))])

    ours = keep_vertical_runs(torch.from_numpy(mask)).numpy()
    np.testing.assert_array_equal(ours, window(window(mask, np.all), np.any))
    assert np.flatnonzero(ours[:, 3]).tolist() == list(range(13, 23))


@pytest.mark.parametrize("size", [(160, 240), (161, 241), (121, 203), (240, 161)])
@pytest.mark.parametrize("angle", [-40, -15, 15, 30])
def test_an_aligned_mask_lies_on_its_streaks(size, angle):
    """White lines 24 pixels apart: the mask's mean distance from the nearest, across it, is within 1/4 of 0."""
    y, x = np.mgrid[: size[0], : size[1]]
    across = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
    distance = (across + 12) % 24 - 12
    image = torch.from_numpy(np.where(np.abs(distance) < 1.5, 220, 100).astype(np.uint8)).expand(3, -1, -1).contiguous()
    mask = rain_prior(image, angle, align=True).numpy() > 10
    inside = np.zeros(size, bool)
    inside[20:-20, 20:-20] = True
    assert (mask & inside).sum() > 300
    assert abs(distance[mask & inside].mean()) < 0.25


@real
def test_masks_are_those_of_the_authors_program():
    exact = 0
    for name, angle in AUTHORS_ANGLES.items():
        image = read(REFERENCE / "input" / f"{name}.png")
        theirs = np.array(Image.open(REFERENCE / "ldgp" / f"{name}.png").convert("L"))
        assert rain_angles(patch_histograms(grey_8bit(image[None]))).tolist() == [angle], name
        exact += int((rain_prior(image, angle).numpy() == theirs).all())
    assert exact == 16


@real
def test_orderly_layout_gives_another_angle_on_three_images():
    images = {name: read(REFERENCE / "input" / f"{name}.png") for name in AUTHORS_ANGLES}
    angles = {n: int(rain_angles(patch_histograms(grey_8bit(i[None]), "orderly"))) for n, i in images.items()}
    assert [name for name in angles if angles[name] != AUTHORS_ANGLES[name]] == ["9", "22", "31"]
