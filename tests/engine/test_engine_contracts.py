"""Components that hand over something else than they must are named, wherever in a step it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from restorekit import networks
from restorekit.engine.feed.references import referencer_of
from restorekit.engine.step.task import RecipeTask
from restorekit.engine.step.update import build_optimizer
from restorekit.errors import PluginError, RecipeError
from restorekit.interface import Batch, Output
from restorekit.networks import build_generator
from restorekit.plugin.registry import registry
from restorekit.recipe import apply_overrides
from restorekit.recipe.check import check_recipe
from restorekit.recipe.parts import Optim

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, clean=IMAGES, key=torch.tensor([1, 2]))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ((IMAGES, IMAGES), "a tuple"),
        ({"image": IMAGES}, "a dict"),
        (None, "a NoneType"),
        (IMAGES[..., ::2, ::2], r"a tensor of shape \(2, 3, 32, 32\)"),
        (Output(IMAGES[:, :1]), r"a tensor of shape \(2, 1, 64, 64\)"),
    ],
)
def test_a_generator_gives_an_image_of_the_same_shape(lab, given, what):
    task = RecipeTask(lab.recipe("remaen"))
    with pytest.raises(PluginError, match=rf"the generator gave {what}; it must give the restored image \(2, 3, 64, 6"):
        task.forward({"generator": lambda degraded: given}, BATCH)


@pytest.mark.parametrize("given", [0.5, None, torch.ones(2), torch.ones(1)])
def test_a_loss_gives_one_value(lab, given):
    task = RecipeTask(lab.recipe("remaen"))
    task.losses["generator"] = {"mine": (1.0, lambda seen: given)}
    with pytest.raises(PluginError, match=r"loss 'mine' gave .*; it must give one value, a tensor without dimensions"):
        task.terms("generator", {}, BATCH, Output(IMAGES))


def test_a_discriminator_gives_a_judgement(lab):
    task = RecipeTask(lab.recipe("pix2pix"))
    with pytest.raises(PluginError, match=r"the discriminator gave a tensor .*; it must give a Judgement"):
        task.terms("generator", {"discriminator": lambda candidate, degraded: IMAGES}, BATCH, Output(IMAGES))


def test_a_prior_gives_a_batch(lab):
    task = RecipeTask(lab.recipe("remaen"))
    task.prior = lambda batch: None
    with pytest.raises(PluginError, match="the prior gave a NoneType; it must give a Batch"):
        task.prepare(BATCH)


def test_a_network_is_a_module(lab, monkeypatch):
    monkeypatch.setattr(networks, "create", lambda kind, name, **settings: dict)
    with pytest.raises(PluginError, match=r"generator 'remaen' is built as a type; .* torch\.nn\.Module"):
        build_generator(lab.recipe("remaen"))


@pytest.mark.parametrize("changes", [{"mask": IMAGES[:, :1]}, {"mask": IMAGES[:, :1], "references": IMAGES[:, None]}])
def test_a_prior_of_whole_images_gives_references_only(changes):
    class Whole(torch.nn.Module):
        per_image = True

        def forward(self, batch: Batch) -> Batch:
            return batch.replace(**changes)

    references = referencer_of(Whole(), torch.device("cpu"))
    assert references is not None
    with pytest.raises(PluginError, match="must give references, and nothing else"):
        references(np.zeros((64, 64, 3), np.uint8), 0)


@pytest.mark.parametrize("late", ["data.synthesis.task=rain-streak", "data.augment.drops=0.5"])
def test_a_prior_of_whole_images_never_sees_clean_ones(lab, tmp_path: Path, late: str):
    recipe = lab.recipe("rain2avoid", late)
    with pytest.raises(RecipeError, match=r"would see the clean ones.*restorekit data synthesize"):
        lab.train(recipe, tmp_path / "run")


def test_critic_losses_must_look_at_the_discriminator(lab):
    recipe = apply_overrides(lab.recipe("pix2pix"), ["critic_losses={l1={weight=1.0}}"])
    with pytest.raises(RecipeError, match=r"none of its critic losses \(l1\) needs what the discriminator 'patchgan'"):
        check_recipe(recipe, registry())


def test_optimizers_of_second_order_are_refused():
    parameters = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(RecipeError, match="needs second derivatives"):
        build_optimizer(Optim(name="adahessian", lr=0.1), parameters, torch.device("cpu"))
