"""Batches for the steps of a run, prepared ahead by threads while the device works."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields

from restorekit.data.crops import CropSource, Planes, collate
from restorekit.engine.feed.badimages import BadImages
from restorekit.engine.feed.order import image_index, sample_key
from restorekit.errors import DataError
from restorekit.interface import Batch

AHEAD = 3  # batches in preparation: enough to hide a slow decode, few enough to stay small


@dataclass(frozen=True)
class Share:
    """Which part of every global batch this process computes."""

    rank: int = 0
    world: int = 1


def _pinned(batch: Batch) -> Batch:
    """Return the batch in page-locked memory, from which a GPU copies while it computes."""
    tensors = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "name"}
    return batch.replace(**{name: value.pin_memory() for name, value in tensors.items() if value is not None})


class Feed:
    """Gives this process's part of the global batch of any step.

    `seed` decides order, crops and keys; changing it gives other batches from the next `batches` on.
    """

    def __init__(
        self, source: CropSource, seed: int, share: Share, *, bad: BadImages | None = None, pin: bool = False
    ) -> None:
        self.source = source
        self.seed = seed
        self.share = share
        self.bad = bad or BadImages()
        self.pin = pin

    def _crop(self, index: int, key: int) -> Planes:
        """Return the crop of image `index`; in place of a bad one that of the next good image."""
        count = len(self.source)
        for other in range(index, index + count):
            try:
                return self.source.crop(other % count, key)
            except DataError as error:
                self.bad.note(self.source.images.names[other % count], error)
        raise DataError(f"not one of the {count} images of {self.source.images.label} can be read")

    def batch(self, step: int) -> Batch:
        """Return the part of step `step`'s batch that belongs to this process, uint8 on the CPU."""
        size = self.source.data.batch
        local = size // self.share.world
        first = step * size + self.share.rank * local
        keys = [sample_key(self.seed, g) for g in range(first, first + local)]
        indices = [image_index(self.seed, g, len(self.source)) for g in range(first, first + local)]
        batch = collate([self._crop(i, k) for i, k in zip(indices, keys, strict=True)], keys)
        return _pinned(batch) if self.pin else batch

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """Yield the batches of steps `start` to `stop` - 1, in order."""
        waiting: deque[Future[Batch]] = deque()
        threads = max(1, self.source.data.workers)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="feed")
        try:
            upcoming = start
            for _ in range(start, stop):
                while upcoming < stop and len(waiting) < AHEAD + threads:
                    waiting.append(pool.submit(self.batch, upcoming))
                    upcoming += 1
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
