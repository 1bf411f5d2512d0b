"""Resume in the middle equals no interruption, bit for bit: networks, optimizers, averages, everything saved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from restorekit.engine.run.evaluation import evaluate
from restorekit.engine.run.logs import read_rows

CASES = {
    "supervised": ("remaen", ()),
    "supervised, cosine, clipped, accumulated": (
        "remaen",
        ("schedule.name=cosine", "schedule.warmup=3", "clip_norm=0.1", "accumulate=2", "optim.generator.name=adamw"),
    ),
    "timm optimizer": ("remaen", ("optim.generator.name=lion",)),
    "gan, average, generator twice": ("attngan", ("ema=0.9", "phases.generator.repeats=2")),
    "gan, critic twice, late and every other step": (
        "attngan",
        ("phases.discriminator.repeats=2", "phases.discriminator.every=2", "phases.discriminator.start=1"),
    ),
    "gan, batch norm, dropout, average, generator three times": (
        "pix2pix",
        ("ema=0.9", "phases.generator.repeats=3", "phases.share_forward=false"),
    ),
    "gan, soft labels, brightness, accumulated": ("pix2pix-balanced", ("accumulate=2", "ema=0.5")),
    "self-supervised": ("rain2avoid", ("ema=0.9", "data.augment.rotate=true")),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_resumed_run_equals_uninterrupted_one(lab, tmp_path: Path, case: str, precision: str):
    model, overrides = CASES[case]
    recipe = lab.recipe(model, "steps=6", f"precision={precision}", *overrides)
    lab.train(recipe, tmp_path / "whole")
    for last in (1, 3, 6):  # twice in the middle: a resumed run must itself be fit for resuming
        lab.train(recipe, tmp_path / "parts", last)
    whole, parts = lab.state(tmp_path / "whole"), lab.state(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
    one, other = lab.weights(tmp_path / "whole"), lab.weights(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_every_network_moves_in_every_step(lab, tmp_path: Path):
    """Without this, equality of resumed runs would also hold for a discriminator that never learns."""
    recipe = lab.recipe("pix2pix", "ema=0.9", "accumulate=2")
    before: dict[str, torch.Tensor] = {}
    for last in (1, 2, 3):
        lab.train(recipe, tmp_path / "run", last)
        now = {n: v for n, v in lab.state(tmp_path / "run").items() if n.endswith(".weight")}
        assert len(now) > 20
        assert not before or [n for n in now if torch.equal(now[n], before[n])] == []
        before = now


def test_average_is_what_is_evaluated_and_saved(lab, tmp_path: Path):
    recipe = lab.recipe("remaen", "ema=0.9")
    lab.train(recipe, tmp_path / "run", 5)
    state, public = lab.state(tmp_path / "run"), lab.weights(tmp_path / "run")
    for name, value in public.items():
        assert torch.equal(value, state[f".engine.ema.{name}"])
    assert any(not torch.equal(v, state[f".engine.networks.generator.{n}"]) for n, v in public.items())


def test_average_follows_its_formula(lab, tmp_path: Path):
    """ema = d ema + (1 - d) weights, from the weights themselves at the first two steps on."""
    recipe = lab.recipe("remaen", "ema=0.9")
    name = "networks.generator." + next(iter(lab.engine(recipe).generator.state_dict()))
    expected = None
    for last in range(1, 6):
        lab.train(recipe, tmp_path / "run", last)
        state = lab.state(tmp_path / "run")
        weights = state[f".engine.{name}"].double()
        expected = weights if last <= 2 else 0.9 * expected + 0.1 * weights
        average = state[f".engine.ema.{name.removeprefix('networks.generator.')}"]
    assert torch.allclose(average.double(), expected, rtol=1e-5, atol=1e-7)


def test_logs_continue_without_doubles(lab, tmp_path: Path):
    recipe = lab.recipe("remaen", "steps=6", "eval_every=2", "save_every=4")
    validation = lab.images(2, first=20)
    lab.train(recipe, tmp_path / "whole", validation=validation)
    lab.train(recipe, tmp_path / "parts", 5, validation=validation)
    newest = max((tmp_path / "parts" / "checkpoints").glob("*.pt"))
    newest.unlink()  # as after a crash behind step 4: row 5 of the log has to go
    lab.train(recipe, tmp_path / "parts", validation=validation)
    for name in ("log.csv", "validation.csv"):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.slow
def test_best_is_the_best_of_all_evaluations(lab, tmp_path: Path):
    """Also of those before a resume; and its weights are those that were evaluated, the averaged ones."""
    jump = ("schedule.name=step", "schedule.gamma=300", "schedule.milestones=[4]")  # spoils what comes behind it
    recipe = lab.recipe("remaen", "steps=7", "eval_every=1", "ema=0.5", *jump)
    validation = lab.images(2, first=20)
    whole = lab.train(recipe, tmp_path / "whole", validation=validation)
    for last in (5, 7):
        parts = lab.train(recipe, tmp_path / "parts", last, validation=validation)
    scores = {row["step"]: row["val/psnr-rgb"] for row in read_rows(tmp_path / "whole" / "validation.csv")}
    best = max(scores, key=scores.__getitem__)
    assert 2 < best < 5, "not first, not last, and behind the steps in which average and weights are the same"
    assert whole.best == parts.best
    assert whole.best["psnr-rgb"] == scores[best]
    engine = lab.engine(recipe)
    for run in ("whole", "parts"):
        engine.generator.load_state_dict(lab.weights(tmp_path / run, "best-psnr-rgb"))
        found = evaluate(engine.generator, validation, recipe, engine.runtime)
        assert found is not None
        assert found[0]["psnr-rgb"] == pytest.approx(scores[best], abs=1e-9)
    lab.train(recipe, tmp_path / "until-best", int(best))
    one, other = lab.weights(tmp_path / "whole", "best-psnr-rgb"), lab.weights(tmp_path / "until-best")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_start_from_weights_is_not_repeated(lab, tmp_path: Path):
    recipe = lab.recipe("remaen", "steps=4", "ema=0.9")
    lab.train(recipe, tmp_path / "before", 2)
    init = tmp_path / "before" / "weights" / "last.safetensors"
    lab.train(recipe, tmp_path / "whole", init=init)
    for last in (2, 4):
        lab.train(recipe, tmp_path / "parts", last, init=init)
    lab.train(recipe, tmp_path / "fresh")
    one, other, fresh = (lab.weights(tmp_path / run) for run in ("whole", "parts", "fresh"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], fresh[name]) for name in one)


def test_a_start_that_fits_in_part_says_what_starts_anew(lab, tmp_path: Path, caplog):
    lab.train(lab.recipe("remaen", "steps=2"), tmp_path / "before", 1)
    init = tmp_path / "before" / "weights" / "last.safetensors"
    lab.train(lab.recipe("remaen", "steps=2"), tmp_path / "same", 1, init=init)
    assert "start anew" not in caplog.text
    lab.train(lab.recipe("remaen", "steps=2", "generator.width=6"), tmp_path / "wider", 1, init=init)
    warning = caplog.text
    assert re.search(r"fits \d+ of the \d+ tensors of ReMAEN; these start anew: grus\.0", warning)
    assert "--set generator.width=" in warning


def test_unfinished_log_row_does_not_hinder(lab, tmp_path: Path):
    recipe = lab.recipe("remaen", "steps=4")
    lab.train(recipe, tmp_path / "run", 2)
    log = tmp_path / "run" / "log.csv"
    whole = log.read_text()
    for torn in ("3,0.5,1e-", "3,0.5", '"3', "3,1,2,3,4,5,6,7,8,9"):
        log.write_text(whole + torn)
        lab.train(recipe, tmp_path / "run", 2)
        assert log.read_text() == whole


def test_evaluation_cut_short_is_made_up_for(lab, tmp_path: Path):
    """A signal in the middle of an evaluation: no half scores now, the whole evaluation when the run goes on."""
    recipe = lab.recipe("remaen", "steps=4", "eval_every=2", "save_every=2")
    validation = lab.images(3, first=20)
    lab.train(recipe, tmp_path / "whole", validation=validation)
    lab.train(recipe, tmp_path / "parts", 1, validation=validation)
    interrupted = lab.interrupt_in_evaluation(recipe, tmp_path / "parts", validation)
    assert (interrupted.step, interrupted.exit_code) == (2, 143)
    lab.train(recipe, tmp_path / "parts", validation=validation)
    name = "validation.csv"
    assert (tmp_path / "parts" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_evaluation_leaves_training_alone(lab, tmp_path: Path):
    """Weights do not depend on how often the run is evaluated or saved."""
    validation = lab.images(2, first=20)
    recipe = lab.recipe("pix2pix", "steps=4")
    lab.train(recipe, tmp_path / "never")
    busy = recipe.model_copy(update={"eval_every": 1, "save_every": 1})
    lab.train(busy, tmp_path / "always", validation=validation)
    one, other = lab.weights(tmp_path / "never"), lab.weights(tmp_path / "always")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_scores_like_scikit_image(lab, tmp_path: Path):
    """The mean over validation images is that of an independent PSNR on 8-bit images."""
    measure = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio
    recipe = lab.recipe("remaen")
    engine = lab.engine(recipe)
    validation = lab.images(3, first=20)
    found = evaluate(engine.generator, validation, recipe, engine.runtime, examples=3)
    assert found is not None
    scores, examples = found
    expected = []
    for index, example in enumerate(examples):
        restored = (example.restored[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        expected.append(measure(validation.read(index).clean, restored, data_range=255))
    assert scores["psnr-rgb"] == pytest.approx(sum(expected) / 3, rel=1e-9)
    assert engine.generator.training
