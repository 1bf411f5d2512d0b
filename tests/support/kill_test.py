"""Kill training with SIGKILL at random moments, and see that nothing but unsaved work is lost.

    python tests/support/kill_test.py --kills 50

A small recipe trains on made-up images and saves often. A process is killed, another one goes on in the same
folder, and so forth. After each kill the newest checkpoint must be readable and not older than the last step
that was reported and due for saving; at the end the weights must be, bit for bit, those of a run that nobody
killed. Kills that hit a file while it was written are counted by the part that they leave behind.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import click
import torch
from safetensors.torch import load_file

from restorekit.engine.run.checkpoint import load_checkpoint

SAVE_EVERY = 2
STEPS_PER_KILL = 6
PATIENCE = 300.0  # seconds for a process to make its first step, on a busy machine

# Runs in a process forked from one that has imported everything: a start takes a moment, not seconds.
SESSION = """
import numpy, torch
from pathlib import Path
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.engine import Options, train
from restorekit.plugin.registry import registry
from restorekit.recipe import apply_overrides
from restorekit.recipe.check import model_recipe

torch.set_num_threads(1)
rng = numpy.random.default_rng(0)
pixels = rng.integers(0, 256, (6, 40, 40, 3), dtype=numpy.uint8)
read = lambda index: RawSample(str(index), pixels[index], pixels[index] // 2 + 60)
images = ImageSet("made-up@kill", "", True, tuple("012345"), "kill", read)
recipe = apply_overrides(model_recipe(registry(), MODEL), OVERRIDES)
progress = Path(PROGRESS).open("a", buffering=1)
train(
    recipe, images, Path(RUN),
    options=Options(device="cpu", compile="off", log_every=1),
    on_step=lambda step, values: progress.write(f"{step}\\n"),
)
"""
RECIPES = {
    "remaen": ("generator.width=4", "generator.stages=1", "data.crop=16", "data.batch=2", "ema=0.9"),
    "pix2pix-small": (
        "generator.width=4", "generator.latent=8", "discriminator.width=4", "data.resize=0", "data.crop=32",
        "data.batch=2",
    ),
}  # fmt: skip


@dataclass
class Outcome:
    """What was seen. `lost` holds the unsaved steps of each kill; `identical` compares the weights at the end."""

    model: str
    kills: int
    while_writing: int
    before_first_step: int
    lost: list[int]
    rounds: int
    identical: bool
    seconds: float


def _start(run: Path, progress: Path, model: str, steps: int) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["restorekit.engine", "restorekit.plugin.registry", "torch._dynamo"])
    overrides = (
        *RECIPES[model],
        "precision=fp32",
        f"steps={steps}",
        f"save_every={SAVE_EVERY}",
        "eval_every=1000000",
    )
    given = {"RUN": str(run), "PROGRESS": str(progress), "MODEL": model, "OVERRIDES": overrides}
    process = context.Process(target=exec, args=(SESSION, given))
    process.start()
    return process


def _last(progress: Path) -> int:
    """Return the last step that was reported in whole."""
    lines = progress.read_text(encoding="utf-8").split("\n")[:-1] if progress.exists() else []
    return int(lines[-1]) if lines else 0


def _wait_for_a_step(process: BaseProcess, progress: Path, before: int) -> None:
    started = time.monotonic()
    while process.is_alive() and _last(progress) == before:
        if time.monotonic() - started > PATIENCE:
            raise TimeoutError(f"no step in {PATIENCE:.0f} s; is the machine very busy?")
        time.sleep(0.002)


def _finish(process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        raise RuntimeError(f"training ended with exit code {process.exitcode}; its message stands above")


def _check(run: Path, reported: int, steps: int) -> int:
    """Return the steps lost by a kill. Raises `AssertionError` when it is more than what was not saved yet.

    A run's last step is reported first and saved when the run ends: until then the one before is due.
    """
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    saved = int(state["step"]) if state else 0
    due = min(reported, steps - 1) // SAVE_EVERY * SAVE_EVERY
    if saved < due:
        raise AssertionError(f"step {reported} was reported, and the newest checkpoint that can be read is {saved}")
    return max(0, reported - saved)


def _same(one: Path, other: Path) -> bool:
    first, second = (load_file(run / "weights" / "last.safetensors") for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def kill_test(folder: Path, model: str, kills: int, seed: int = 0, longest: float = 0.4) -> Outcome:
    """Kill `kills` times, at most `longest` seconds behind a process's first step; some before it."""
    chance, started = random.Random(seed), time.monotonic()
    steps = max(8, STEPS_PER_KILL * kills)
    reference = folder / "reference"
    _finish(_start(reference, folder / "reference.txt", model, steps))
    seen = Outcome(model, 0, 0, 0, [], 1, True, 0.0)
    while True:
        run, progress = folder / f"run-{seen.rounds}", folder / f"progress-{seen.rounds}.txt"
        process, before = _start(run, progress, model, steps), _last(progress)
        if seen.kills == kills:
            _finish(process)
            break
        early = chance.random() < 0.15
        if early:
            time.sleep(chance.random() * longest)
        else:
            _wait_for_a_step(process, progress, before)
            time.sleep(chance.random() * longest)
        if not process.is_alive():  # it was faster: on with a new run
            _finish(process)
            seen.identical &= _same(run, reference)
            seen.rounds += 1
            continue
        os.kill(int(process.pid or 0), signal.SIGKILL)
        process.join()
        seen.kills += 1
        seen.before_first_step += _last(progress) == before
        seen.while_writing += bool(list(run.rglob(".*.part")))
        seen.lost.append(_check(run, _last(progress), steps))
    seen.identical &= _same(run, reference)
    seen.seconds = time.monotonic() - started
    return seen


def main() -> None:
    """Run the test from the command line; exits with 1 when the weights differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", choices=sorted(RECIPES), default="remaen")
    parser.add_argument("--json", type=Path, help="write the outcome here, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = kill_test(Path(folder), given.model, given.kills, given.seed)
    click.echo(
        f"{seen.kills} kills of {seen.model} in {seen.seconds:.0f} s, {seen.while_writing} of them while a file was"
        f" written, {seen.before_first_step} before the first step; at most {max(seen.lost, default=0)} steps lost"
        f" (saved every {SAVE_EVERY}); weights at the end {'identical' if seen.identical else 'DIFFERENT'}"
    )
    if given.json:
        given.json.write_text(json.dumps(asdict(seen), indent=1) + "\n", encoding="utf-8")
    if not seen.identical:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
