"""The engine on a CUDA device: mixed precision, its overflows, compilation, and no waiting for the device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.engine.runtime import Runtime
from restorekit.engine.step.engine import Engine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


@pytest.fixture
def deterministic(monkeypatch):
    """Ask for kernels that give the same sums each time; without them no two runs are equal bit for bit."""
    for name, value in DETERMINISTIC.items():
        monkeypatch.setenv(name, value)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("model", ["remaen", "attngan", "pix2pix"])
@pytest.mark.usefixtures("deterministic")
def test_four_equals_two_resume_two(lab, tmp_path: Path, model: str, precision: str):
    recipe = lab.recipe(model, "steps=4", f"precision={precision}", "ema=0.9", "phases.generator.repeats=2")
    lab.train(recipe, tmp_path / "whole", device="cuda")
    for last in (2, 4):
        lab.train(recipe, tmp_path / "parts", last, device="cuda")
    whole, parts = lab.state(tmp_path / "whole"), lab.state(tmp_path / "parts")
    assert [n for n in whole if not torch.equal(whole[n].cpu(), parts[n].cpu())] == []


def gpu_engine(recipe, **options) -> Engine:
    return Engine(recipe, Runtime("cuda", recipe.precision), **options)


def test_overflow_of_fp16_backs_the_scale_off_and_moves_nothing(lab):
    recipe = lab.recipe("attngan", "precision=fp16")
    engine, feed = gpu_engine(recipe), lab.feed(recipe)
    engine.step(0, feed.batch(0))
    scaler = engine.updaters["generator"].scaler
    other = engine.updaters["discriminator"].scaler.get_scale()
    scaler.update(2.0**40)  # far too large: the next backward pass overflows
    before = {n: p.detach().clone() for n, p in engine.generator.named_parameters()}
    engine.step(1, feed.batch(1))
    assert scaler.get_scale() == 2.0**39
    assert engine.updaters["discriminator"].scaler.get_scale() == other
    assert all(torch.equal(p, before[n]) for n, p in engine.generator.named_parameters())
    found = {t.phase: (t.step, t.terms) for t in engine.read_masked()}
    assert found["generator"] == (1, ())
    for step in range(2, 40):
        engine.step(step, feed.batch(step))
    assert scaler.get_scale() < 2.0**39
    assert any(not torch.equal(p, before[n]) for n, p in engine.generator.named_parameters())
    assert all(torch.isfinite(p).all() for p in engine.generator.parameters())


def test_training_lasts_through_overflows(lab, tmp_path: Path):
    """They are ordinary in fp16: no message, no stop."""
    recipe = lab.recipe("pix2pix", "precision=fp16", "steps=30")
    result = lab.train(recipe, tmp_path / "run", device="cuda", log_every=5)
    assert result.completed
    assert all(torch.isfinite(v).all() for v in lab.weights(tmp_path / "run").values())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("model", ["remaen", "attngan", "pix2pix"])
def test_no_step_waits_for_the_device(lab, model: str, precision: str):
    recipe = lab.recipe(model, f"precision={precision}", "ema=0.9", "clip_norm=1")
    engine, feed = gpu_engine(recipe), lab.feed(recipe)
    feed.pin = True
    for step in range(2):
        engine.step(step, feed.batch(step))
    batches = [feed.batch(step) for step in (2, 3)]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, batch in enumerate(batches, 2):
            engine.step(step, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_channels_last_reaches_the_network(lab):
    recipe = lab.recipe("remaen", "precision=bf16")
    engine, seen = gpu_engine(recipe), []
    engine.generator.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    engine.step(0, lab.feed(recipe).batch(0))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    weights = [p for p in engine.generator.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["remaen", "pix2pix-small"])
def test_compiled_steps_are_those_of_eager_ones(lab, model: str):
    recipe = lab.recipe(model, "precision=fp32", "optim.generator.name=sgd", "optim.discriminator.name=sgd")
    states = []
    for compiled in (False, True):
        engine, feed = gpu_engine(recipe, compiled=compiled), lab.feed(recipe)
        for step in range(3):
            engine.step(step, feed.batch(step))
        states.append({n: v.float().cpu() for n, v in engine.generator.state_dict().items()})
    one, other = states
    assert one.keys() == other.keys()  # compiled in place: no `_orig_mod.` in the names
    assert max(float((one[n] - other[n]).abs().max()) for n in one) < 1e-3


def test_same_run_on_gpu_and_cpu(lab):
    recipe = lab.recipe("attngan", "precision=fp32", "optim.generator.name=sgd", "optim.discriminator.name=sgd")
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        states = []
        for engine in (lab.engine(recipe), gpu_engine(recipe)):
            for step in range(3):
                engine.step(step, lab.feed(recipe).batch(step))
            states.append({n: v.cpu() for n, v in engine.generator.state_dict().items()})
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
    assert max(float((states[0][n] - states[1][n]).abs().max()) for n in states[0]) < 1e-4
