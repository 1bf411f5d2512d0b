"""Rows of exported models: restored by onnxruntime, timed in turns with PyTorch, compared in dB."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from restorekit.benchmark import efficiency, loading
from restorekit.benchmark.records import Cost, Row, key_of
from restorekit.benchmark.samples import slug
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.settings import Settings
from restorekit.devices import device_name, pick_device, pick_precision
from restorekit.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.export.backend import OnnxBackend
    from restorekit.plugin.registry import Component
    from restorekit.restoring.restorer import BaseRestorer, Restorer

REFERENCE = "fp32"


def exported_name(model: str) -> str:
    """Return the name of the row of `model` exported."""
    return f"{model}.onnx"


def reason_against(plain: Row) -> str:
    """Return why the model of a row cannot be exported; an empty string when it can."""
    from restorekit.export import why_not
    from restorekit.restoring.settings import RestorerInfo

    facts = plain.facts
    return why_not(RestorerInfo(facts.model, adaptive=facts.adaptive, learns=bool(facts.budget)))


class ExportedModel:
    """A model exported into `folder`, unless it is there already, and opened in onnxruntime.

    `restorer` runs it, with the threads and on the kind of device that PyTorch has. Raises what `export_restorer` does.
    """

    def __init__(self, component: Component, name: str, settings: Settings, folder: Path) -> None:
        import torch

        from restorekit.export.backend import OnnxBackend

        self.component, self.name, self.settings = component, name, settings
        self.device = pick_device(settings.device)
        plain = self._in_torch(REFERENCE, "cpu")
        where = "auto" if self.device.type == "cuda" else "cpu"
        self.restorer: OnnxBackend = OnnxBackend(
            _file(plain, name, folder), device=where, threads=torch.get_num_threads()
        )
        self.restorer.info = replace(self.restorer.info, width=plain.info.width, seen=plain.info.seen)

    def cost(self, image: Tensor) -> Cost:
        """Measure at the size of `image` [1, 3, H, W] in [0, 1]; PyTorch and onnxruntime take turns."""
        import torch

        place, _, numbers = self.restorer.where.partition(", ")
        plain = {precision: self._in_torch(precision) for precision in self._precisions()}
        calls = {name: _call(restorer, image) for name, restorer in plain.items()}
        own = _call(self.restorer, image)
        restored, growth = efficiency.peak_growth(own, self.restorer.device)
        seconds = efficiency.in_turns({"": own, **calls}, self.device)
        latency = seconds.pop("")
        network, (height, width) = plain[REFERENCE].generator, image.shape[-2:]
        macs, notes = efficiency.macs_or_note(network, height, width)
        return Cost(
            height=height,
            width=width,
            parameters=efficiency.parameter_count(network),
            macs=macs,
            latency=latency,
            throughput=1 / latency,
            batch=1,
            memory=None if growth is None else growth + self.restorer.path.stat().st_size,
            device=device_name(torch.device(place)),
            precision=numbers,
            notes=notes,
            beside=seconds,
            agreement=_agreement(restored, calls[REFERENCE]()),
        )

    def _precisions(self) -> list[str]:
        """Return the precisions of PyTorch to compare with: float32, and bf16 where the hardware has it."""
        fast = pick_precision("auto", self.device)
        return [REFERENCE] if fast == REFERENCE else [fast, REFERENCE]

    def _in_torch(self, precision: str, device: str = "") -> Restorer:
        settings = replace(self.settings, precision=precision, device=device or self.settings.device)
        return cast("Restorer", loading.load_model(self.component, self.name, settings))


def _file(plain: BaseRestorer, name: str, folder: Path) -> Path:
    """Return the exported file of a restorer, written unless it is there."""
    from restorekit.export import export_restorer

    key = key_of({"weights": plain.weights_digest(), "recipe": plain.info.recipe_digest, "restorekit": __version__})
    path = folder / f"{slug(name)}-{key}.onnx"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        export_restorer(plain, path)
    return path


def _call(restorer: BaseRestorer, image: Tensor) -> Callable[[], Tensor]:
    return lambda: restorer.restore_tensor(image.to(restorer.device)).cpu()


def _agreement(restored: Tensor, reference: Tensor) -> float:
    """Return the PSNR of one result against the other, in dB."""
    error = float((restored - reference).double().square().mean())
    return -10 * math.log10(error) if error else math.inf


def comparison(row: Row, plain: Row) -> tuple[str, ...]:
    """Return what there is to say of an exported model's row beside that of PyTorch, a line each."""
    if row.cost is None or row.cost.latency is None or row.cost.agreement is None:
        return ()
    ratios = [f"{row.cost.latency / s:.2f} of the time in {p} ({s:.3g} s)" for p, s in row.cost.beside.items()]
    lines = [
        f"in turns with PyTorch on {row.cost.width}x{row.cost.height}: {row.cost.latency:.3g} s,"
        f" {', '.join(ratios)}; {row.cost.agreement:.1f} dB from its result in {REFERENCE}"
    ]
    return (*lines, *_difference(row, plain))


def _difference(row: Row, plain: Row) -> tuple[str, ...]:
    before = {record.image: record.scores.get(HEADLINE, math.nan) for record in plain.images}
    deltas = [r.scores[HEADLINE] - before.get(r.image, math.nan) for r in row.images if r.scores]
    deltas = [delta for delta in deltas if math.isfinite(delta)]
    if not deltas or plain.cost is None:
        return ()
    protocol = HEADLINE.removeprefix("psnr-")
    return (
        f"{statistics.fmean(deltas):+.3f} dB ({protocol}) on average against the row above in {plain.cost.precision},"
        f" {max(deltas, key=abs):+.3f} dB on the image that differs most",
    )
