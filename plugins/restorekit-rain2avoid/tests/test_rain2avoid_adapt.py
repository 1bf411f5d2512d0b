"""The models that learn the one image they restore, through the engine: budget, early stop, crops, outputs."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from restorekit_rain2avoid.models import rain2avoid, rain2avoid_plus

import restorekit
from restorekit.engine.adapt.one_image import adapt
from restorekit.engine.feed.order import sample_key
from restorekit.errors import RecipeError
from restorekit.recipe import Recipe
from restorekit.recipe.model import merged

_spec = importlib.util.spec_from_file_location("rain_scenes", Path(__file__).with_name("rain_scenes.py"))
scenes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scenes)
psnr, rainy_photograph = scenes.psnr, scenes.rainy_photograph


def single(**changes):
    """Return the faithful recipe with a narrow network and few references."""
    small = {"generator": {"width": 4}, "prior": {"samples": 12}, "precision": "fp32"}
    return Recipe.read(merged(merged(rain2avoid().plain(), small), changes))


def test_stops_when_the_held_out_references_no_longer_come_closer(monkeypatch):
    steps = []
    from restorekit.engine.step.engine import Engine

    step = Engine.step
    monkeypatch.setattr(Engine, "step", lambda self, number, batch: (steps.append(number), step(self, number, batch)))
    _, image = rainy_photograph(48, 48)
    # A rate of nearly nothing: the second look finds no change of note, and the patience runs out.
    still = {"generator": {"lr": 1e-12}}
    adapt(single(adapt={"steps": 400, "patience": 20}, optim=still), image[None], device="cpu")
    assert len(steps) < 400


def test_early_stop_returns_the_weights_that_came_closest(monkeypatch):
    from restorekit.engine.adapt import earlystop as module

    seen = []
    look = module.EarlyStop.look

    def watched(self, step, network):
        look(self, step, network)
        seen.append(self.best)

    monkeypatch.setattr(module.EarlyStop, "look", watched)
    _, image = rainy_photograph(48, 48)
    network = adapt(single(adapt={"steps": 60, "patience": 20}), image[None], device="cpu", precision="fp32")
    held_out = references_of(image)[-1]
    with torch.no_grad():
        restored = network(image[None])[0]
    assert float((restored - held_out).square().mean()) == pytest.approx(min(seen), rel=1e-3)


def references_of(image):
    """Return the references [12, 3, H, W] that the recipe of `single` learns an image [3, H, W] from."""
    prior = restorekit.create("prior", "nss", samples=12, align=True, compare="rain")
    found = torch.from_numpy(prior.references(pixels_of(image), sample_key(0, 0)))
    return found.movedim(-1, 1).float() / 255


def pixels_of(image):
    return (image * 255).round().to(torch.uint8).movedim(0, -1).numpy()


def test_early_stop_needs_more_than_one_reference():
    _, image = rainy_photograph(48, 48)
    with pytest.raises(RecipeError, match="holds references out"):
        adapt(single(prior={"expectation": True}, adapt={"patience": 10}), image[None], device="cpu")


def test_time_budget_counts_from_the_call(monkeypatch):
    _, image = rainy_photograph(48, 48)
    began = time.monotonic()
    adapt(single(adapt={"steps": 100_000}), image[None], device="cpu", seconds=1.0)
    assert time.monotonic() - began < 20


@pytest.fixture
def steps_done(monkeypatch):
    """The numbers of the steps that the engine makes."""
    from restorekit.engine.step.engine import Engine

    step, done = Engine.step, []
    monkeypatch.setattr(Engine, "step", lambda self, number, batch: (done.append(number), step(self, number, batch)))
    return done


def test_a_budget_that_ends_too_early_gives_the_mean_of_the_references(steps_done):
    _, image = rainy_photograph(48, 64)
    found = adapt(single(adapt={"steps": 5000}), image[None], device="cpu", steps=2)
    assert steps_done == []
    torch.testing.assert_close(found[0], references_of(image).mean(0), rtol=0, atol=0.0021)


def test_time_that_the_references_have_used_up_is_not_exceeded_by_a_step(steps_done):
    _, image = rainy_photograph(48, 64)
    found = adapt(single(), image[None], device="cpu", seconds=1e-6)
    assert steps_done == []
    torch.testing.assert_close(found[0], references_of(image).mean(0), rtol=0, atol=0.0021)


def test_training_that_is_too_slow_for_the_budget_is_given_up(steps_done):
    _, image = rainy_photograph(48, 64)
    slow = single(adapt={"steps": 10**8, "fallback": 10**7})
    assert isinstance(adapt(slow, image[None], device="cpu", seconds=60), torch.Tensor)
    assert steps_done == [0, 1]


def test_without_rain_a_budget_that_ends_too_early_gives_the_input():
    image = torch.full((3, 48, 64), 100.3 / 255)  # finer than 8 bits
    found = adapt(single(), image[None], device="cpu", seconds=1e-6)
    torch.testing.assert_close(found[0], image)


def test_a_network_counts_after_enough_steps_and_when_it_did_all_of_them(monkeypatch, caplog):
    from restorekit.engine.adapt import earlystop as module
    from restorekit.notices import notice_once

    notice_once.cache_clear()
    _, image = rainy_photograph(48, 48)
    still = single(adapt={"steps": 2}, optim={"generator": {"lr": 1e-12}})
    assert isinstance(adapt(still, image[None], device="cpu"), torch.nn.Module)
    assert isinstance(adapt(single(adapt={"fallback": 0}), image[None], device="cpu", steps=1), torch.nn.Module)
    monkeypatch.setattr(module.View, "astray", lambda *_: False)
    few = single(adapt={"fallback": 2})
    assert isinstance(adapt(few, image[None], device="cpu", steps=2), torch.nn.Module)
    assert "the budget is too small" not in caplog.text
    assert isinstance(adapt(few, image[None], device="cpu", steps=1), torch.Tensor)


def test_a_network_further_from_the_references_than_the_input_does_not_count():
    _, image = rainy_photograph(48, 48)
    blind = single(adapt={"fallback": 1}, generator={"start": "random"}, optim={"generator": {"lr": 1e-12}})
    found = adapt(blind, image[None], device="cpu", steps=2)
    torch.testing.assert_close(found[0], references_of(image).mean(0), rtol=0, atol=0.0021)


def test_batch_norm_is_measured_on_the_image():
    """After few steps running averages are far off: the network in eval mode must do as in training."""
    _, image = rainy_photograph(48, 64)
    network = adapt(single(adapt={"steps": 3}), image[None], device="cpu", precision="fp32")
    with torch.no_grad():
        restored, trained = network(image[None]), network.train()(image[None])
    torch.testing.assert_close(restored, trained, rtol=0, atol=0.01)


@pytest.mark.parametrize("size", [(1, 1), (10, 13), (16, 16)])
def test_tiny_images_are_learned(size):
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    network = adapt(single(adapt={"steps": 2}), image[None], device="cpu")
    assert isinstance(network, torch.nn.Module)


def test_large_image_is_learned_in_crops(monkeypatch):
    from restorekit.engine.step.engine import Engine

    sizes = []
    step = Engine.step

    def watched(self, number, batch):
        sizes.append(tuple(batch.degraded.shape))
        step(self, number, batch)

    monkeypatch.setattr(Engine, "step", watched)
    _, image = rainy_photograph(96, 160)
    adapt(single(adapt={"steps": 3, "pixels": 64 * 64, "patience": 2}), image[None], device="cpu")
    assert set(sizes) == {(1, 3, 64, 64)}


def test_another_generator_takes_the_place_of_the_network():
    _, image = rainy_photograph(64, 64)
    recipe = merged(single().plain(), {"adapt": {"steps": 2}})
    recipe["generator"] = {"name": "unet", "encoder": "resnet18"}
    network = adapt(Recipe.read(recipe), image[None], device="cpu")
    assert network(image[None]).shape == (1, 3, 64, 64)


def test_mean_of_the_references_as_the_output():
    _, image = rainy_photograph(64, 80)
    recipe = single(adapt={"output": "references"}, prior={"expectation": True})
    found = adapt(recipe, image[None], device="cpu")
    prior = restorekit.create("prior", "nss", align=True, compare="rain")
    expected = prior.apply_to(pixels_of(image))[""]
    assert np.abs(found[0].movedim(0, -1).numpy() * 255 - expected).max() <= 0.51


def test_references_as_the_output_need_a_prior_that_gives_them():
    _, image = rainy_photograph(32, 32)
    recipe = single(adapt={"output": "references"}).model_copy(update={"prior": None})
    with pytest.raises(RecipeError, match="its prior gives none"):
        adapt(recipe, image[None], device="cpu")


def test_plus_restores_arrays_of_any_kind():
    clean, image = rainy_photograph(161, 203)
    restorer = restorekit.load("rain2avoid-plus", device="cpu")
    pixels = pixels_of(image)
    restored = restorer.restore(pixels)
    assert restored.dtype == np.uint8
    assert restored.shape == pixels.shape
    back = torch.tensor(restored).movedim(-1, 0).float() / 255
    assert psnr(back, clean) > psnr(image, clean) + 2
    grey = restorer.restore(pixels[..., 1])
    assert grey.shape == pixels.shape[:2]


def test_plus_keeps_the_faithful_model_as_it_is():
    assert rain2avoid().adapt.output == "prediction"
    assert rain2avoid().prior.name == "nss"
    assert rain2avoid_plus().adapt.output == "references"


def test_a_budget_that_ends_too_early_is_said_once(caplog):
    from restorekit.notices import notice_once

    notice_once.cache_clear()
    _, image = rainy_photograph(48, 48)
    for _ in range(2):
        adapt(single(adapt={"fallback": 2}), image[None], device="cpu", steps=1)
    assert caplog.text.count("the budget is too small") == 1
