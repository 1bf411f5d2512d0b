"""Small inputs for the checks: deterministic, with structure, of any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from restorekit.interface import Batch, SizeRule
from restorekit.testing.check import PLACE

# height, width in pixels: even and odd, square and not, of both orientations
SIZES: tuple[tuple[int, int], ...] = ((64, 64), (48, 80), (67, 45), (33, 97))


def image(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Return [count, 3, height, width] in [0, 1]: waves with noise, another picture for each sample."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.linspace(0, 6, height).view(1, 1, -1, 1)
    columns = torch.linspace(0, 6, width).view(1, 1, 1, -1)
    phase = 6 * torch.rand((2, count, 3, 1, 1), generator=generator)
    waves = 0.5 + 0.2 * torch.sin(rows + phase[0]) + 0.2 * torch.cos(columns + phase[1])
    noise = 0.1 * (torch.rand((count, 3, height, width), generator=generator) - 0.5)
    return (waves + noise).clamp(0, 1).to(PLACE.get())


def batch(count: int, height: int, width: int, seed: int = 0) -> Batch:
    """Return a paired batch with masks: brighter spots where the mask is 1."""
    clean = image(count, height, width, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    mask = (torch.rand((count, 1, height, width), generator=generator) < 0.2).to(clean)
    key = torch.randint(0, 2**31 - 1, (count,), generator=generator)
    return Batch(
        degraded=clean * (1 - 0.5 * mask) + 0.45 * mask,
        clean=clean,
        mask=mask,
        name=tuple(f"sample-{i}" for i in range(count)),
        key=key.to(clean.device),
    )


def pick(whole: Batch, index: int) -> Batch:
    """Return one sample of a batch as a batch."""
    one = slice(index, index + 1)

    def cut(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[one]

    clean, mask, references, key = map(cut, (whole.clean, whole.mask, whole.references, whole.key))
    return Batch(whole.degraded[one], clean, mask, references, whole.name[one], key)


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Run with a fixed global random state, and restore the state behind it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def sizes_for(network: nn.Module) -> list[tuple[int, int]]:
    """Return sizes that the network says it accepts, made of `SIZES` and of its smallest."""
    rule = SizeRule.of(network)
    found = [(rule.padded(h), rule.padded(w)) for h, w in SIZES]
    return list(dict.fromkeys([*found, (rule.padded(rule.minimum), rule.padded(rule.minimum))]))


def tensors(value: object) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for item in value.values() for t in tensors(item)]
    if isinstance(value, list | tuple):
        return [t for item in value for t in tensors(item)]
    return []


def finite(value: object) -> bool:
    """Say whether all tensors in `value` are finite."""
    return all(bool(torch.isfinite(t).all()) for t in tensors(value))
