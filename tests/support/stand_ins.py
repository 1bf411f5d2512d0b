"""Small stand-ins for the files that the examples of the documentation name."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from PIL import Image

from restorekit.cli.main import cli
from restorekit.recipe import Recipe, to_toml

REPOSITORY = Path(__file__).resolve().parents[2]
SIDE = 64
PACKAGES = "site-packages"
AUTHORS = "plugins/restorekit-attngan/tests/test_attngan_checkpoint.py"


@cache
def _picture(number: int) -> Image.Image:
    """A picture that is smooth, as photographs are, and unlike the others."""
    generator = np.random.default_rng(number)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _degraded(number: int) -> Image.Image:
    pixels = np.asarray(_picture(number)).astype(int)
    pixels[::7, ::5] += 60
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def photograph(path: Path) -> None:
    _save(_degraded(1), path)


def photographs(folder: Path) -> None:
    first = sum(map(ord, folder.name))  # no two folders hold the same pictures
    for number in range(3):
        _save(_picture(first + number), folder / f"{first + number}.{'jpg' if folder.name == 'photos' else 'png'}")


def pairs(folder: Path) -> None:
    for number in range(2):
        _save(_degraded(number), folder / "input" / f"{number}_rain.png")
        _save(_picture(number), folder / "target" / f"{number}_rain.png")


def cutouts(folder: Path) -> None:
    for number in range(2):
        _save(_degraded(number), folder / "data" / f"{number}.png")
        _save(_picture(number), folder / "gt" / f"{number}.png")
        _save(Image.new("L", (SIDE, SIDE), 255), folder / "mask" / f"{number}.png")


def outputs(folder: Path) -> None:
    for number in range(2):
        _save(_picture(number), folder / f"{number}_rain.png")


def masks(folder: Path) -> None:
    for number in range(3):
        first = sum(map(ord, "photos"))
        _save(Image.new("L", (SIDE, SIDE), 255 if number else 0), folder / f"{first + number}.png")


def rain100l(archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    folder = archive.with_suffix("")
    for number in (1, 2):
        for split in ("train", "test"):
            at = number + (10 if split == "train" else 0)
            _save(_degraded(at), folder / split / "rain" / f"norain-{number:03}x2.png")
            _save(_picture(at), folder / split / "norain" / f"norain-{number:03}.png")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.png")):
            file.write(path, path.relative_to(folder.parent))


def raindrop(folder: Path) -> None:
    for split, first in (("train", 20), ("test_a", 0)):
        for number in range(2):
            _save(_degraded(first + number), folder / split / "data" / f"{number}_rain.png")
            _save(_picture(first + number), folder / split / "gt" / f"{number}_clean.png")


def clip(path: Path) -> None:
    av = pytest.importorskip("av", reason="examples of clips need PyAV: pip install 'restorekit[video]'")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(2):
            frame = av.VideoFrame.from_image(_degraded(number))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def vgg16(path: Path) -> None:
    torch.save(pretrained("vgg16"), path)


@cache
def pretrained(name: str) -> dict[str, Any]:
    """Random weights of a torchvision network, without the classifier that nobody looks through."""
    builders = {**vars(torchvision.models), **vars(torchvision.models.segmentation)}
    extra = {"weights_backbone": None, "aux_loss": True} if name.startswith("deeplab") else {}
    with torch.device("meta"):
        shapes = builders[name](weights=None, **extra).state_dict()
    wanted = shapes if name.startswith("deeplab") else {k: v for k, v in shapes.items() if k.startswith("features")}
    return {k: torch.ones(v.shape, dtype=v.dtype) * 0.01 for k, v in wanted.items()}


def fake_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision's hub give random weights, without network."""
    from torchvision.models._api import WeightsEnum

    def state(weights: WeightsEnum, *_: Any, **__: Any) -> dict[str, Any]:
        return dict(pretrained(type(weights).__name__.removesuffix("_Weights").lower()))

    monkeypatch.setattr(WeightsEnum, "get_state_dict", state)


def recipe_file(path: Path) -> None:
    recipe = {"name": "mine", "task": "rain-streak", "generator": {"name": "remaen"}, "losses": {"mse": {}}}
    path.write_text(to_toml(Recipe.read(recipe)), encoding="utf-8")


def package(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["plugin", "new", folder.name.removeprefix("restorekit-"), "-o", str(folder)])
    assert result.exit_code == 0, result.output


def run_of(model: str) -> Callable[[Path], None]:
    """Return what makes a finished training run of a model."""

    def make(folder: Path) -> None:
        from examples import _cheaper  # the examples' own short way to train

        pairs_of_run = folder.parent.parent / "pairs-of-runs"
        if not pairs_of_run.exists():
            pairs(pairs_of_run)
        words = _cheaper(["train", model, "--data", str(pairs_of_run), "--val", str(pairs_of_run), "-o", str(folder)])
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output

    return make


def install(folder: Path, project: Path) -> None:
    """Install a package into `folder`'s own site-packages, which `environment` puts in front."""
    target = ["--target", str(folder / PACKAGES), "--upgrade"]
    words = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", *target, str(project)]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)


