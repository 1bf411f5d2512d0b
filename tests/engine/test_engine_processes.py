"""Two processes see what one would: batches, gradients, scores, and each other's end."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.slow

SGD = [f"optim.{n}.{k}" for n in ("generator", "discriminator") for k in ("name=sgd", "lr=1e-2")]
VALIDATION = {"count": 3, "first": 20}  # an odd number: the last round has an image for one process only
EVALUATED = ("supervised", "batch-norm-evaluated")
EQUAL = (*EVALUATED, "gan", "self-supervised", "batch-norm", "batch-norm-self-supervised")
RESUMED = ("ema=0.9", "phases.generator.repeats=2", "steps=4")


def recipes(lab):
    """Return recipes without dropout, those with batch norm synchronised; their losses are means over samples."""
    synced = ("steps=3", "sync_batch_norm=true")
    return {
        "supervised": lab.recipe("remaen", *SGD, "steps=3", "eval_every=3"),
        "gan": lab.recipe("attngan", *SGD, "steps=3"),
        "gan-accumulated": lab.recipe("attngan", *SGD, "steps=3", "accumulate=2"),
        "self-supervised": lab.recipe("rain2avoid", *SGD, "generator=remaen", "generator.width=4", "steps=3"),
        "batch-norm": lab.recipe("pix2pix-small", *SGD, *synced),
        "batch-norm-self-supervised": lab.recipe("rain2avoid", *SGD, *synced),
        # its norms take the statistics of each image when they restore, too
        "batch-norm-evaluated": lab.recipe(
            "pix2pix", *SGD, *synced, "generator.dropout=0", "generator.batch_statistics=true", "eval_every=3"
        ),
    }


@pytest.fixture(scope="module")
def runs(lab, tmp_path_factory) -> tuple[Path, Path]:
    """Train everything in one process and, in one group, in two; return both folders."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    jobs = {name: (recipe, {"log_every": 1}) for name, recipe in recipes(lab).items()}
    for name in EVALUATED:
        jobs[name][1]["validation"] = VALIDATION
    for name in EQUAL:
        validation = lab.images(**VALIDATION) if name in EVALUATED else None
        lab.train(jobs[name][0], one / name, validation=validation)
    jobs["batch-norm-apart"] = (lab.recipe("pix2pix-small", *SGD, "steps=3"), {})
    jobs["first-step"] = (lab.recipe("pix2pix-small", *SGD, "steps=1"), {})
    lab.train(jobs["first-step"][0], one / "first-step")
    for model in ("pix2pix", "attngan"):  # batch norm, dropout, average
        recipe = lab.recipe(model, *RESUMED)
        jobs[f"{model}-whole"] = (recipe, {})
        jobs[f"{model}-parts"] = (recipe, {"parts": [1, 3, 4]})
    lab.train_together(jobs, two)
    return one, two


def largest_difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    assert one.keys() == two.keys()
    return max(float((one[n].double() - two[n].double()).abs().max()) for n in one if ".networks." in n)


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_equal_one(lab, runs, name: str):
    """Generator and discriminator alike; and they have moved by far more than they differ."""
    one, two = (lab.state(folder / name) for folder in runs)
    assert largest_difference(one, two) < 1e-5
    fresh = lab.engine(recipes(lab)[name]).task.networks
    for network, module in fresh.items():
        moved = {f".engine.networks.{network}.{k}": v for k, v in module.state_dict().items()}
        assert largest_difference(moved, {k: one[k] for k in moved}) > 1e-4


def test_batch_norm_apart_differs_and_says_so(lab, runs):
    """Each process normalises its own part; with the synchronised one there is nothing to say."""
    one, two = runs
    apart = largest_difference(lab.state(one / "batch-norm"), lab.state(two / "batch-norm-apart"))
    assert apart > 1e-3
    printed = (two / "rank-0.txt").read_text()
    warning = "'pix2pix-small' uses BatchNorm2d, which see each process's and micro-batch's part alone: over 2 x 1"
    assert printed.count(warning) == 2  # this run, and the one of a single step
    assert "; sync_batch_norm=true lets batch norm see all processes' parts" in printed


