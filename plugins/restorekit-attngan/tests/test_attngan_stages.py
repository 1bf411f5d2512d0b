"""The stages in which AttentiveGAN's parts learn alone."""

from __future__ import annotations

import pytest
import torch

from restorekit.engine.runtime import Runtime
from restorekit.engine.step.engine import Engine
from restorekit.engine.step.task import make_task
from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import Batch
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.recipe.check import check_recipe, model_recipe


def staged(part: str, **changes) -> Recipe:
    values = model_recipe(registry(), "attngan").plain()
    values["losses"].pop("perceptual")  # its network cannot be had here
    values["generator"] |= {"width": 6, "recurrent_width": 4, "time_steps": 2}
    values["data"] |= {"crop": 16, "batch": 2}
    return Recipe.read(values | {"procedure": {"name": "attngan-stage", "part": part}, "precision": "fp32"} | changes)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    clean = (torch.rand(2, 3, 16, 16, generator=generator) * 255).byte()
    degraded = clean.clone()
    degraded[..., :8] = 255
    return Batch(degraded, clean, key=torch.tensor([1, 2]))


def after_steps(part: str, steps: int = 3) -> tuple[Engine, dict[str, torch.Tensor], dict[str, float]]:
    engine = Engine(staged(part), Runtime("cpu", "fp32"))
    before = {name: value.clone() for name, value in engine.generator.state_dict().items()}
    for step in range(steps):
        engine.step(step, batch())
    return engine, before, engine.read_log()


@pytest.mark.parametrize(("part", "still"), [("attention", "autoencoder"), ("autoencoder", "recurrent")])
def test_one_part_learns_and_the_other_stays_as_it_is(part, still):
    engine, before, log = after_steps(part)
    changed = {
        name.split(".")[0] for name, value in engine.generator.state_dict().items() if not value.equal(before[name])
    }
    assert changed == {"recurrent", "autoencoder"} - {still}
    wanted = {"attention"} if part == "attention" else {"multi-scale"}
    assert {name.split("/")[1] for name in log} - {"gradient-norm"} == wanted
    assert list(engine.task.networks) == ["generator"]


def test_the_autoencoder_is_given_the_mask_in_place_of_a_map():
    task = make_task(staged("autoencoder"))
    generator = task.networks["generator"]
    ready = task.prepare(Batch(batch().degraded.float() / 255, batch().clean.float() / 255))
    output = task.forward(task.networks, ready)
    assert torch.equal(output.extra_parts("attention")[-1], ready.mask)
    assert torch.equal(output.image, generator(ready.degraded, ready.mask).image)
    with torch.no_grad():  # what the recurrent network thinks is of no consequence
        generator.recurrent.to_map.bias.fill_(100.0)
    assert torch.equal(task.forward(task.networks, ready).image, output.image)


def test_maps_alone_cost_no_restoration():
    task = make_task(staged("attention"))
    task.networks["generator"].autoencoder = None
    ready = task.prepare(Batch(batch().degraded.float() / 255, batch().clean.float() / 255))
    output = task.forward(task.networks, ready)
    assert torch.equal(output.image, ready.degraded)
    assert len(output.extra_parts("attention")) == 2


def test_a_stage_without_masks_is_refused():
    task = make_task(staged("autoencoder", prior=None))
    with pytest.raises(TrainingError, match="mask"):
        task.forward(task.networks, Batch(torch.rand(1, 3, 16, 16)))
    with pytest.raises(RecipeError, match="'attngan-stage' needs 'mask'"):
        check_recipe(staged("attention", prior=None), registry())


def test_what_no_stage_can_be_is_refused():
    with pytest.raises(RecipeError, match=r"part is 'critic'.*attention or autoencoder"):
        make_task(staged("critic"))
    with pytest.raises(RecipeError, match="none teaches the attention alone"):
        make_task(staged("attention", losses={"mse": {"weight": 1.0}}))
    with pytest.raises(RecipeError, match="this is 'derain'"):
        make_task(staged("autoencoder", generator={"name": "derain", "widths": [4, 4], "blocks": [1, 1]}))
