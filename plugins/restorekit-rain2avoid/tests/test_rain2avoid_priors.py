"""The priors as modules: batches, grey images, small images, keys, files."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image
from restorekit_rain2avoid import restorekit_entries
from restorekit_rain2avoid.models import rain2avoid
from restorekit_rain2avoid.nss import candidate_bands, expectation
from restorekit_rain2avoid.priors import LDGP, NSS, to_8bit

from restorekit.errors import DataError, RecipeError
from restorekit.interface import Batch


def rainy(count=1, height=96, width=112, seed=0):
    """Return smooth images [B, 3, H, W] with bright upright streaks at 8-bit levels, and the streaks."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = (0.4 + 0.2 * torch.sin(x / 17) * torch.cos(y / 23)).expand(count, 3, -1, -1).clone()
    streaks = torch.zeros(count, 1, height, width)
    for b in range(count):
        for _ in range(25):
            top = int(torch.randint(height - 20, (1,), generator=generator))
            left = int(torch.randint(width, (1,), generator=generator))
            streaks[b, 0, top : top + 20, left] = 1
    return ((image + 0.3 * streaks) * 255).round() / 255, streaks


def test_mask_finds_the_streaks():
    image, streaks = rainy()
    mask = LDGP()(Batch(image)).mask
    assert mask.shape == (1, 1, 96, 112)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    found = mask.bool() & streaks.bool()
    assert found.sum() / streaks.sum() > 0.85


def test_each_image_of_a_batch_is_looked_at_alone():
    image, _ = rainy(3)
    image[1] = image[1].transpose(1, 2).reshape(3, -1)[:, : 96 * 112].reshape(3, 96, 112)
    prior = LDGP()
    together = prior(Batch(image)).mask
    for index in range(3):
        assert torch.equal(together[index], prior(Batch(image[index : index + 1])).mask[0])


def test_grey_images_give_what_their_rgb_form_gives():
    image = rainy()[0][:, :1]
    rgb = image.expand(-1, 3, -1, -1)
    assert torch.equal(LDGP()(Batch(image)).mask, LDGP()(Batch(rgb)).mask)
    grey, colour = NSS(samples=2)(Batch(image)).references, NSS(samples=2)(Batch(rgb)).references
    assert grey.shape == (1, 2, 1, 96, 112)
    assert torch.equal(grey.expand(-1, -1, 3, -1, -1), colour)


