"""What a run needs before its first step, and what it owes behind its last."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from timm.optim import muon
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from restorekit.data.augment import augment
from restorekit.engine import Options
from restorekit.engine.run import opening
from restorekit.engine.run.opening import open_run
from restorekit.engine.run.preflight import preflight
from restorekit.engine.step import update
from restorekit.engine.step.update import build_optimizer
from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import Batch
from restorekit.plugin.registry import registry
from restorekit.recipe.check import check_recipe
from restorekit.recipe.parts import Augment, Data, Optim

CPU = Options(device="cpu")


def test_a_run_folder_takes_one_process_at_a_time(lab, tmp_path: Path):
    recipe, run = lab.recipe("remaen", "steps=2"), tmp_path / "run"
    first = open_run(recipe, lab.images(), None, run, CPU)
    with pytest.raises(TrainingError, match=r"another process is training in .*run; wait until it ends, or .* -o"):
        open_run(recipe, lab.images(), None, run, CPU)
    first.close()
    assert lab.train(recipe, run).completed


def test_a_crop_that_the_network_cannot_take_is_refused(lab, tmp_path: Path):
    recipe = lab.recipe("pix2pix", "data.crop=100")
    with pytest.raises(RecipeError, match=r"data\.crop is 100; generator 'pix2pix' takes multiples of 64.*crop=128"):
        lab.train(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("model", "wrong", "mended"),
    [("pix2pix", "data.crop=60", "data.crop=64"), ("remaen", 'frozen=["nowhere"]', "frozen=[]")],
)
def test_a_run_that_cannot_start_leaves_nothing_and_starts_once_it_is_mended(lab, tmp_path: Path, model, wrong, mended):
    """The folder was claimed before the network was looked at, so that the advice led to "a run of another recipe"."""
    run = tmp_path / "run"
    with pytest.raises(RecipeError):
        open_run(lab.recipe(model, "steps=1", wrong), lab.images(), None, run, CPU)
    assert not run.exists()
    open_run(lab.recipe(model, "steps=1", mended), lab.images(), None, run, CPU).close()
    assert (run / "recipe.toml").exists()


def test_a_run_that_fails_behind_the_claim_gives_its_folder_back(lab, tmp_path: Path, monkeypatch):
    def broken(*given: object) -> None:
        raise OSError("no space left")

    recipe, run = lab.recipe("remaen", "steps=1"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(opening, "Logs", broken)
        with pytest.raises(OSError, match="no space left"):
            open_run(recipe, lab.images(), None, run, CPU)
    assert not run.exists()
    open_run(recipe, lab.images(), None, run, CPU).close()
    with monkeypatch.context() as patch:  # a folder with a run in it is only let go
        patch.setattr(opening, "Logs", broken)
        with pytest.raises(OSError, match="no space left"):
            open_run(recipe, lab.images(), None, run, CPU)
    assert (run / "recipe.toml").exists()
    open_run(recipe, lab.images(), None, run, CPU).close()


def test_references_get_brighter_with_their_image():
    grey = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    batch = Batch(grey, references=grey[:, None], key=torch.tensor([3, 4]))
    changed = augment(batch, Data(augment=Augment(flip=False, brightness=0.3)))
    assert changed.references is not None
    assert (changed.degraded - grey / 255).abs().max() > 0.01
    assert torch.equal(changed.references[:, 0], changed.degraded)


def test_an_untrained_network_is_no_best_one_and_given_weights_are(lab, tmp_path: Path):
    """What is reported as best has a file."""
    recipe = lab.recipe("remaen", "steps=2", "eval_every=1", "optim.generator.lr=10")
    validation = lab.images(2, first=20)
    lab.train(recipe, tmp_path / "one", validation=validation)
    best = torch.load(max((tmp_path / "one" / "checkpoints").glob("*.pt")), weights_only=True)["progress"]["best"]
    assert {f"best-{name}.safetensors" for name in best} <= {p.name for p in (tmp_path / "one/weights").iterdir()}
    lab.train(lab.recipe("remaen", "steps=1"), tmp_path / "start")
    start = tmp_path / "start/weights/last.safetensors"
    lab.train(recipe, tmp_path / "two", validation=validation, init=start)
    kept, given = lab.weights(tmp_path / "two", "best-psnr-rgb"), lab.weights(tmp_path / "start")
    assert all(torch.equal(kept[name], given[name]) for name in given)


def test_betas_reach_every_optimizer_that_has_two():
    parameters = list(nn.Linear(2, 2).parameters())
    for name in ("adam", "adamw", "nadam"):
        optimizer = build_optimizer(Optim(name=name, betas=(0.5, 0.9)), parameters, torch.device("cpu"))
        assert optimizer.param_groups[0]["betas"] == (0.5, 0.9), name
    sgd = build_optimizer(Optim(name="sgd"), parameters, torch.device("cpu"))
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["nesterov"]) == (0.9, True)


@pytest.mark.parametrize(("best", "expected"), [("fp32", {torch.float32}), ("bf16", {torch.float32, torch.bfloat16})])
def test_muon_computes_in_bf16_only_where_the_device_does(monkeypatch, best: str, expected: set[torch.dtype]):
    seen: set[torch.dtype] = set()

    class Dtypes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            seen.update({made.dtype} if isinstance(made, torch.Tensor) else ())
            return made

    monkeypatch.setattr(muon, "zeropower_via_newtonschulz", muon.zeropower_via_newtonschulz)  # put back afterwards
    monkeypatch.setattr(update, "pick_precision", lambda name, device: best)
    layer = nn.Linear(8, 6, bias=False)
    optimizer = build_optimizer(Optim(name="nmuon", lr=0.1), layer.parameters(), torch.device("cpu"))
    layer.weight.grad, before = torch.rand(6, 8), layer.weight.detach().clone()
    with Dtypes():
        optimizer.step()
    assert seen == expected
    step = (layer.weight - before).detach() / 0.1
    torch.testing.assert_close(torch.linalg.svdvals(step / step.norm()), torch.full((6,), 6**-0.5), rtol=0.4, atol=0)


@pytest.mark.parametrize(
    "late", ["phases.generator.start=500", "phases.discriminator.start=500", "schedule.warmup=500"]
)
def test_check_tries_phases_that_start_later(lab, late: str):
    recipe = lab.recipe("pix2pix-small", late, "steps=1000")
    assert preflight(recipe, lab.images(), None, CPU).learns


def test_the_last_evaluation_is_made_up_for(lab, tmp_path: Path):
    """A signal while the finished network is evaluated."""
    recipe = lab.recipe("remaen", "steps=2", "eval_every=2")
    validation = lab.images(3, first=20)
    lab.train(recipe, tmp_path / "run", 1, validation=validation)
    interrupted = lab.interrupt_in_evaluation(recipe, tmp_path / "run", validation)
    assert (interrupted.step, interrupted.exit_code) == (2, 143)
    assert not (tmp_path / "run/weights/best-psnr-rgb.safetensors").exists()
    lab.train(recipe, tmp_path / "run", validation=validation)
    assert (tmp_path / "run/weights/best-psnr-rgb.safetensors").exists()


def test_trouble_before_a_signal_is_not_forgotten(lab, tmp_path: Path, monkeypatch):
    def poisoned(*_):
        return torch.full((), torch.nan, requires_grad=True)

    recipe = lab.recipe("remaen", "steps=9")
    monkeypatch.setattr("restorekit.losses.pixel.MSE.forward", poisoned)

    def stop(step, values):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingError, match="step 1"):
        lab.train(recipe, tmp_path / "run", on_step=stop, log_every=100)


def test_losses_of_weight_0_need_nothing_and_a_phase_needs_one(lab):
    nothing_needed = lab.recipe("attngan", "prior=none", "losses.attention.weight=0")
    check_recipe(nothing_needed, registry())
    with pytest.raises(RecipeError, match="'mask', which nothing"):
        check_recipe(lab.recipe("attngan", "prior=none"), registry())
    with pytest.raises(RecipeError, match=r"every critic loss has weight 0.*discriminator=none and critic_losses=none"):
        check_recipe(lab.recipe("pix2pix", "critic_losses.critic.weight=0"), registry())
    with pytest.raises(RecipeError, match="every loss has weight 0"):
        check_recipe(lab.recipe("remaen", "losses.mse.weight=0", "losses.edge.weight=0"), registry())


def test_a_state_of_another_device_keeps_the_fused_update(lab):
    engine = lab.engine(lab.recipe("remaen"))
    state = engine.updaters["generator"].state_dict()
    state["optimizer"]["param_groups"][0]["fused"] = False  # as saved on a device without such kernels
    engine.updaters["generator"].load_state_dict(state)
    engine.step(0, lab.feed(engine.recipe).batch(0))
    assert engine.updaters["generator"].optimizer.param_groups[0]["fused"] is True


def test_masks_of_the_data_serve_a_loss(lab, tmp_path: Path):
    folder = lab.folder(tmp_path / "data")
    from PIL import Image

    from restorekit.data.sets import resolve

    (folder / "mask").mkdir()
    for path in (folder / "input").iterdir():
        Image.new("L", Image.open(path).size, 255).save(folder / "mask" / path.name)
    recipe = lab.recipe("remaen", "steps=1", "losses.masked-l1.weight=1")
    assert lab.train(recipe, tmp_path / "run", images=resolve(folder)).completed
    assert json.loads((tmp_path / "run/status.json").read_text())["completed"]


def test_a_disk_without_locks_is_told_and_trained_on(lab, tmp_path: Path, monkeypatch, caplog):
    def refused(self, **_):
        raise NotImplementedError("no locks here")

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    assert lab.train(lab.recipe("remaen", "steps=1"), tmp_path / "run").completed
    assert "cannot be locked (no locks here)" in caplog.text
