"""Processes and devices, through Hugging Face Accelerate; the only file that imports it.

What it deliberately does not use: ``accumulate()`` (per phase, it would never step the discriminator),
``clip_grad_norm_`` (it unscales every optimizer) and prepared schedulers (stepped once per process).
"""

from __future__ import annotations

import atexit
import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from restorekit.devices import pick_device, pick_precision
from restorekit.engine.feed.batches import Share
from restorekit.errors import RestorekitError, TrainingError
from restorekit.processes import process_group_size

if TYPE_CHECKING:
    from accelerate import Accelerator

Item = TypeVar("Item")
Made = TypeVar("Made")

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# what collectives say when the other end of a connection has gone
_LOST = ("connection closed", "connection reset", "broken pipe", "socket", "nccl", "gloo", "timed out", "peer")


def _leave_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _accelerator(on_cpu: bool) -> Accelerator:
    """Return this process's `Accelerator`. The process group lasts as long as the process: it may train again."""
    from accelerate import Accelerator, DistributedDataParallelKwargs

    if not torch.distributed.is_initialized():
        atexit.register(_leave_group)
    kwargs = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    return Accelerator(cpu=on_cpu, mixed_precision="no", kwargs_handlers=[kwargs], device_placement=False)


class Runtime:
    """This process: its device, its share of the work, and its precision.

    `device`: ``auto``, ``cpu``, ``cuda`` or ``mps``; under ``torchrun`` each process takes its own GPU.
    """

    def __init__(self, device: str = "auto", precision: str = "auto") -> None:
        chosen = pick_device(device)
        self._accelerator: Accelerator | None = None
        self.device, self.share = chosen, Share()
        if process_group_size() > 1:
            self._accelerator = _accelerator(chosen.type == "cpu")
            own = self._accelerator.device
            # Accelerate says cpu:0, a place from which torch.load cannot restore
            self.device = own if own.type == "cuda" else torch.device(own.type)
            self.share = Share(self._accelerator.process_index, self._accelerator.num_processes)
        self.precision = pick_precision(precision, self.device)

    @property
    def main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.share.rank == 0

    @property
    def many(self) -> bool:
        """Whether there is more than one process."""
        return self.share.world > 1

    def check_batch(self, batch: int, accumulate: int) -> None:
        """Refuse a global batch that cannot be split evenly. Raises `TrainingError`."""
        parts = self.share.world * accumulate
        if batch % parts:
            raise TrainingError(
                f"data.batch is {batch}, which {self.share.world} processes with accumulate={accumulate} cannot"
                f" share evenly; make it a multiple of {parts}"
            )

    def wrap(self, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """Return the networks as they are to be called in training, in sorted order on every process."""
        if self._accelerator is None:
            return dict(networks)
        with warnings.catch_warnings():
            # torch 2.15 renames broadcast_buffers to forward_sync_buffers, which older versions do not know
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            return {name: self._accelerator.prepare_model(networks[name]) for name in sorted(networks)}

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the autocast of this run's precision."""
        dtype = _DTYPES.get(self.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    @contextlib.contextmanager
    def synchronised(self, network: nn.Module, last: bool) -> Iterator[None]:
        """Exchange gradients only in the last of a phase's micro-batches."""
        apart = self._accelerator is not None and not last
        with self._accelerator.no_sync(network) if apart and self._accelerator else contextlib.nullcontext():
            yield

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values` over all processes."""
        if self._accelerator is None:
            return values
        reduced = self._accelerator.reduce(values, reduction="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def gather(self, items: list[Item]) -> list[Item]:
        """Return the concatenated lists of all processes, in order of rank."""
        if not self.many:
            return items
        from accelerate.utils import gather_object

        return list(gather_object(items))

    def check_alike(self, mine: dict[str, object]) -> None:
        """Refuse processes that are to train different things. Raises `TrainingError` naming what differs."""
        first, *others = self.gather([mine])
        for rank, other in enumerate(others, 1):
            found = [key for key in sorted(first | other) if first.get(key) != other.get(key)]
            # a folder may have another name on another machine
            differ = [f"{k}: {first.get(k)} and {other.get(k)}" for k in found if not k.endswith(".label")]
            if differ:
                raise TrainingError(
                    f"processes 0 and {rank} are not to train the same ({'; '.join(differ)}); give every machine the"
                    " same command and the same data"
                )

    def from_main(self, make: Callable[[], Made]) -> Made:
        """Return on every process what `make` gives on the main one, whose disk may be no one else's.

        Raises on every process, as `TrainingError`, whatever error of restorekit `make` raises on the main one.
        """
        if not self.many:
            return make()
        from accelerate.utils import broadcast_object_list

        made: list[object] = ["", None]
        if self.main:
            try:
                made[1] = make()
            except RestorekitError as error:
                made[0] = str(error)
        problem, value = broadcast_object_list(made)
        if problem:
            raise TrainingError(problem)
        return value  # type: ignore[no-any-return]

    def stop_signal(self, number: int | None, step: int) -> int | None:
        """Return the largest signal number that any process has noted, or None.

        On GPUs asking means waiting for the device, so that it is done at every tenth step only.
        """
        if not self.many:
            return number
        if self.device.type != "cpu" and step % 10:
            return None
        return max(self.gather([number or 0])) or None

    def wait(self) -> None:
        """Wait until every process is here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def company(self) -> Iterator[None]:
        """Turn the loss of another process into a `TrainingError` that says what to do."""
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if not self.many or not any(word in text.lower() for word in _LOST):
                raise
            raise TrainingError(
                f"process {self.share.rank} of {self.share.world} has lost another process"
                f" ({' '.join(text.split())[:160]}). The message of the one that died says why; start the same"
                " command again to go on from the last checkpoint"
            ) from error