def test_saved_batch_statistics_are_means_over_processes(lab, runs):
    """In the first step the first batch norm meets the same values: the halves' means have the whole's as theirs."""
    one, two = (lab.state(folder / "first-step") for folder in runs)
    first = next(n for n in one if n.startswith(".engine.networks.generator") and n.endswith("running_mean"))
    assert float(one[first].abs().max()) > 1e-4
    assert torch.allclose(one[first], two[first], rtol=0, atol=1e-6)


def test_two_processes_with_two_micro_batches_equal_one_without(lab, runs):
    one, two = runs
    assert largest_difference(lab.state(one / "gan"), lab.state(two / "gan-accumulated")) < 1e-5


@pytest.mark.parametrize("model", ["pix2pix", "attngan"])
def test_resume_in_two_processes_is_exact(lab, runs, model: str):
    _, two = runs
    whole, parts = lab.state(two / f"{model}-whole"), lab.state(two / f"{model}-parts")
    assert [n for n in whole if not torch.equal(whole[n], parts[n])] == []


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_logs_hold_means_over_processes_and_the_same_rates(runs):
    """A schedule that each process steps would fall twice as fast."""
    one, two = (rows(folder / "gan" / "log.csv") for folder in runs)
    assert len(one) == 3
    for first, second in zip(one, two, strict=True):
        for name, value in first.items():
            assert float(second[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_reads_each_image_once_and_scores_the_same(runs, name: str):
    one, two = (rows(folder / name / "validation.csv") for folder in runs)
    assert [row["step"] for row in two] == ["0", "3"]
    for first, second in zip(one, two, strict=True):
        for column, value in first.items():
            assert float(second[column]) == pytest.approx(float(value), abs=1e-4), column
    reads = [tuple(line.split()) for line in (runs[1] / f"reads-{name}.txt").read_text().splitlines()]
    glance = ("0", "0")  # the first process looks at the size of one; the check itself is kept from the run before
    evaluations = [("0", "0"), ("0", "2"), ("1", "1")] * 2
    assert sorted(reads) == sorted([glance, *evaluations])


def test_only_the_first_process_writes(runs):
    _, two = runs
    warned = re.findall(r"(recipe '[^,]*)", (two / "rank-0.txt").read_text())
    assert set(warned) == {"recipe 'pix2pix' uses BatchNorm2d", "recipe 'pix2pix-small' uses BatchNorm2d"}
    assert "BatchNorm" not in (two / "rank-1.txt").read_text()
    assert (two / "supervised" / "samples" / "step-000000003" / "image-21.png").exists()  # restored by process 1


INSPECT = """
from restorekit.engine.step.engine import Engine
from restorekit.engine.runtime import Runtime
from restorekit.recipe import Recipe
from torch.nn.parallel import DistributedDataParallel
runtime = Runtime("cpu", "fp32")
engine = Engine(Recipe.read(RECIPE), runtime)
for name, network in engine.wrapped.items():
    assert isinstance(network, DistributedDataParallel), type(network)
    assert not network.broadcast_buffers
    assert network.module is engine.task.networks[name]
helpers = [loss for terms in engine.task.losses.values() for _, loss in terms.values()]
assert not any(isinstance(m, DistributedDataParallel) for h in helpers for m in h.modules())
assert runtime.gather([runtime.share.rank]) == [0, 1]
assert runtime.stop_signal(15 if runtime.share.rank else None, 1) == 15, "a signal to any process stops all"
assert runtime.stop_signal(None, 1) is None
print("fine")
"""


def test_networks_are_wrapped_as_they_must_be(lab, tmp_path: Path):
    """Without broadcasting buffers, which two passes through one discriminator do not survive."""
    for process in lab.together(INSPECT, tmp_path, RECIPE=lab.recipe("attngan").plain()):
        process.join(300)
        assert process.exitcode == 0
    assert all("fine" in (tmp_path / f"rank-{rank}.txt").read_text() for rank in (0, 1))


LAB = """
import importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("engine_conftest", CONFTEST)
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
from restorekit.errors import TrainingError
from restorekit.recipe import Recipe
lab, rank = conftest.Lab(), int(os.environ["RANK"])
"""
ONE_BAD_TERM = """
from restorekit.engine.step.engine import Engine
from restorekit.engine.runtime import Runtime
recipe = Recipe.read(RECIPE)
engine = Engine(recipe, Runtime("cpu", "fp32"))
feed = lab.feed(recipe, share=engine.runtime.share)
weight, loss = engine.task.losses["generator"]["mse"]
bad = []
engine.task.losses["generator"]["mse"] = weight, lambda seen: loss(seen) + (float("inf") if bad else 0)
engine.step(0, feed.batch(0))
before = {n: p.detach().clone() for n, p in engine.generator.named_parameters()}
if rank == 1:
    bad.append(True)  # its value overflows, and the gradient of a sum stays finite
engine.step(1, feed.batch(1))
assert all(torch.equal(p, before[n]) for n, p in engine.generator.named_parameters())
assert [(t.step, t.terms) for t in engine.read_masked()] == [(1, ("mse",))]
"""


def test_term_that_overflows_in_one_process_masks_the_update_in_all(lab, tmp_path: Path):
    recipe = lab.recipe("remaen")
    for rank, process in enumerate(lab.together(LAB + ONE_BAD_TERM, tmp_path, RECIPE=recipe.plain())):
        process.join(300)
        assert process.exitcode == 0, (tmp_path / f"rank-{rank}.txt").read_text()[-2000:]


APART = """
own = Path(FOLDER) / f"machine-{rank}"
for last in (1, 3, 4):
    lab.train(Recipe.read(RECIPE), own / "run", last)
recipe = Recipe.read({**RECIPE, "seed": rank})
for changed, images in ((recipe, None), (Recipe.read(RECIPE), lab.images(6 + rank))):
    try:
        lab.train(changed, own / "other", images=images)
    except TrainingError as error:
        print(f"Error: {error}", flush=True)
"""


def test_machines_without_a_shared_folder(lab, runs, tmp_path: Path):
    """Only the first one writes, and the others go on from what that one has saved."""
    recipe = lab.recipe("attngan", *RESUMED)
    for process in lab.together(LAB + APART, tmp_path, RECIPE=recipe.plain()):
        process.join(300)
        assert process.exitcode == 0, (tmp_path / "rank-1.txt").read_text()[-2000:]
    assert not (tmp_path / "machine-1").exists()
    whole, parts = lab.state(runs[1] / "attngan-whole"), lab.state(tmp_path / "machine-0" / "run")
    assert [n for n in whole if not torch.equal(whole[n], parts[n])] == []
    for rank in (0, 1):  # machines that were given different things are told so before they start
        printed = (tmp_path / f"rank-{rank}.txt").read_text()
        assert "processes 0 and 1 are not to train the same (recipe.seed: 0 and 1); give every machine" in printed
        assert "data.images: 6 and 7" in printed
    assert not (tmp_path / "machine-0" / "other").exists()


DIES = """
import signal

def on_step(step, values):
    if step == 3 and rank == 1 and DYING:
        os.kill(os.getpid(), signal.SIGKILL)

try:
    lab.train(Recipe.read(RECIPE), Path(FOLDER) / "run", on_step=on_step)
except TrainingError as error:
    print(f"Error: {error}", flush=True)
    os._exit(1)
"""


def test_process_that_dies_ends_the_other_within_a_minute(lab, tmp_path: Path):
    """With a message, and the run goes on from the last checkpoint."""
    recipe = lab.recipe("attngan", "steps=8", "save_every=2")
    first, second = lab.together(LAB + DIES, tmp_path, RECIPE=recipe.plain(), DYING=True)
    second.join(300)
    assert second.exitcode == -9
    died = time.monotonic()
    first.join(60)
    assert first.exitcode == 1
    assert time.monotonic() - died < 60
    message = (tmp_path / "rank-0.txt").read_text()
    assert "process 0 of 2 has lost another process" in message
    assert "go on from the last checkpoint" in message
    for process in lab.together(LAB + DIES, tmp_path, RECIPE=recipe.plain(), DYING=False):
        process.join(300)
        assert process.exitcode == 0, (tmp_path / "rank-0.txt").read_text()[-2000:]
    assert lab.state(tmp_path / "run")[".step"] == 8
