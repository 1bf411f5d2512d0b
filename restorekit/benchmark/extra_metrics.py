"""Metrics beyond PSNR and SSIM, of the core or of a plugin, on the 8-bit images that a benchmark keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from restorekit.benchmark.progress import Progress
from restorekit.benchmark.records import Row
from restorekit.benchmark.samples import Samples
from restorekit.errors import PluginError, RecipeError, RestorekitError
from restorekit.pixels import Pixels, to_image, to_pixels
from restorekit.plugin.registry import create
from restorekit.recipe.overrides import parse_assignment

if TYPE_CHECKING:
    from restorekit.interface import Metric


@dataclass(frozen=True)
class ExtraMetric:
    """One metric. `id`: its name, with the settings that were given, as it stands in tables.

    `protocol`: set when it is PSNR or SSIM under a protocol that is not measured anyway.
    """

    id: str
    metric: Metric
    protocol: str = ""

    @property
    def higher_is_better(self) -> bool:
        """Which direction is better."""
        return bool(self.metric.higher_is_better)

    @property
    def shows(self) -> bool:
        """Whether the metric can draw what it sees in an image."""
        return callable(getattr(self.metric, "seen", None))

    def picture(self, image_HWC: Pixels) -> Pixels:
        """Return what the metric sees in an 8-bit image, as one. Raises `PluginError` when it cannot draw it."""
        try:
            drawn = self.metric.seen(to_image(image_HWC))  # type: ignore[attr-defined]
            return to_pixels(drawn[0])
        except RestorekitError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise PluginError(
                f"metric {self.id!r} could not draw what it sees: {error}; run again without it"
            ) from error

    def score(self, restored_HWC: Pixels, clean_HWC: Pixels) -> float:
        """Return the score of an 8-bit image. Raises `PluginError` when the metric fails or gives no number."""
        import torch

        try:
            with torch.no_grad():
                value = self.metric(to_image(restored_HWC), to_image(clean_HWC))
            return float(value.reshape(1)[0])
        except RestorekitError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise PluginError(
                f"metric {self.id!r} failed on an image of {clean_HWC.shape[1]}x{clean_HWC.shape[0]} pixels"
                f" ({type(error).__name__}: {error}); what was restored is kept, run again without it"
            ) from error


def chosen_metrics(names: Sequence[str], assignments: Iterable[str] = ()) -> list[ExtraMetric]:
    """Return the metrics called `names`, built with ``NAME.SETTING=VALUE`` assignments.

    Raises `UnknownNameError`, `RecipeError` for an assignment to another metric, or `PluginError` for a metric that
    cannot be built or does not say how its scores are read.
    """
    settings: dict[str, dict[str, object]] = {name: {} for name in names}
    for text in assignments:
        path, value = parse_assignment(text)
        if len(path) != 2 or path[0] not in settings:
            raise RecipeError(
                f"{text!r} sets no metric that was asked for; write METRIC.SETTING=VALUE with one of:"
                f" {', '.join(settings) or 'none, give --metric first'}"
            )
        settings[path[0]][path[1]] = value
    return [ExtraMetric(_id(name, given), _built(name, given)) for name, given in settings.items()]


def composed_protocols(ids: Iterable[str]) -> list[ExtraMetric]:
    """Return PSNR and SSIM under each protocol of `ids` that is not measured anyway, such as ``rgb+crop8``.

    Raises `UnknownNameError` for an unknown protocol.
    """
    from restorekit.metrics.protocols import PROTOCOLS, get_protocol
    from restorekit.metrics.quality import PSNR, SSIM

    kinds: tuple[tuple[str, type[PSNR] | type[SSIM]], ...] = (("psnr", PSNR), ("ssim", SSIM))
    wanted = [get_protocol(name).id for name in dict.fromkeys(ids)]
    return [
        ExtraMetric(f"{name}-{protocol}", cast("Metric", metric(protocol)), protocol)
        for protocol in wanted
        if protocol not in PROTOCOLS
        for name, metric in kinds
    ]


def _built(name: str, settings: Mapping[str, object]) -> Metric:
    metric: Metric = create("metric", name, **settings)
    missing = [attribute for attribute in ("higher_is_better", "unit") if not hasattr(metric, attribute)]
    if missing:
        raise PluginError(f"metric {name!r} has no {' and no '.join(missing)}; tables need both, tell its author")
    return metric


def _id(name: str, settings: Mapping[str, object]) -> str:
    given = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{name} ({given})" if given else name


def try_out(metrics: Iterable[ExtraMetric], samples: Samples) -> None:
    """Measure the first degraded image, so that a metric that cannot (such as for want of weights) says so at once."""
    for metric in metrics:
        first = samples[0]
        if first.clean is not None:
            metric.score(first.degraded, first.clean)


def measure(
    metrics: Sequence[ExtraMetric],
    rows: Sequence[Row],
    samples: Samples,
    pictures: Callable[[str, str], Pixels | None],
    progress: Progress,
) -> None:
    """Add the scores of `metrics` to every image of `rows` that was scored at all."""
    for row in rows if metrics else ():
        if row.state not in ("input", "done"):
            continue
        progress.start(f"{row.facts.model}: {', '.join(m.id for m in metrics)}", len(row.images))
        for index, record in enumerate(row.images):
            sample = samples.named(record.image)
            pixels = sample.degraded if row.state == "input" else pictures(row.facts.model, record.image)
            if sample.clean is not None and pixels is not None:
                found = {m.id: m.score(pixels, sample.clean) for m in metrics}
                row.images[index] = replace(record, scores={**record.scores, **found})
            progress.advance()
        progress.finish("done", "")
