"""Choosing the device and the precision to compute with. Torch is imported on first use."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, get_args

from restorekit.errors import RestorekitError, closest

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device called `name`: ``auto`` (CUDA, MPS, CPU), ``cpu``, ``cuda``, ``cuda:N``, ``mps``.

    Raises `RestorekitError` when the name is unknown or this machine has no such device.
    """
    import torch

    text = str(name)
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = text.partition(":")
    if kind not in _DEVICES[1:] or (index and not index.isdecimal()):
        raise RestorekitError(
            f"device {text!r} is unknown; use {', '.join(_DEVICES)} or cuda:N.{closest(kind, _DEVICES)}"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise RestorekitError(
            "device 'cuda' is not available: this machine has no CUDA device, or torch was installed for CPU"
            " only; use --device cpu, or install torch for CUDA"
        )
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise RestorekitError(
            f"device {text!r} is not available: this machine has {torch.cuda.device_count()} CUDA device(s),"
            " counted from cuda:0"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise RestorekitError("device 'mps' is not available: it needs macOS on Apple silicon; use --device cpu")
    return torch.device(text)


def pick_precision(name: str, device: torch.device) -> Precision:
    """Return the precision that networks compute with on `device`.

    ``auto``: bf16 where the hardware computes with it (CUDA from Ampere on, CPUs with AVX512-BF16 or AMX),
    else fp16 on CUDA, else fp32. Raises `RestorekitError` when it is unknown or not supported there.
    """
    if name == "auto":
        return "bf16" if _has_bf16(device) else "fp16" if device.type == "cuda" else "fp32"
    for precision in PRECISIONS:
        if name == precision:
            break
    else:
        allowed = ("auto", *PRECISIONS)
        raise RestorekitError(
            f"precision {name!r} is unknown; use one of {', '.join(allowed)}.{closest(name, allowed)}"
        )
    if precision == "fp16" and device.type == "cpu":
        raise RestorekitError("precision 'fp16' is not supported on the CPU; use bf16 or fp32")
    return precision


def device_name(device: torch.device) -> str:
    """Return the device in words: the GPU's name, or ``cpu (2 threads)``."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which networks run on `device` with `precision`."""
    import torch

    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def _has_bf16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Emulated bf16 is slower than fp32; torch has no public question for the real one.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)
    return False
