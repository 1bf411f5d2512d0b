"""Shared by the tests of the engine: made-up images, recipes small enough for seconds, and processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
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
from restorekit.engine.engine import Engine
from restorekit.engine.feed import Feed, Share
from restorekit.engine.references import referencer_of
from restorekit.engine.runtime import Runtime
from restorekit.engine.task import size_rule_of
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, apply_overrides
from restorekit.recipe.check import model_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
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
    "rain2avoid": ("generator.width=4", "prior.samples=4", "data.crop=32", "data.batch=4"),
    "attngan": (
        "generator.width=4",
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


def made_up(index: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return a degraded and a clean image [side, side, 3] uint8: soft blobs under bright streaks."""
    rng = np.random.default_rng(index)
    coarse = Image.fromarray(rng.integers(0, 200, (5, 5, 3), dtype=np.uint8))
    clean = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    streaks = (rng.random((1, side, 1)) < 0.2) * rng.integers(40, 55)
    return (clean + streaks).clip(0, 255).astype(np.uint8), clean


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
        images = options.pop("images", None) or self.images(paired=recipe.name != "rain2avoid")
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
        chosen = images or self.images(paired=recipe.name != "rain2avoid")
        source = CropSource(chosen, recipe.data, size_rule_of(engine.generator), referencer)
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

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a Python process in a session of its own; give ``-m restorekit ...`` or ``-c ...``."""
        chosen = {
            **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "", **environment
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=chosen,
            start_new_session=True,
        )  # fmt: skip

    def torchrun(self, *command: str, processes: int = 2) -> subprocess.Popen[str]:
        """Start a command under torchrun."""
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
        return self.start(*launcher, *command)


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
