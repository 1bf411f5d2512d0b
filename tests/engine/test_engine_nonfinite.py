"""Losses and gradients that are not finite: masked, named, and followed by what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from restorekit.engine.run import opening
from restorekit.engine.run.remedies import MASKED_IN_A_ROW, ROLLBACKS, SKIPS, action_for
from restorekit.engine.step.nonfinite import MaskedUpdates
from restorekit.errors import TrainingError

NAN = float("nan")


class Gradient(torch.autograd.Function):
    """Passes a value on, and a gradient that is not finite back."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * NAN


@pytest.fixture
def spoil(monkeypatch):
    """``spoil(module, samples)``: what `module` of the generator gives is not finite for those samples.

    A step is known by the key of its first sample, so that a replay of it is spoiled too, and a step on other
    samples is not.
    """

    def install(kind: type[nn.Module], bad_keys: set[int], change=lambda value: value * NAN, index: int = 0) -> None:
        original = opening.Engine
        current: list[bool] = [False]

        class Spoiled(original):
            def __init__(self, *arguments, **options) -> None:
                super().__init__(*arguments, **options)
                found = [m for m in self.generator.modules() if isinstance(m, kind)]
                found[index].register_forward_hook(lambda m, given, out: change(out) if current[0] else None)

            def prepare(self, step, batch):
                current[0] = int(batch.key[0]) in bad_keys
                return super().prepare(step, batch)

        monkeypatch.setattr(opening, "Engine", Spoiled)

    return install


def keys(lab, recipe, *steps: int) -> set[int]:
    feed = lab.feed(recipe)
    return {int(feed.batch(step).key[0]) for step in steps}


def test_message_names_step_phase_term_and_module(lab, tmp_path: Path, spoil):
    recipe = lab.recipe("pix2pix-small", "save_every=2")
    spoil(nn.ConvTranspose2d, keys(lab, recipe, 4), index=1)
    with pytest.raises(TrainingError) as caught:
        lab.train(recipe, tmp_path / "run")
    message = str(caught.value)
    assert "not finite in phase 'discriminator' at step 4 (critic;" in message
    assert "comes out of generator.decoder.1.0 (ConvTranspose2d)" in message
    assert f"The last checkpoint in {tmp_path / 'run' / 'checkpoints'} is good" in message
    assert lab.train(recipe, tmp_path / "run", 4).step == 4  # what was saved at step 4 is usable


def test_supervised_message_names_all_terms(lab, tmp_path: Path, spoil):
    recipe = lab.recipe("remaen")
    spoil(nn.Conv2d, keys(lab, recipe, 2))
    with pytest.raises(TrainingError, match=r"phase 'generator' at step 2 \(mse, edge; the first value .* generator\."):
        lab.train(recipe, tmp_path / "run")


def test_gradient_alone_is_found_too(lab, tmp_path: Path, spoil):
    """Every value is finite; the culprit is the last parameter below the module that spoils gradients."""
    recipe = lab.recipe("pix2pix-small", "phases.discriminator.start=100")
    spoil(nn.ConvTranspose2d, keys(lab, recipe, 3), change=Gradient.apply, index=1)
    with pytest.raises(TrainingError) as caught:
        lab.train(recipe, tmp_path / "run")
    assert "phase 'generator' at step 3 (no single term: the gradient; the values are finite" in str(caught.value)
    assert "is that of generator.decoder.1.0." in str(caught.value)


def test_loss_that_overflows_by_itself_is_named(lab, tmp_path: Path, monkeypatch):
    recipe = lab.recipe("remaen")
    from restorekit.losses.pixel import MSE

    original = MSE.forward
    count = []

    def overflow(self, seen):
        count.append(1)
        return original(self, seen) * (float("inf") if len(count) > 2 else 1)

    monkeypatch.setattr(MSE, "forward", overflow)
    with pytest.raises(TrainingError, match=r"at step 2 \(mse; .* comes out of loss 'mse' \(MSE\)"):
        lab.train(recipe, tmp_path / "run")


def test_what_does_not_recur_is_said_so(lab, tmp_path: Path, monkeypatch):
    from restorekit.losses.pixel import MSE

    original, count = MSE.forward, []

    def once(self, seen):
        count.append(1)
        return original(self, seen) * (NAN if len(count) == 2 else 1)

    monkeypatch.setattr(MSE, "forward", once)
    with pytest.raises(TrainingError, match="did not recur when the step was replayed"):
        lab.train(lab.recipe("remaen"), tmp_path / "run")


