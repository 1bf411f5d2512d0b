"""The sampler against its definition, against the authors' program, and its statistics."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from restorekit_rain2avoid.nss import COMPARISONS, OFFSETS, candidate_bands, draw, expectation

_spec = importlib.util.spec_from_file_location("nss_definition", Path(__file__).with_name("nss_definition.py"))
definition = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(definition)

REFERENCE = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "rain2avoid-reference"


def to_tensor(image_HWC):
    return torch.from_numpy(image_HWC).permute(2, 0, 1).contiguous()


def random_case(seed, height, width, rain, grades=(0, 5, 11, 255)):
    """Return a random image and a prior whose share of rain is about `rain`, in blobs and single pixels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[: height // 2] //= 16  # many small distances, some of them 0
    wet = rng.random((height, width)) < rain
    prior = np.where(wet, rng.choice(grades[1:], (height, width)), 0).astype(np.uint8)
    return image, prior


def assert_expectation_agrees(image, prior, **settings):
    for compare in COMPARISONS:
        bands = candidate_bands(to_tensor(image), torch.from_numpy(prior), compare=compare, **settings)
        ours = expectation(to_tensor(image), bands).permute(1, 2, 0).double().numpy()
        np.testing.assert_allclose(ours, definition.expectation(image, prior, compare), rtol=0, atol=2e-3)


@pytest.mark.parametrize("rain", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("size", [(12, 14), (9, 5), (3, 20), (2, 2), (1, 7)])
def test_expectation_is_the_definition_on_random_images(size, rain):
    for seed in range(3):
        assert_expectation_agrees(*random_case(seed, *size, rain))


def test_blobs_of_rain_grow_the_patch_and_leave_pixels_without_candidates():
    image, prior = random_case(7, 24, 24, 0.0)
    prior[3:19, 4:20] = 255  # 16 wide: patches of 3, 5, 7 at its rim, no candidate in the middle
    assert_expectation_agrees(image, prior)
    ours = expectation(to_tensor(image), candidate_bands(to_tensor(image), torch.from_numpy(prior)))
    middle = (slice(None), slice(7, 15), slice(8, 16))
    assert torch.equal(ours[middle], to_tensor(image)[middle].float())


def test_rain_at_every_border_and_corner():
    image, prior = random_case(8, 15, 17, 0.2)
    prior[:2] = prior[-2:] = 200
    prior[:, :3] = prior[:, -1:] = 200
    assert_expectation_agrees(image, prior)


def test_an_image_of_rain_alone_and_one_without_stay_as_they_are():
    image, prior = random_case(9, 10, 11, 0.0)
    for value in (0, 10, 11, 255):
        bands = candidate_bands(to_tensor(image), torch.from_numpy(np.full_like(prior, value)))
        assert torch.equal(expectation(to_tensor(image), bands), to_tensor(image).float())


def test_bright_grades_between_are_neither_rain_nor_candidates():
    image, prior = random_case(10, 10, 10, 0.8, grades=(0, 1, 10, 11))
    assert {1, 10, 11} <= set(np.unique(prior))
    assert_expectation_agrees(image, prior)


@pytest.mark.parametrize("band_pixels", [1, 40, 10_000])
def test_bands_change_nothing(band_pixels):
    image, prior = random_case(11, 21, 13, 0.4)
    assert_expectation_agrees(image, prior, band_pixels=band_pixels)


def test_band_size_does_not_change_the_drawn_references():
    image, prior = (torch.from_numpy(array) for array in random_case(12, 21, 13, 0.4))
    image = image.permute(2, 0, 1).contiguous()
    one, many = (draw(image, candidate_bands(image, prior, n), 5, torch.Generator().manual_seed(3)) for n in (9999, 1))
    assert torch.equal(one, many)


def test_drawn_candidates_follow_the_probabilities():
    """Frequencies over 20,000 references against the definition: chi-square below its 1 - 1e-6 quantile."""
    image, prior = random_case(13, 7, 8, 0.4)
    image = (np.arange(7 * 8, dtype=np.uint8)[:, None] * np.array([4, 1, 2], dtype=np.uint8)).reshape(7, 8, 3)
    tensor = to_tensor(image)
    drawn = draw(
        tensor,
        candidate_bands(tensor, torch.from_numpy(prior)),
        20_000,
        torch.Generator().manual_seed(5),
    )
    chi_square, freedom = 0.0, 0
    for y, x in zip(*np.nonzero(prior > 10), strict=True):
        places, probabilities = definition.candidates_and_probabilities(image, prior, y, x)
        green = drawn[:, 1, y, x].numpy()
        observed = np.array([(green == image[place][1]).sum() for place in places])
        assert observed.sum() == 20_000
        chi_square += ((observed - 20_000 * probabilities) ** 2 / (20_000 * probabilities)).sum()
        freedom += len(places) - 1
    assert freedom > 200
    assert abs(chi_square - freedom) < 5 * (2 * freedom) ** 0.5


def test_references_keep_pixels_outside_the_rain_and_differ_from_each_other():
    image, prior = random_case(14, 16, 16, 0.3)
    tensor, dry = to_tensor(image), torch.from_numpy(prior <= 10)
    drawn = draw(tensor, candidate_bands(tensor, torch.from_numpy(prior)), 4, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.uint8
    assert torch.equal(drawn[:, :, dry], tensor[:, dry].expand(4, -1, -1))
    assert not torch.equal(drawn[0], drawn[1])


def test_offsets_are_the_neighbourhood_without_its_centre():
    square = [(y, x) for y in range(-3, 4) for x in range(-3, 4) if (y, x) != (0, 0)]
    assert square == OFFSETS


def reference_images():
    """Yield image [3, H, W], prior [H, W] and the authors' mean of 50 references [H, W, 3], all uint8."""
    for path in sorted((REFERENCE / "input").glob("*.png")):
        image = to_tensor(np.array(Image.open(path).convert("RGB")))
        prior = torch.from_numpy(np.array(Image.open(REFERENCE / "ldgp" / path.name).convert("L")))
        yield image, prior, np.array(Image.open(REFERENCE / "sdr-mean" / path.name).convert("RGB"))


def authors_mean(image, prior):
    """Return the mean [H, W, 3] uint8 of 50 references whose random numbers start anew at every pixel, as the authors'."""
    levels = torch.from_numpy(np.random.RandomState(0).random_sample(50))
    mean = image.double()
    for band in candidate_bands(image, prior, compare="rain"):
        weights = band.weights.double()
        cumulative = (weights / weights.sum(1, keepdim=True)).cumsum(1)
        choice = torch.searchsorted(cumulative, levels.expand(len(weights), -1).contiguous(), right=True)
        places = band.steps()[choice.clamp(max=len(OFFSETS) - 1)] + band.pixels[:, None]
        mean.flatten(1)[:, band.pixels] = image.flatten(1)[:, places].double().mean(2)
    return mean.round().byte().permute(1, 2, 0).numpy()


needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the Rain2Avoid reference images are not here")


@needs_reference
@pytest.mark.parametrize(("compare", "mean", "least"), [("rain-free", 41, 32), ("rain", 49, 38)])
def test_expectation_agrees_with_the_authors_mean_of_references(compare, mean, least):
    scores = []
    for image, prior, theirs in reference_images():
        bands = candidate_bands(image, prior, compare=compare)
        ours = expectation(image, bands).round().permute(1, 2, 0).numpy()
        scores.append(10 * np.log10(255**2 / np.mean((ours - theirs.astype(np.float64)) ** 2)))
    assert len(scores) == 16
    assert np.mean(scores) >= mean
    assert min(scores) >= least


@needs_reference
def test_the_authors_random_numbers_give_their_mean_bit_for_bit():
    for image, prior, theirs in reference_images():
        assert np.array_equal(authors_mean(image, prior), theirs)
