"""What trackers are told of a run and of a benchmark, made up in the shape of real ones."""

from __future__ import annotations

from pathlib import Path

from restorekit.benchmark.records import Cost, ImageRecord, ModelFacts, Row
from restorekit.benchmark.samples import Samples
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.summary import summarize, summary_values
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.pixels import to_pixels
from restorekit.recipe import Recipe
from restorekit.testing.samples import batch

Call = tuple[str, dict[str, object]]
"""The name of a hook, and its arguments."""

_IMAGES, _SIDE = 2, 32


def run_folder(run: Path) -> Path:
    """Make the folder of a run, with the files that hooks are told of."""
    for folder in ("weights", "samples/step-000000002"):
        (run / folder).mkdir(parents=True)
    (run / "weights" / "last.safetensors").touch()
    return run


def calls(run: Path) -> list[Call]:
    """Return the calls of a run of two steps in the folder `run`, of one that fails, and of a benchmark."""
    recipe = Recipe.read({"name": "check", "task": "raindrop", "generator": "unet", "losses": {"l1": {}}}).plain()
    values = {"generator/l1": 0.25, "generator/gradient-norm": 1.5, "lr/generator": 2e-4}
    scores = {"psnr-rgb": 21.5, "ssim-rgb": 0.75}
    samples, weights = run / "samples" / "step-000000002", run / "weights" / "last.safetensors"
    steps: list[Call] = [("step_logged", {"run": run, "step": step, "values": values}) for step in (1, 2)]
    logged = {f"val/{name}": value for name, value in scores.items()}
    return [
        ("run_started", {"run": run, "recipe": recipe}),
        *steps,
        ("step_logged", {"run": run, "step": 2, "values": logged}),
        ("evaluated", {"run": run, "step": 2, "scores": scores, "samples": samples}),
        ("checkpoint_saved", {"run": run, "step": 2, "weights": weights}),
        ("run_finished", {"run": run, "step": 2, "completed": True}),
        ("run_started", {"run": run, "recipe": recipe}),
        ("run_failed", {"run": run, "step": 2, "error": ValueError("made up by the check")}),
        ("benchmark_finished", {"folder": run, "results": results()}),
    ]


def results() -> dict[str, object]:
    """Return what a benchmark of one model on two images leaves in its ``summary.json``."""
    samples = Samples(_pairs())
    cost = Cost(_SIDE, _SIDE, 1000, 4_000_000, 0.01, 90.0, 4, 2**20, "cpu", "fp32")
    rows = [
        Row(ModelFacts("degraded input"), "input", images=_records("degraded input", samples, 20.0)),
        Row(
            ModelFacts("check", "raindrop", "weights/check.safetensors"),
            "done",
            images=_records("check", samples, 21.5),
            cost=cost,
        ),
    ]
    return summary_values(summarize(samples, rows))


def _records(model: str, samples: Samples, psnr: float) -> list[ImageRecord]:
    scores = [{HEADLINE: psnr + index, "ssim-rgb": 0.75} for index in range(len(samples))]
    return [
        ImageRecord(model, name, _SIDE, _SIDE, score, 0.01) for name, score in zip(samples.names, scores, strict=True)
    ]


def _pairs() -> ImageSet:
    data = batch(_IMAGES, _SIDE, _SIDE)
    assert data.clean is not None
    degraded, clean = to_pixels(data.degraded), to_pixels(data.clean)
    return ImageSet(
        "check@builtin",
        "raindrop",
        True,
        data.name,
        "made-up",
        lambda index: RawSample(data.name[index], degraded[index], clean[index]),
    )
