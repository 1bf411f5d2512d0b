"""Frozen parts of a generator: they neither learn nor change, and the rest goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.engine.step import engine as engine_module
from restorekit.engine.step.engine import Engine
from restorekit.engine.step.replay import find_culprit
from restorekit.errors import RecipeError


def trained(lab, recipe, steps: int = 2) -> tuple[Engine, set[str]]:
    """Return an engine after some steps, and the names in the generator's state that changed."""
    engine, feed = lab.engine(recipe), lab.feed(recipe)
    before = {k: v.clone() for k, v in engine.generator.state_dict().items()}
    for step in range(steps):
        engine.step(step, feed.batch(step))
    return engine, {k for k, v in engine.generator.state_dict().items() if not torch.equal(v, before[k])}


def test_a_frozen_part_stays_and_the_rest_learns(lab):
    engine, moved = trained(lab, lab.recipe("attngan", 'frozen=["recurrent"]', "ema=0.5"))
    assert moved
    assert all(name.startswith("autoencoder.") for name in moved)
    frozen = set(engine.generator.recurrent.parameters())
    assert not frozen & set(engine.updaters["generator"].parameters)
    averaged = engine.best_generator.state_dict()
    assert all(torch.equal(v, averaged[k]) for k, v in engine.generator.state_dict().items() if k not in moved)


def test_the_statistics_of_a_frozen_part_stay(lab):
    """Also behind an evaluation, which puts the whole network back into training mode."""
    _, free = trained(lab, lab.recipe("pix2pix"))
    assert "down.1.norm.running_mean" in free
    recipe = lab.recipe("pix2pix", 'frozen=["down"]')
    engine, feed = lab.engine(recipe), lab.feed(recipe)
    before = {k: v.clone() for k, v in engine.generator.down.state_dict().items()}
    for step in range(2):
        engine.step(step, feed.batch(step))
        engine.generator.eval().train()
    assert all(torch.equal(v, before[k]) for k, v in engine.generator.down.state_dict().items())


def test_a_replay_leaves_frozen_parts_frozen(lab):
    recipe = lab.recipe("attngan", 'frozen=["recurrent"]')
    engine, feed = lab.engine(recipe), lab.feed(recipe)
    assert find_culprit(engine, "generator", 0, feed.batch(0)) == ""
    assert not any(p.requires_grad for p in engine.generator.recurrent.parameters())


def test_what_a_network_froze_itself_gets_no_gradient(lab, monkeypatch):
    recipe = lab.recipe("remaen")
    build = engine_module.make_task

    def build_frozen(recipe):
        task = build(recipe)
        next(task.networks["generator"].parameters()).requires_grad_(False)
        return task

    monkeypatch.setattr(engine_module, "make_task", build_frozen)
    engine, moved = trained(lab, recipe)
    name, first = next(engine.generator.named_parameters())
    assert not first.requires_grad
    assert name not in moved


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        ('["recurent"]', r"'recurent', which AttentiveGenerator does not have. Did you mean 'recurrent'"),
        ('["recurrent", "autoencoder"]', "no parameter left to learn with frozen="),
    ],
)
def test_a_wrong_name_or_nothing_to_learn_is_refused(lab, frozen: str, said: str):
    with pytest.raises(RecipeError, match=said):
        lab.engine(lab.recipe("attngan", f"frozen={frozen}"))


def test_a_recipe_without_frozen_parts_keeps_its_identity(lab):
    recipe = lab.recipe("attngan")
    assert recipe.model_copy(update={"frozen": ()}).digest() == recipe.digest()
    assert recipe.model_copy(update={"frozen": ("recurrent",)}).digest() != recipe.digest()


def test_resume_with_a_frozen_part_equals_no_interruption(lab, tmp_path: Path):
    recipe = lab.recipe("attngan", 'frozen=["recurrent"]', "steps=4")
    lab.train(recipe, tmp_path / "whole")
    lab.train(recipe, tmp_path / "parts", 2)
    lab.train(recipe, tmp_path / "parts")
    whole, parts = lab.state(tmp_path / "whole"), lab.state(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[key]) for key, value in whole.items())