@pytest.mark.parametrize("size", [(1, 1), (2, 33), (40, 50), (81, 79)])
def test_small_and_odd_sizes(size):
    batch = Batch(torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert LDGP()(batch).mask.shape == (2, 1, *size)
    assert NSS(samples=3)(batch).references.shape == (2, 3, 3, *size)


def test_an_image_without_streaks_comes_back_as_it_is():
    image = torch.full((1, 3, 90, 90), 0.5)
    assert LDGP()(Batch(image)).mask.sum() == 0
    assert torch.equal(NSS(samples=2)(Batch(image)).references[0, 0], image[0])


def test_autocast_changes_neither_angle_nor_mask():
    image, _ = rainy()
    with torch.autocast("cpu", torch.bfloat16):
        inside = LDGP().explain(image)
    outside = LDGP().explain(image)
    assert torch.equal(inside["histogram"], outside["histogram"])
    assert torch.equal(inside["mask"], outside["mask"])


def test_references_depend_on_the_key_and_not_on_the_place_in_the_batch():
    image = rainy()[0]
    prior = NSS(samples=4)
    one = prior(Batch(image, key=torch.tensor([7]))).references
    two = prior(Batch(image.repeat(2, 1, 1, 1), key=torch.tensor([8, 7]))).references
    assert torch.equal(two[1], one[0])
    assert not torch.equal(two[0], one[0])
    assert not torch.equal(NSS(samples=4, seed=1)(Batch(image, key=torch.tensor([7]))).references, one)


def test_references_differ_only_where_there_is_rain_and_average_to_the_expectation():
    image = rainy()[0]
    drawn = NSS(samples=400)(Batch(image)).references[0]
    mean = NSS(expectation=True)(Batch(image)).references
    assert mean.shape == (1, 1, 3, 96, 112)
    dry = LDGP()(Batch(image)).mask[0, 0] == 0
    assert torch.equal(drawn[:, :, dry], image[0][:, dry].expand(400, -1, -1))
    spread = drawn.std(0).clamp(min=1e-3) / 400**0.5
    assert ((drawn.mean(0) - mean[0, 0]).abs() / spread).max() < 6


def test_a_given_mask_is_used_unless_it_is_not_trusted():
    image, streaks = rainy()
    given = NSS(expectation=True)(Batch(image, mask=streaks)).references[0, 0]
    bands = candidate_bands(to_8bit(image)[0], (streaks[0, 0] * 255).to(torch.uint8))
    assert torch.equal(given, expectation(image[0], bands))
    untrusting = NSS(expectation=True, trust_mask=False)
    found = untrusting(Batch(image, mask=torch.zeros_like(streaks))).references
    assert torch.equal(found, untrusting(Batch(image)).references)


def test_whole_image_references_in_8_bit_match_the_tensor_form():
    image = rainy()[0]
    pixels = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    prior = NSS(samples=3)
    from_pixels = prior.references(pixels, key=5)
    from_batch = prior(Batch(image, key=torch.tensor([5]))).references[0]
    assert from_pixels.dtype == np.uint8
    np.testing.assert_array_equal(from_pixels, (from_batch * 255).round().byte().permute(0, 2, 3, 1).numpy())


def test_explain_and_draw(tmp_path):
    image = rainy()[0]
    why = LDGP().explain(image)
    assert why["angle"] in (0, -5)  # upright edges lie between the last bin and the first
    assert why["histogram"].shape == (36,)
    assert int(why["votes"].argmax()) in (0, 35)
    pixels = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    LDGP().draw(pixels, tmp_path / "why.png")
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.size[0] > 800


def test_applied_to_pixels():
    image, streaks = rainy()
    pixels = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    mask = LDGP().apply_to(pixels)[""]
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    found = NSS().apply_to(pixels, mask=(streaks[0, 0].numpy() * 255).astype(np.uint8), samples=2)
    assert list(found) == ["", "sample-01", "sample-02"]
    assert all(value.shape == pixels.shape for value in found.values())
    with pytest.raises(DataError, match=r"96 x 112.*|3 x 3"):
        NSS().apply_to(pixels, mask=np.zeros((3, 3), np.uint8))
    with pytest.raises(RecipeError, match="takes neither"):
        LDGP().apply_to(pixels, mask=mask)


def test_settings_are_checked():
    with pytest.raises(RecipeError, match="samples is 0"):
        NSS(samples=0)
    with pytest.raises(RecipeError, match="orderly"):
        LDGP(layout="ordered")
    with pytest.raises(RecipeError, match="compare 'rainfree' is unknown; use rain-free or rain"):
        NSS(compare="rainfree")
    with pytest.raises(DataError, match="RGB"):
        LDGP()(Batch(torch.zeros(1, 4, 8, 8)))


def test_entries_lead_to_what_they_declare():
    names = {(entry.kind, entry.name) for entry in restorekit_entries()}
    priors = {("prior", "ldgp"), ("prior", "nss"), ("prior", "rain-layer")}
    assert names == {*priors, ("generator", "rain-unet"), ("model", "rain2avoid"), ("model", "rain2avoid-plus")}
    for entry in restorekit_entries():
        module, _, attribute = entry.target.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_recipe_has_the_sources_training_settings():
    recipe = rain2avoid()
    assert (recipe.data.crop, recipe.data.batch) == (64, 64)
    assert recipe.optim.generator.lr == 1e-3
    assert recipe.prior.settings["samples"] == 50
    assert recipe.adapt.steps == 5000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_mask_and_the_expectation_of_the_cpu():
    image = rainy(2, 200, 260)[0]
    assert torch.equal(LDGP()(Batch(image)).mask, LDGP()(Batch(image.cuda())).mask.cpu())
    here, there = (NSS(expectation=True)(Batch(i)).references.cpu() for i in (image, image.cuda()))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)
    here, there = (NSS(samples=5)(Batch(i)).references.cpu() for i in (image, image.cuda()))
    assert (here != there).float().mean() < 1e-3