@pytest.mark.parametrize("model", ["remaen", "pix2pix"])
def test_skip_goes_on_as_if_the_step_had_not_been(lab, tmp_path: Path, spoil, caplog, model: str):
    """Weights stay finite, one step's update is missing, and replaying it leaves no trace."""
    recipe = lab.recipe(model, "steps=6", "ema=0.5")
    kind = nn.Conv2d
    spoil(kind, keys(lab, recipe, 3))
    often = lab.train(recipe, tmp_path / "often", on_nan="skip", log_every=1)
    seldom = lab.train(recipe, tmp_path / "seldom", on_nan="skip", log_every=6)
    assert often.completed
    assert seldom.completed
    one, other = lab.state(tmp_path / "often"), lab.state(tmp_path / "seldom")
    assert [n for n in one if not torch.equal(one[n], other[n])] == []
    assert all(torch.isfinite(v).all() for v in one.values())
    assert one[".engine.updaters.generator.optimizer.state.0.step"] == 5
    assert "at step 3" in caplog.text


def test_rollback_goes_back_and_on_with_other_samples(lab, tmp_path: Path, spoil, caplog):
    recipe = lab.recipe("remaen", "steps=6", "save_every=2")
    spoil(nn.Conv2d, keys(lab, recipe, 3))
    assert lab.train(recipe, tmp_path / "run", on_nan="rollback").completed
    assert "going back to step 2" in caplog.text
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "nan" not in "".join(rows)
    assert lab.state(tmp_path / "run")[".progress.rollbacks"] == 1


def test_rollback_resumes_exactly(lab, tmp_path: Path, spoil):
    recipe = lab.recipe("remaen", "steps=8", "save_every=2", "ema=0.9")
    spoil(nn.Conv2d, keys(lab, recipe, 3))
    lab.train(recipe, tmp_path / "whole", on_nan="rollback")
    for last in (5, 8):
        lab.train(recipe, tmp_path / "parts", last, on_nan="rollback")
    one, other = lab.state(tmp_path / "whole"), lab.state(tmp_path / "parts")
    assert [n for n in one if not torch.equal(one[n], other[n])] == []


def test_rollback_before_the_first_checkpoint_goes_to_the_start(lab, tmp_path: Path, spoil):
    recipe = lab.recipe("remaen", "steps=4")
    spoil(nn.Conv2d, keys(lab, recipe, 1))
    assert lab.train(recipe, tmp_path / "run", on_nan="rollback").completed


def always_bad(monkeypatch) -> None:
    from restorekit.losses.pixel import MSE

    monkeypatch.setattr(MSE, "forward", lambda self, seen: seen.output.image.mean() * NAN)


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_going_on_is_bounded(lab, tmp_path: Path, monkeypatch, policy: str):
    always_bad(monkeypatch)
    with pytest.raises(TrainingError, match=f"--on-nan {policy} goes"):
        lab.train(lab.recipe("remaen", "steps=1000"), tmp_path / "run", on_nan=policy, log_every=5)


def masked(count: int = 1, streak: int = 1) -> MaskedUpdates:
    return MaskedUpdates("generator", count, streak, 7, ())


def test_bounds():
    def act(policy: str, found: MaskedUpdates, fp16: bool = False, rollbacks: int = 0) -> str:
        return action_for(policy, found, fp16=fp16, rollbacks=rollbacks)

    assert act("stop", masked()) == "stop"
    assert act("skip", masked(SKIPS, 1)) == "skip"
    assert act("skip", masked(SKIPS + 1, 1)) == "stop"
    assert act("skip", masked(streak=MASKED_IN_A_ROW)) == "stop"
    assert act("rollback", masked(), rollbacks=ROLLBACKS - 1) == "rollback"
    assert act("rollback", masked(), rollbacks=ROLLBACKS) == "stop"
    # overflow of fp16 is ordinary, until backing the scale off cannot explain it
    assert act("stop", masked(50, MASKED_IN_A_ROW - 1), fp16=True) == "ignore"
    assert act("stop", masked(50, MASKED_IN_A_ROW), fp16=True) == "stop"
