"""Processes and devices, through Hugging Face Accelerate; the only file that imports it.

What it deliberately does not use: ``accumulate()`` (per phase, it would never step the discriminator),
``clip_grad_norm_`` (it unscales every optimizer) and prepared schedulers (stepped once per process).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from restorekit.devices import pick_device, pick_precision
from restorekit.engine.feed import Share
from restorekit.errors import TrainingError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Runtime:
    """This process: its device, its share of the work, and its precision.

    `device`: ``auto``, ``cpu``, ``cuda`` or ``mps``; under ``torchrun`` each process takes its own GPU.
    """

    def __init__(self, device: str = "auto", precision: str = "auto") -> None:
        single = int(os.environ.get("WORLD_SIZE", "1")) == 1
        chosen = pick_device(device)
        kwargs = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        self._accelerator = Accelerator(
            cpu=chosen.type == "cpu", mixed_precision="no", kwargs_handlers=[kwargs], device_placement=False
        )
        self.device = chosen if single else self._accelerator.device
        self.precision = pick_precision(precision, self.device)
        self.share = Share(self._accelerator.process_index, self._accelerator.num_processes)

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
        if not self.many:
            return dict(networks)
        return {name: self._accelerator.prepare_model(networks[name]) for name in sorted(networks)}

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the autocast of this run's precision."""
        dtype = _DTYPES.get(self.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    @contextlib.contextmanager
    def synchronised(self, network: nn.Module, last: bool) -> Iterator[None]:
        """Exchange gradients only in the last of a phase's micro-batches."""
        with contextlib.nullcontext() if last else self._accelerator.no_sync(network):
            yield

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values` over all processes."""
        if not self.many:
            return values
        reduced = self._accelerator.reduce(values, reduction="mean")
        assert isinstance(reduced, Tensor)
        return reduced

    def gather(self, items: list[Any]) -> list[Any]:
        """Return the concatenated lists of all processes, in order of rank."""
        return list(gather_object(items)) if self.many else items

    def agree(self, value: Any) -> Any:
        """Return the main process's value on every process."""
        if not self.many:
            return value
        box = [value]
        broadcast_object_list(box)
        return box[0]

    def average_buffers(self, networks: dict[str, nn.Module]) -> None:
        """Make batch-norm statistics and other buffers equal on all processes."""
        if self.many:
            for network in networks.values():
                for buffer in network.buffers():
                    value = self.mean(buffer.float())
                    buffer.copy_(value.to(buffer.dtype))

    def wait(self) -> None:
        """Wait until every process is here."""
        self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Leave the process group."""
        if self.many:
            self._accelerator.end_training()
