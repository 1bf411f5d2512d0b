"""The prior ``rain-layer``: direction, separation, and the images that it must leave alone."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from restorekit_rain2avoid import layer as module
from restorekit_rain2avoid.direction import rain_directions
from restorekit_rain2avoid.layer import RainLayer, rain_coverage
from restorekit_rain2avoid.separation import SeparationSettings, separate

from restorekit.data.builtin import photos
from restorekit.errors import DataError, RecipeError
from restorekit.interface import Batch

_spec = importlib.util.spec_from_file_location("rain_scenes", Path(__file__).with_name("rain_scenes.py"))
scenes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scenes)
lines, photograph, psnr = scenes.lines, scenes.photograph, scenes.psnr

SETTINGS = SeparationSettings(0.1, 0.15, 0.045, 0.008, 10.0, 4.0, 30)


@pytest.mark.parametrize("degrees", [-30.0, -8.0, 0.0, 17.0, 40.0])
def test_direction_is_that_of_the_streaks(degrees):
    image = (photograph() + lines(160, 200, degrees)).clamp(0, 1)
    assert abs(rain_directions(image)[0] - degrees) <= 2.5


def test_single_streak_on_a_plain_scene_is_found_where_it_is():
    layer = lines(64, 64, 0.0, count=0)
    layer[16:48, 30:32] = 0.2
    found = separate(torch.full((3, 64, 64), 0.4) + layer, 0.0, SETTINGS)
    assert found.min() >= 0
    assert 0.12 < found[20:44, 30:32].mean() < 0.21
    assert found[:, :26].max() < 0.02
    assert found[:, 36:].max() < 0.02


def test_plain_scene_has_no_rain():
    assert separate(torch.full((3, 40, 50), 0.4), 10.0, SETTINGS).max() < 1e-5


def test_coloured_line_stays():
    red, grey = (torch.full((3, 64, 64), 0.4) for _ in range(2))
    red[0, 16:48, 30:32] += 0.2
    grey[:, 16:48, 30:32] += 0.2
    lost_red, lost_grey = (separate(image, 0.0, SETTINGS)[20:44, 30:32].mean() for image in (red, grey))
    assert lost_red < 0.25 * lost_grey


@pytest.mark.parametrize("degrees", [-20.0, 0.0, 12.0])
def test_rain_becomes_less_and_takes_no_colour_with_it(degrees):
    clean = photograph()
    image = (clean + lines(160, 200, degrees)).clamp(0, 1)
    restored = RainLayer()(Batch(image[None])).references[0, 0]
    assert psnr(restored, clean) > psnr(image, clean) + 3
    removed = image - restored
    assert removed.min() >= -1e-6
    inside = restored.amin(0) > 0
    assert (removed.amax(0) - removed.amin(0))[inside].max() < 1e-5


@pytest.mark.parametrize("index", range(4))
def test_photograph_without_rain_stays_within_two_levels(index):
    clean = photograph(index=index % len(photos()))
    restored = RainLayer()(Batch(clean[None])).references[0, 0]
    assert (restored - clean).abs().max() <= 2 / 255


def test_coverage_is_the_share_of_blocks_that_are_won():
    rain, impostor = torch.zeros(400, 400), torch.full((400, 400), 0.05)
    rain[:, :320] = 0.1  # wins in 8 of 10 columns of blocks
    assert rain_coverage(rain, impostor) == pytest.approx(0.8)
    assert rain_coverage(rain, torch.zeros(400, 400)) == 1.0
    assert rain_coverage(torch.zeros(40, 40), torch.zeros(40, 40)) == 0.0


def test_another_direction_is_tried_where_the_likeliest_has_no_rain(monkeypatch):
    clean = photograph()
    image = (clean + lines(160, 200, 25.0)).clamp(0, 1)
    monkeypatch.setattr(module, "rain_directions", lambda image, count: [-20.0, 25.0, 0.0][:count])
    shares = iter([0.6, 0.95, 0.6])
    monkeypatch.setattr(module, "rain_coverage", lambda rain, impostor: next(shares))
    found = RainLayer(candidates=2).layer(image)
    assert psnr(image - found, clean) > psnr(image, clean) + 3
    assert not RainLayer(candidates=1).layer(image).any()


def test_rain_of_two_directions():
    clean = photograph()
    image = (clean + lines(160, 200, -25.0) + lines(160, 200, 20.0, seed=1)).clamp(0, 1)
    one, two = (RainLayer(layers=n)(Batch(image[None])).references[0, 0] for n in (1, 2))
    assert psnr(two, clean) > psnr(one, clean) + 0.5 > psnr(image, clean) + 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (11, 13), (40, 60)])
def test_smaller_than_a_patch(size):
    image = photograph(*size)
    restored = RainLayer()(Batch(image[None])).references
    assert restored.shape == (1, 1, 3, *size)
    assert bool(((restored >= 0) & (restored <= 1)).all())


def test_grey_image_is_treated_as_colours_that_are_equal():
    grey = (photograph().mean(0, keepdim=True) + lines(160, 200, 5.0)).clamp(0, 1)
    one = RainLayer()(Batch(grey[None])).references
    three = RainLayer()(Batch(grey.expand(3, -1, -1)[None])).references
    assert torch.equal(one, three)


def test_large_image_is_separated_at_a_smaller_scale():
    image = (photograph() + lines(160, 200, 10.0)).clamp(0, 1)
    large = torch.nn.functional.interpolate(image[None], scale_factor=2, mode="nearest")[0]
    small_layer = RainLayer().layer(image)
    large_layer = RainLayer(pixels=160 * 200).layer(large)
    assert large_layer.shape == large.shape[1:]
    back = torch.nn.functional.avg_pool2d(large_layer[None], 2)[0]
    # interpolated to twice the size and averaged back it is a little smoother, so not equal
    assert (back - small_layer).abs().mean() < 0.3 * small_layer.mean()
    assert abs(back.mean() - small_layer.mean()) < 0.02 * small_layer.mean()


def test_uint8_face_agrees_with_the_tensors():
    image = (photograph() + lines(160, 200, 10.0)).clamp(0, 1)
    pixels = (image * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    given = RainLayer().references(pixels)
    tensor = RainLayer()(Batch(torch.tensor(pixels).movedim(-1, 0)[None].float() / 255)).references[0, 0]
    assert given.shape == (1, 160, 200, 3)
    assert np.abs(given[0] / 255 - tensor.movedim(0, -1).numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"across": 0.0}, "across is 0.0"), ({"along": -1.0}, "along is -1.0"), ({"iterations": 0}, "iterations is 0")],
)
def test_refuses_settings_out_of_range(wrong, words):
    with pytest.raises(RecipeError, match=words):
        RainLayer(**wrong)


def test_refuses_other_channels_and_masks():
    with pytest.raises(DataError, match=r"RGB \[B, 3, H, W\]"):
        RainLayer()(Batch(torch.zeros(1, 4, 8, 8)))
    with pytest.raises(RecipeError, match="leave --mask"):
        RainLayer().apply_to(np.zeros((8, 8, 3), np.uint8), samples=2)
