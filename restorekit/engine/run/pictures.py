"""The run's pictures: samples as PNG strips, and the curves of losses and scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import save_image

from restorekit.engine.run.checkpoint import write_atomically
from restorekit.engine.run.evaluation import Example
from restorekit.engine.run.logs import TRAINING, VALIDATION, read_rows, samples_of

_PANELS = (
    ("Loss terms", ("generator/", "discriminator/"), "log"),
    ("PSNR [dB]", ("val/psnr",), "linear"),
    ("SSIM", ("val/ssim",), "linear"),
    ("Discriminator accuracy", ("accuracy/",), "linear"),
)


def save_samples(run: Path, step: int, examples: Iterable[Example]) -> None:
    """Write one strip for each example: degraded, restored and, when known, clean."""
    for example in examples:
        parts: list[Tensor] = [example.degraded, example.restored]
        if example.clean is not None:
            parts.append(example.clean)
        strip = torch.cat(parts, dim=-1)
        path = samples_of(run, step) / f"{example.name}.png"
        write_atomically(path, lambda beside, image=strip: save_image(image, beside, format="png"))  # type: ignore[misc]


def _panel(axes: Axes, title: str, scale: str, curves: dict[str, tuple[list[float], list[float]]]) -> None:
    for name, (steps, values) in curves.items():
        axes.plot(steps, values, label=name, marker="." if len(steps) < 3 else None)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_yscale(scale)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _belongs(name: str, starts: str | tuple[str, ...]) -> bool:
    return name.startswith(starts) and "norm" not in name


def read_curves(run: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Return every logged value of a run as name -> (steps, values)."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in [*read_rows(run / TRAINING), *read_rows(run / VALIDATION)]:
        for name, value in row.items():
            if name != "step":
                steps, values = curves.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return curves


def save_curves(runs: Iterable[Path], target: Path) -> bool:
    """Draw the curves of one or several runs into one PNG; return whether anything was logged."""
    merged: dict[str, tuple[list[float], list[float]]] = {}
    folders = list(runs)
    names = [run.name for run in folders]
    for run in folders:
        label = run.name if names.count(run.name) == 1 else str(run)
        prefix = f"{label}: " if len(folders) > 1 else ""
        merged |= {prefix + name: curve for name, curve in read_curves(run).items()}
    panels = []
    for title, starts, scale in _PANELS:
        chosen = {n: c for n, c in merged.items() if _belongs(n.split(": ")[-1], starts)}
        if chosen:
            panels.append((title, scale, chosen))
    if not panels:
        return False
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, scale, chosen) in enumerate(panels):
        _panel(figure.add_subplot(1, len(panels), index + 1), title, scale, chosen)
    write_atomically(target, lambda beside: figure.savefig(beside, format="png", dpi=110))
    return True
