"""Running models over a data set: results are written as they come, and what is done is not done again."""

from __future__ import annotations

import functools
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from restorekit.benchmark import efficiency
from restorekit.benchmark.extra_metrics import ExtraMetric, measure, try_out
from restorekit.benchmark.progress import Progress, Silent
from restorekit.benchmark.records import Cost, ImageRecord, ModelFacts, Row, key_of
from restorekit.benchmark.report import Report
from restorekit.benchmark.samples import Samples, first_positions, slug, write_png
from restorekit.benchmark.scoring import score_pixels
from restorekit.benchmark.seen import conditions, seen_among
from restorekit.benchmark.settings import Settings
from restorekit.benchmark.store import Store
from restorekit.data.sets import resolve
from restorekit.errors import ImageError, RestorekitError, UnknownNameError, WeightsError
from restorekit.pixels import Pixels, to_image, whole
from restorekit.plugin.registry import Component, registry
from restorekit.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.data.sets import RawSample
    from restorekit.restoring.restorer import AdaptiveRestorer, BaseRestorer, Restorer

Measure = Callable[["Tensor"], Cost]
DEGRADED = "degraded input"
CUDA_SCORERS = 4


def select(models: str | Sequence[str]) -> list[Component]:
    """Return the model components that ``all``, ``a,b`` or a list of names means, each once.

    Raises `UnknownNameError` when a name is not installed, or nothing is.
    """
    names = [m.strip() for m in models.split(",")] if isinstance(models, str) else list(models)
    names = [name for name in names if name]
    found = registry()
    if names == ["all"]:
        chosen = found.components("model")
    else:
        chosen = list({c.id: c for c in (found.find("model", name) for name in names)}.values())
    if not chosen:
        raise UnknownNameError(
            "there is no model to run: none is named or none is installed; `restorekit models` lists them,"
            " and `pip install restorekit-attngan` adds one"
        )
    return chosen