def run_of_a_package(folder: Path) -> None:
    """Write a new plugin, install it, and train its model for a step."""
    name, place = folder.name, folder.parent.parent
    package(place / f"restorekit-{name}")
    install(place, place / f"restorekit-{name}")
    pairs(place / "pairs-of-runs")
    less = ["--set", "data.crop=64", "--set", "data.batch=2", "--max-steps", "1", "--device", "cpu", "-q"]
    command = ["restorekit", "train", name, "--data", "pairs-of-runs", "--val", "none", "-o", str(folder), *less]
    variables = environment(place, place / PACKAGES)
    subprocess.run([sys.executable, "-m", *command], check=True, cwd=place, env=variables, capture_output=True)


def benchmark_of_two(folder: Path) -> None:
    pairs(folder.parent / "pairs-of-benchmarks")
    words = ["--models", "remaen,attngan", "--dataset", str(folder.parent / "pairs-of-benchmarks"), "-o", str(folder)]
    result = CliRunner().invoke(cli, ["benchmark", *words, "--device", "cpu"])
    assert result.exit_code == 0, result.output


def list_of_photographs(file: Path) -> None:
    photographs(file.parent / "listed")
    file.write_text("".join(f"{path}\n" for path in sorted((file.parent / "listed").iterdir())), encoding="utf-8")


def authors_checkpoint(file: Path) -> None:
    """A checkpoint in the form of AttentiveGAN's authors, made by the plugin's test of that form."""
    spec = importlib.util.spec_from_file_location("authors", REPOSITORY / AUTHORS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.save(module.Reference().state_dict(), file)


FILES: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(("photo.jpg", "rainy.jpg", "more.png"), photograph),
    **dict.fromkeys(("clip.mp4", "drive.mov"), clip),
    **dict.fromkeys(("holiday", "photos", "photographs", "clean-photographs", "my-training-photographs"), photographs),
    **dict.fromkeys(("rainy-photographs", "rainy-photos", "rain100l-test-rainy", "wet-glass/data"), photographs),
    **dict.fromkeys(("my-pairs", "FOLDER", "forty", "ten"), pairs),
    **dict.fromkeys(("outputs", "their-outputs"), outputs),
    "masks": masks,
    "cutouts": cutouts,
    **dict.fromkeys(("restorekit-my-model", "restorekit-glow"), package),
    **dict.fromkeys(("benchmark-a", "benchmark-b"), benchmark_of_two),
    "gen.pkl": authors_checkpoint,
    "list.txt": list_of_photographs,
    "downloads/Rain100L.zip": rain100l,
    "mine.toml": recipe_file,
    "vgg16.pth": vgg16,
    **dict.fromkeys(("runs/mine", "runs/attngan"), run_of("attngan")),
    **dict.fromkeys(("runs/remaen", "runs/one", "runs/two", "runs/six", "runs/no-edge"), run_of("remaen")),
    "runs/pix2pix": run_of("pix2pix"),
    "runs/glow": run_of_a_package,
}
SETS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "raindrop": ("downloads/raindrop", raindrop),
    "rain100l": ("downloads/Rain100L.zip", rain100l),
}


def provide(folder: Path, words: list[str]) -> None:
    """Make what a command reads, as far as it is not there yet."""
    for before, word in zip(["", *words], words, strict=False):
        if before in ("-o", "--output"):
            continue
        path = word.rpartition("=")[2].rstrip("/")
        if path in FILES and not (folder / path).exists():
            FILES[path](folder / path)
        name = word.partition("@")[0]
        if before in ("--data", "--dataset", "check") and name in SETS and "@builtin" not in word:
            _add_set(folder, name)
    if words[0] == "runs" and len(words) == 2:
        provide(folder, ["runs/one"])


def _add_set(folder: Path, name: str) -> None:
    if (folder / "datasets" / name).exists():
        return
    source, make = SETS[name]
    if not (folder / source).exists():
        make(folder / source)
    result = CliRunner().invoke(cli, ["data", "add", name, str(folder / source)])
    assert result.exit_code == 0, result.output


def clear_output(folder: Path, words: list[str]) -> None:
    """Remove what is in the way: the run of an earlier example with another recipe, weights that had a stand-in."""
    if words[0] == "train":
        named = [words[i + 1] for i, word in enumerate(words) if word in ("-o", "--output")]
        shutil.rmtree(folder / (named[-1] if named else f"runs/{words[1]}"), ignore_errors=True)
    if words[:2] == ["weights", "import"]:
        (folder / "own-weights" / f"{words[2]}.safetensors").unlink(missing_ok=True)


def environment(folder: Path, packages: Path | None) -> dict[str, str]:
    """Return the environment of the examples' processes."""
    paths = [str(p) for p in (packages, REPOSITORY) if p]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "RESTOREKIT_DATA": str(folder / "datasets"),
        "RESTOREKIT_WEIGHTS": str(folder / "own-weights"),
        "OMP_NUM_THREADS": "1",
    }
