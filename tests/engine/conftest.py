"""Shared by the tests of the engine: made-up images, recipes small enough for seconds, and processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from restorekit.data.crops import CropSource
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.engine import Options, RunResult, train
from restorekit.engine.feed.batches import Feed, Share
from restorekit.engine.feed.references import referencer_of
from restorekit.engine.runtime import Runtime
from restorekit.engine.step.engine import Engine
from restorekit.interface import SizeRule
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, apply_overrides
from restorekit.recipe.check import model_recipe

_GAN_32 = ("data.resize=0", "data.crop=32", "data.batch=4")
# six levels, because the U-Net has dropout from the fifth on
_UNET = (
    "data.resize=0",
    "data.crop=64",
    "data.batch=4",
    "generator.width=4",
    "generator.levels=6",
    "discriminator.width=4",
)
# what makes each shipped recipe run in a moment, and changes nothing in how it trains
SMALL: dict[str, tuple[str, ...]] = {
    "remaen": ("generator.width=4", "generator.stages=2", "data.crop=24", "data.batch=4"),
    "rain2avoid-plus": ("generator.width=4", "data.crop=32", "data.batch=4"),
    "rain2avoid": ("generator.width=4", "prior.samples=4", "data.crop=32", "data.batch=4"),
    "attngan": (
        "generator.width=8",
        "generator.recurrent_width=4",
        "generator.time_steps=2",
        "discriminator.width=8",
        "losses.perceptual.weight=0",
        *_GAN_32,
    ),
    "pix2pix": _UNET,
    "pix2pix-channel": _UNET,
    "pix2pix-spatial": _UNET,
    "pix2pix-both": _UNET,
    "pix2pix-small": (*_GAN_32, "generator.width=4", "generator.latent=8", "discriminator.width=4"),
    "pix2pix-balanced": (*_GAN_32, "generator.width=4", "generator.latent=8", "discriminator.width=4"),
    "cgan": (*_GAN_32, "generator.width=4", "generator.latent=8", "discriminator.width=4", "discriminator.latent=8"),
}
NEVER = "1000000"
PATIENCE = 500.0  # seconds; a busy machine is slow, a hanging process never ends
_PREPARE = """
import os, sys
for stream in (1, 2):
    os.dup2(os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
os.environ.update({"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **globals().get("ENVIRONMENT", {})})
import torch
torch.set_num_threads(1)
"""
_TRAIN = """
import importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("engine_conftest", CONFTEST)
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
from restorekit.recipe import Recipe
lab = conftest.Lab()
for name, (plain, options) in JOBS.items():
    reads = Path(FOLDER) / f"reads-{name}.txt"
    counted = conftest.counting(lab.images(**options.pop("validation")), reads) if "validation" in options else None
    for last in options.pop("parts", [None]):
        lab.train(Recipe.read(plain), Path(FOLDER) / name, last, validation=counted, **options)
"""


def made_up(index: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return a degraded and a clean image [side, side, 3] uint8: soft blobs under bright streaks."""
    rng = np.random.default_rng(index)
    coarse = Image.fromarray(rng.integers(0, 200, (5, 5, 3), dtype=np.uint8))
    clean = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    streaks = (rng.random((1, side, 1)) < 0.2) * rng.integers(40, 55)
    return (clean + streaks).clip(0, 255).astype(np.uint8), clean


def counting(images: ImageSet, target: Path) -> ImageSet:
    """Return the set; each read adds a line to the file `target`, naming process and image."""

    def read(index: int) -> RawSample:
        with target.open("a") as file:
            file.write(f"{os.environ.get('RANK', '0')} {index}\n")
        return images.read(index)

    return replace(images, reader=read)


class Lab:
    """Trains small recipes on made-up images, in this process and in others."""

    def images(self, count: int = 6, *, paired: bool = True, side: int = 40, first: int = 0) -> ImageSet:
        """Return made-up images as a data set in memory."""

        def read(index: int) -> RawSample:
            degraded, clean = made_up(first + index, side)
            return RawSample(f"image-{first + index}", degraded, clean if paired else None)

        names = tuple(f"image-{first + i}" for i in range(count))
        return ImageSet("made-up@test", "", paired, names, f"{count}-{side}-{first}-{paired}", read)

    def folder(self, path: Path, count: int = 6) -> Path:
        """Write made-up pairs as PNG files into ``path/input`` and ``path/target``."""
        for part in ("input", "target"):
            (path / part).mkdir(parents=True)
        for index in range(count):
            for part, pixels in zip(("input", "target"), made_up(index), strict=True):
                Image.fromarray(pixels).save(path / part / f"{index}.png")
        return path

    def recipe(self, model: str, *overrides: str) -> Recipe:
        """Return a shipped recipe, small, in float32, with neither evaluation nor saves on the way."""
        quiet = ("precision=fp32", "steps=8", f"eval_every={NEVER}", f"save_every={NEVER}")
        return apply_overrides(model_recipe(registry(), model), (*SMALL[model], *quiet, *overrides))

    def train(self, recipe: Recipe, run: Path, last: int | None = None, **options: Any) -> RunResult:
        """Train on the made-up images up to step `last`, on the CPU."""
        images = options.pop("images", None) or self.images(paired=not recipe.name.startswith("rain2avoid"))
        validation, on_step = options.pop("validation", None), options.pop("on_step", None)
        chosen = Options(**{"device": "cpu", "max_steps": last, "log_every": 1, **options})
        return train(recipe, images, run, validation=validation, options=chosen, on_step=on_step)

    def engine(self, recipe: Recipe, runtime: Runtime | None = None) -> Engine:
        """Return an engine on the CPU that has not trained yet."""
        return Engine(recipe, runtime or Runtime("cpu", recipe.precision))

    def feed(self, recipe: Recipe, images: ImageSet | None = None, share: Share | None = None) -> Feed:
        """Return the batches of a recipe on the made-up images."""
        engine = self.engine(recipe)
        referencer = referencer_of(engine.task.prior, engine.runtime.device)
        chosen = images or self.images(paired=not recipe.name.startswith("rain2avoid"))
        source = CropSource(chosen, recipe.data, SizeRule.of(engine.generator), referencer)
        return Feed(source, recipe.seed, share or Share())

    def interrupt_in_evaluation(self, recipe: Recipe, run: Path, validation: ImageSet) -> RunResult:
        """Train on; SIGTERM comes while the second validation image is read."""

        def read(index: int) -> RawSample:
            if index == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return validation.read(index)

        return self.train(recipe, run, validation=replace(validation, reader=read))

    def state(self, run: Path) -> dict[str, Tensor]:
        """Return everything in the newest checkpoint as flat names and tensors; the time taken is left out."""
        newest = max((run / "checkpoints").glob("step-*.pt"))
        loaded = torch.load(newest, weights_only=True)
        loaded["progress"].pop("seconds")
        return dict(_flat("", loaded))

    def weights(self, run: Path, name: str = "last") -> dict[str, Tensor]:
        """Return the public weights of a run."""
        return load_file(run / "weights" / f"{name}.safetensors")

    def start(self, source: str, output: Path, **given: Any) -> BaseProcess:
        """Start a process that runs `source` with the names `given`; what it prints goes to the file `output`.

        It is forked from one that has imported everything, so that it starts in a moment.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["restorekit.engine", "restorekit.cli.train", "accelerate", "torch._dynamo"])
        process = context.Process(target=exec, args=(_PREPARE + source, {"OUTPUT": str(output), **given}))
        process.start()
        return process

    def together(self, source: str, folder: Path, count: int = 2, **given: Any) -> list[BaseProcess]:
        """Start `count` processes that make up one process group, as under torchrun; ``rank-N.txt`` is printed."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [
            self.start(
                source,
                folder / f"rank-{rank}.txt",
                ENVIRONMENT={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                CONFTEST=__file__,
                FOLDER=str(folder),
                **given,
            )
            for rank in range(count)
        ]

    def train_together(self, jobs: dict[str, tuple[Recipe, dict[str, Any]]], folder: Path, count: int = 2) -> None:
        """Train each recipe of NAME: (recipe, options) in ``folder/NAME``, one after the other, on all processes."""
        plain = {name: (recipe.plain(), options) for name, (recipe, options) in jobs.items()}
        for rank, process in enumerate(self.together(_TRAIN, folder, count, JOBS=plain)):
            process.join(PATIENCE)
            assert process.exitcode == 0, (folder / f"rank-{rank}.txt").read_text()[-2000:]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _flat(f"{prefix}.{index}", inner)
    elif isinstance(value, int | float | Tensor):
        yield prefix, torch.as_tensor(value)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Train on one thread, so that figures do not depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Lab()
    torch.set_num_threads(threads)
