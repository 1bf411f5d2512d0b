"""What a model costs at one image size: parameters, multiply-accumulates, latency, throughput, memory."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from restorekit.benchmark.records import Cost
from restorekit.devices import device_name
from restorekit.interface import SizeRule

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from restorekit.restoring.restorer import AdaptiveRestorer, Restorer

Result = TypeVar("Result")

RUNS = 10  # at most so many timed runs,
SECONDS = 3.0  # or so long, but never fewer than 3
LEAST = 3
SLOW = 10.0  # above this many seconds per image the warm-up run itself is the measurement
CUDA_BATCH = 8

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def parameter_count(network: nn.Module) -> int:
    """Return the number of parameters, trainable or not; shared ones once."""
    return sum(p.numel() for p in network.parameters())


def weight_bytes(network: nn.Module) -> int:
    """Return the bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))


def macs(network: nn.Module, height: int, width: int) -> int:
    """Return the multiply-accumulates of one image [1, 3, H, W], padded to the network's size rule.

    Convolutions and matrix products only, as papers count: half of what `FlopCounterMode` reports. Counted on
    PyTorch's meta device, without computing; a network that cannot run there is counted where it is.
    """
    import torch

    rule = SizeRule.of(network)
    shape = (1, 3, rule.padded(height), rule.padded(width))
    try:
        return _count(copy.deepcopy(network).to("meta"), torch.empty(shape, device="meta"))
    except (NotImplementedError, RuntimeError):  # reads values, which meta tensors do not have
        first = next(network.parameters(), torch.empty(0))
        return _count(network, torch.zeros(shape, device=first.device, dtype=first.dtype))


def _count(network: nn.Module, image: Tensor) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops()) // 2


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {field}")


def _return_free_memory() -> None:
    """Give freed heap pages back to the system, so that reusing them counts as growth again."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it; elsewhere the growth is a lower bound
        ctypes.CDLL(None).malloc_trim(0)


def peak_growth(call: Callable[[], Result], device: torch.device) -> tuple[Result, int | None]:
    """Run `call` and return its result and the bytes by which memory peaked above where it started.

    CUDA: `torch.cuda.max_memory_allocated` after a reset, minus what was allocated before. CPU on Linux: the
    kernel's peak resident size (VmHWM, reset through /proc/self/clear_refs) minus the resident size before,
    after free heap was returned. None elsewhere.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = call()
        torch.cuda.synchronize(device)
        return result, torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return call(), None
    try:
        _return_free_memory()
        before = _status_bytes("VmRSS")
        _CLEAR.write_text("5")
    except OSError:  # not Linux, or /proc is closed: said by the None
        return call(), None
    result = call()
    return result, max(0, _status_bytes("VmHWM") - before)


def _timed(call: Callable[[], object], device: torch.device) -> float:
    import torch

    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - start


def latency(call: Callable[[], object], device: torch.device, first: float) -> float:
    """Return the median seconds of warm runs of `call`; `first` is what the warm-up took."""
    if first > SLOW:
        return first
    times: list[float] = []
    while len(times) < RUNS and (len(times) < LEAST or sum(times) < SECONDS):
        times.append(_timed(call, device))
    return statistics.median(times)


def in_turns(calls: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the median seconds of warm runs of each call; they take turns, so that a busy machine favours none."""
    first = {name: _timed(call, device) for name, call in calls.items()}
    if sum(first.values()) > SLOW * len(calls):
        return first
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    for turn in range(RUNS):
        if turn >= LEAST and spent >= SECONDS * len(calls):
            break
        for name, call in calls.items():
            times[name].append(_timed(call, device))
            spent += times[name][-1]
    return {name: statistics.median(values) for name, values in times.items()}


def throughput(restorer: Restorer, image: Tensor) -> tuple[float, int]:
    """Return warm images per second of the network on CUDA, and the batch: 8, halved while it does not fit.

    The network itself is run: a restorer takes a batch image by image, so that none depends on the others.
    """
    import torch

    batch = CUDA_BATCH
    while True:
        try:
            call = _batch_call(restorer, image, batch)
            first = _timed(call, restorer.device)
            return batch / latency(call, restorer.device, first), batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            torch.cuda.empty_cache()
            batch //= 2


def _batch_call(restorer: Restorer, image: Tensor, batch: int) -> Callable[[], object]:
    import torch

    from restorekit.devices import autocast
    from restorekit.padding import pad_to_rule

    padded, _ = pad_to_rule(image, SizeRule.of(restorer.generator))
    images = padded.repeat(batch, 1, 1, 1).to(memory_format=torch.channels_last)

    def call() -> None:
        with torch.inference_mode(), autocast(restorer.device, restorer.precision):
            restorer.generator(images)

    return call


def measure(restorer: Restorer, image: Tensor) -> Cost:
    """Measure a fixed network's cost at the size of `image` [1, 3, H, W] in [0, 1].

    On CPU the throughput is the inverse of the latency, since a single image keeps all cores busy.
    """
    device = restorer.device
    start = time.perf_counter()
    _, growth = peak_growth(lambda: restorer.restore_tensor(image), device)
    first = time.perf_counter() - start
    median = latency(lambda: restorer.restore_tensor(image), device, first)
    rate, batch = (1 / median, 1)
    if device.type == "cuda":
        rate, batch = throughput(restorer, image)
    height, width = image.shape[-2:]
    count, notes = macs_or_note(restorer.generator, height, width)
    return Cost(
        height=height,
        width=width,
        parameters=parameter_count(restorer.generator),
        macs=count,
        latency=median,
        throughput=rate,
        batch=batch,
        memory=None if growth is None else growth + weight_bytes(restorer.generator),
        device=device_name(device),
        precision=str(restorer.precision),
        notes=notes,
    )


def macs_or_note(network: nn.Module, height: int, width: int) -> tuple[int | None, tuple[str, ...]]:
    """Return the multiply-accumulates, as `macs` does, or None and why they could not be counted."""
    try:
        return macs(network, height, width), ()
    except Exception as error:  # a plugin's network may do anything; its other figures still count
        return None, (f"MACs could not be counted: {type(error).__name__}: {error}",)


def adaptive_cost(
    restorer: AdaptiveRestorer, seconds: list[float], growth: int | None, height: int, width: int
) -> Cost:
    """Return the cost of a model that trains on each image: `seconds` of each, adaptation included."""
    median = statistics.median(seconds)
    network = restorer.generator
    return Cost(
        height=height,
        width=width,
        parameters=None if network is None else parameter_count(network),
        macs=None,
        latency=median,
        throughput=1 / median if median else None,
        batch=1,
        memory=growth,  # it builds its network while it adapts
        device=device_name(restorer.device),
        precision=str(restorer.precision),
        notes=("it trains on each image: latency includes that, MACs depend on the budget",)
        if restorer.info.learns
        else (),
    )
