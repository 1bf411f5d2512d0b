"""How much memory a network needs for an image, and how much there is."""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Callable, Mapping

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restorekit.interface import SizeRule

# Convolutions need work space that a count of tensors does not see.
_SAFETY = 2.0
# On the CPU small tiles are no slower than large ones, and other programs want memory too.
_CPU_CEILING = 4 * 2**30
# mallopt(3) of glibc
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEPT = 2**31 - 1


class _PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors alive at once that operations under it created."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._owners: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if not self._owners.get(key):
            self._now += size
            self.peak = max(self.peak, self._now)
        self._owners[key] = self._owners.get(key, 0) + 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._owners[key] -= 1
        if not self._owners[key]:
            self._now -= size


def bytes_per_pixel(fn: Callable[[Tensor], Tensor], rule: SizeRule, device: torch.device) -> tuple[float, float]:
    """Return (fixed bytes, bytes per input pixel) that `fn` needs at its peak, from two small runs.

    The figures hold a safety factor of 2 for work space that only the kernels know of.
    """
    sizes = (rule.padded(max(64, rule.minimum)), rule.padded(max(64, rule.minimum) + max(64, rule.multiple)))
    peaks = [_peak(fn, size, device) for size in sizes]
    slope = max(0.0, (peaks[1] - peaks[0]) / (sizes[1] ** 2 - sizes[0] ** 2))
    return max(0.0, peaks[0] - slope * sizes[0] ** 2) * _SAFETY, max(slope, 12.0) * _SAFETY


def _peak(fn: Callable[[Tensor], Tensor], size: int, device: torch.device) -> int:
    image = torch.zeros(1, 3, size, size, device=device)
    with _PeakMemory() as memory:
        fn(image)
    return int(memory.peak)


def keep_freed_memory() -> None:
    """Let this process keep up to 2 GiB of what it frees, for the next layer.

    glibc gives blocks of more than 32 MiB back at once, and fresh pages cost a CPU up to a fifth of the time of a
    network. For programs, not for libraries: it concerns the whole process. Elsewhere than with glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        system = ctypes.CDLL(None)
        system.mallopt(_M_MMAP_MAX, 0)
        system.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def memory_budget(device: torch.device) -> int:
    """Return how many bytes restoring may use: most of the free device memory, half of the free RAM."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.8 * (free + unused))
    available = int(psutil.virtual_memory().available) // 2
    if device.type == "mps":
        return min(available, int(torch.mps.recommended_max_memory()))
    return min(available, _CPU_CEILING)