def run(
    models: str | Sequence[str] = "all",
    dataset: str | Path = "raindrop",
    out: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    weights: Mapping[str, str | Path] | None = None,
    budget_seconds: float | None = None,
    budget_steps: int | None = None,
    limit: int | None = None,
    onnx: bool = False,
    metrics: Sequence[ExtraMetric] = (),
    fresh: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Benchmark `models` on `dataset` and write results, tables, pictures and a page to `out`.

    `dataset`: a known set or a folder, with ``@split`` when wanted. `out`: ``benchmark-LABEL`` unless given;
    finished results there are used again unless `fresh`. `limit`: only the first images. `onnx`: each model is also
    exported and run by onnxruntime, as a row of its own, which needs ``restorekit[onnx]``. `metrics`: what to measure
    beside PSNR and SSIM, from `chosen_metrics`; needs a paired set. A model that fails becomes a row with its error
    (`Report.failed`).
    Raises `DataError`, `UnknownNameError` or `WeightsError` for what concerns the whole benchmark.
    """
    from restorekit.devices import pick_device, pick_precision

    pick_precision(precision, pick_device(device))  # a wrong option concerns all models: say so at once
    if onnx:
        from restorekit.export import require_packages

        require_packages()
    chosen = select(models)
    given = _checked_weights({k: str(v) for k, v in (weights or {}).items()}, chosen)
    image_set = resolve(dataset)
    if metrics:
        image_set.require_paired()
    samples = Samples(image_set, first_positions(image_set, limit))
    folder = Path(out) if out is not None else Path(f"benchmark-{slug(samples.label)}")
    store = Store(folder, samples.base_label, samples.fingerprint, fresh)
    try_out(metrics, samples)
    settings = Settings(device, precision, given, budget_seconds, budget_steps, onnx)
    bench = Benchmark(samples, store, settings, progress or Silent())
    rows = bench.rows(chosen)
    if metrics:
        measure(metrics, rows, samples, bench.pictures, bench.progress)
        store.add_scores(record for row in rows for record in row.images)
    report = Report.of(samples, rows, bench.pictures, folder, metrics, [conditions(samples, given)])
    report.write(folder)
    return report


def _checked_weights(weights: dict[str, str], chosen: Sequence[Component]) -> dict[str, str]:
    """Return the weights by component id. Raises `WeightsError` for a file of a model that is not run."""
    by_name = {name: c.id for c in chosen for name in (c.id, c.entry.name)}
    for name in weights:
        if name not in by_name:
            raise WeightsError(
                f"--weights names the model {name!r}, which is not among those run:"
                f" {', '.join(sorted({c.id for c in chosen}))}"
            )
    return {by_name[name]: path for name, path in weights.items()}


class Benchmark:
    """One data set, one store of results, and the settings that models run under."""

    def __init__(self, samples: Samples, store: Store, settings: Settings, progress: Progress) -> None:
        self.samples = samples
        self.store = store
        self.settings = settings
        self.progress = progress

    def rows(self, components: Sequence[Component]) -> list[Row]:
        """Return the degraded input's row, and one of each model in the order given."""
        rows = [self.degraded()]
        for component in components:
            rows.append(self.model(component))
            if self.settings.onnx and rows[-1].state == "done":
                rows.append(self.exported(component, rows[-1]))
        return rows

    def pictures(self, model: str, image: str) -> NDArray[np.uint8] | None:
        """Return a restored image, or None when there is none."""
        from restorekit.benchmark.samples import read_pixels

        path = self.store.output(model, image)
        return read_pixels(path) if path.exists() else None

    def degraded(self) -> Row:
        """Score the input itself: the fingerprint of the data set and the protocols."""
        facts = ModelFacts(DEGRADED, task=self.samples.task)
        key = key_of({"dataset": self.samples.fingerprint, "restorekit": __version__})
        self.store.forget_stale(DEGRADED, key)
        done = self.store.images(DEGRADED, key)
        self.progress.start(DEGRADED, len(self.samples))
        for name in self.samples.names:
            if name not in done:
                sample = self.samples.named(name)
                done[name] = _record(DEGRADED, sample, score_pixels(sample.degraded, sample), None)
                self.store.add(done[name], facts, key)
            self.progress.advance()
        return Row(facts, "input", images=[done[name] for name in self.samples.names])

    def model(self, component: Component) -> Row:
        """Run one model over all images; whatever goes wrong becomes the row's note."""
        from restorekit.benchmark.loading import load_model

        name = registry().unique_name(component)

        def fill(row: Row) -> None:
            ModelRun(self, component, load_model(component, name, self.settings), row).all()

        return self._row(name, component, fill)

    def exported(self, component: Component, plain: Row) -> Row:
        """Run a model exported, by onnxruntime; `plain` is its row in PyTorch."""
        from restorekit.benchmark.exported import ExportedModel, comparison, exported_name, reason_against

        name = registry().unique_name(component)
        if why := reason_against(plain):
            return Row(replace(plain.facts, model=exported_name(name)), "not exported", why)

        def fill(row: Row) -> None:
            model = ExportedModel(component, name, self.settings, self.store.exported)
            ModelRun(self, component, model.restorer, row, model.cost).all()
            if row.cost:
                row.cost = replace(row.cost, notes=(*row.cost.notes, *comparison(row, plain)))

        return self._row(exported_name(name), component, fill)

    def _row(self, name: str, component: Component, fill: Callable[[Row], None]) -> Row:
        """Return the row that `fill` fills; whatever it raises becomes its note."""
        from restorekit.benchmark.loading import NoWeightsError

        row = Row(ModelFacts(name, task=", ".join(component.entry.tasks)), "failed")
        self.progress.start(name, len(self.samples))
        self._error_file(name).unlink(missing_ok=True)  # of an earlier run
        try:
            fill(row)
            row.state = "done" if row.images or not row.left_out else "seen"
        except NoWeightsError as absent:
            row.state, row.note = "no weights", str(absent)
        except Exception as error:  # a plugin may raise anything; the other models must still run
            row.note = self._failure(name, error)
        finally:
            _free()
        self.progress.finish(row.state, row.note)
        return row

    def _error_file(self, name: str) -> Path:
        return self.store.folder / "errors" / f"{name.replace('/', '-')}.txt"

    def _failure(self, name: str, error: Exception) -> str:
        """Keep the traceback in a file, and return the error in one line."""
        path = self._error_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        text = " ".join(str(error).split())
        return text if isinstance(error, RestorekitError) else f"{type(error).__name__}: {text}"


def _is_picture(path: Path, record: ImageRecord) -> bool:
    """Whether a restored image is there and can be read; one that something else has spoiled is restored again."""
    from restorekit.benchmark.samples import read_pixels

    if not path.is_file():
        return False
    try:
        return read_pixels(path).shape[:2] == (record.height, record.width)
    except ImageError:
        return False


def _record(model: str, sample: RawSample, scores: Mapping[str, float], seconds: float | None) -> ImageRecord:
    height, width = sample.degraded.shape[:2]
    return ImageRecord(model, sample.name, height, width, scores, seconds)


def _free() -> None:
    """Release what the last model held before the next one is measured."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _tasks(trained_for: str, component: Component) -> str:
    """Return what a model's row is for: all tasks of the model, unless the weights were trained for another one."""
    own = component.entry.tasks
    return ", ".join(own) if trained_for in ("", *own) else trained_for


class ModelRun:
    """One loaded model going over the images that it has not done yet."""

    def __init__(
        self, bench: Benchmark, component: Component, restorer: BaseRestorer, row: Row, measure: Measure | None = None
    ) -> None:
        """`measure` returns the cost at the size of an image [1, 3, H, W]; by default that of a network of PyTorch."""
        self.bench, self.restorer, self.row = bench, restorer, row
        self.measure = measure or functools.partial(efficiency.measure, cast("Restorer", restorer))
        info = restorer.info
        digest = restorer.weights_digest()
        row.facts = replace(
            row.facts,
            task=_tasks(info.task, component),
            weights=info.weights,
            weights_sha256=digest,
            network_width=info.width,
            recipe=info.recipe_digest,
            adaptive=info.adaptive,
            budget=bench.settings.budget if info.adaptive and info.learns else "",
        )
        identity = {
            "dataset": bench.samples.fingerprint,
            "restorekit": __version__,
            "plugin": f"{component.plugin.distribution} {component.plugin.version}",
            "facts": row.facts,
            "device": restorer.device.type,
            "precision": str(restorer.precision),
        }
        self.key = key_of(identity)
        self.model = row.facts.model
        bench.store.forget_stale(self.model, self.key)
        self.done = {
            name: record
            for name, record in bench.store.images(self.model, self.key).items()
            if _is_picture(bench.store.output(self.model, name), record)
        }
        self.names = self._unseen_names(info.seen)
        self.growth: int | None = None

    def _unseen_names(self, hashes: Sequence[int]) -> list[str]:
        """Return the names of the images that the model was not trained on, and count the others."""
        seen = seen_among(self.bench.samples, hashes)
        self.row.left_out = len(seen)
        return [name for name in self.bench.samples.names if name not in seen]

    def all(self) -> None:
        """Measure the cost, restore and score every image that is left; fill the row."""
        try:
            if not self.row.facts.adaptive:
                self._fixed_cost()
            self._images()
        finally:
            self.row.images = [self.done[name] for name in self.names if name in self.done]
        if self.row.facts.adaptive:
            self.row.unlearned = sum(not record.learned for record in self.row.images)
            self._adaptive_cost()

    def _fixed_cost(self) -> None:
        sample = self.bench.samples.typical()
        height, width = sample.degraded.shape[:2]
        self.row.cost = self.bench.store.cost(self.model, self.key, height, width)
        if self.row.cost is None:
            self.row.cost = self.measure(to_image(sample.degraded, self.restorer.device))
            self.bench.store.add(self.row.cost, self.row.facts, self.key)

    def _adaptive_cost(self) -> None:
        height, width = self.bench.samples.typical().degraded.shape[:2]
        known = self.bench.store.cost(self.model, self.key, height, width)
        seconds = [r.seconds for r in self.row.images if r.seconds is not None]
        growth = self.growth if known is None or self.growth is not None else None
        cost = efficiency.adaptive_cost(cast("AdaptiveRestorer", self.restorer), seconds, growth, height, width)
        if self.row.unlearned == len(self.row.images):
            cost = replace(cost, parameters=None)  # no network restored any of them
        if growth is None and known is not None:
            cost = replace(cost, memory=known.memory)
        else:
            self.bench.store.add(cost, self.row.facts, self.key)
        self.row.cost = cost

    def _images(self) -> None:
        """Restore image by image. On CUDA scores are computed beside the model; on CPU they would slow it."""
        waiting: deque[Future[ImageRecord]] = deque()
        workers = CUDA_SCORERS if self.restorer.device.type == "cuda" else 0
        pool = ThreadPoolExecutor(workers, initializer=_single_threaded) if workers else None
        try:
            for name in self.names:
                if name in self.done:
                    self.bench.progress.advance()
                    continue
                finish = self._restore(self.bench.samples.named(name))
                if pool is None:
                    self._keep(finish())
                    continue
                waiting.append(pool.submit(finish))
                if len(waiting) > 2 * workers:
                    self._keep(waiting.popleft().result())
            while waiting:
                self._keep(waiting.popleft().result())
        finally:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def _restore(self, sample: RawSample) -> Callable[[], ImageRecord]:
        """Restore one image and return what is left to do: keep its picture and score it."""
        image = to_image(sample.degraded, self.restorer.device)
        unlearned = self._unlearned()
        start = time.perf_counter()
        if self.row.facts.adaptive and self.growth is None:
            restored, self.growth = efficiency.peak_growth(
                lambda: self.restorer.restore_tensor(image), self.restorer.device
            )
        else:
            restored = self.restorer.restore_tensor(image)
        pixels = restored.detach().float().cpu().reshape(3, *image.shape[-2:]).permute(1, 2, 0)
        seconds = time.perf_counter() - start
        learned = self._unlearned() == unlearned
        return lambda: self._finish(sample, np.ascontiguousarray(pixels.numpy()), seconds, learned)

    def _unlearned(self) -> int:
        """Return how many images the model restored without the network that it was to learn."""
        return cast("AdaptiveRestorer", self.restorer).unlearned if self.row.facts.budget else 0

    def _finish(
        self, sample: RawSample, restored_HWC: NDArray[np.float32], seconds: float, learned: bool
    ) -> ImageRecord:
        write_png(self.bench.store.output(self.model, sample.name), cast(Pixels, whole(restored_HWC)))
        return replace(_record(self.model, sample, score_pixels(restored_HWC, sample), seconds), learned=learned)

    def _keep(self, record: ImageRecord) -> None:
        self.done[record.image] = record
        self.bench.store.add(record, self.row.facts, self.key)
        self.bench.progress.advance()


def _single_threaded() -> None:
    """Keep a scoring thread from spreading over the cores that the others use."""
    import torch

    torch.set_num_threads(1)
