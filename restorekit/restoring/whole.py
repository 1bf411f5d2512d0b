"""Means over a whole image of which a network sees only tiles."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from restorekit.layers import GlobalMean


class _Mean:
    """One layer's means, one for each time that it is called in a forward pass."""

    def __init__(self) -> None:
        self.sums: list[Tensor] = []
        self.weights: list[Tensor] = []
        self.calls = 0

    def record(self, features: Tensor, weight_11HW: Tensor) -> Tensor:
        """Add a tile, each pixel with its weight; return the tile's own mean."""
        if self.calls == len(self.sums):
            self.sums.append(torch.zeros((), device=features.device))
            self.weights.append(torch.zeros((), device=features.device))
        share = adaptive_avg_pool2d(weight_11HW.to(features.device), (features.shape[-2], features.shape[-1]))
        self.sums[self.calls] = self.sums[self.calls] + (features.float() * share).sum((2, 3), keepdim=True)
        self.weights[self.calls] = self.weights[self.calls] + share.sum()
        self.calls += 1
        return features.mean((2, 3), keepdim=True)

    def replay(self, features: Tensor) -> Tensor:
        """Return the mean over all tiles."""
        mean = self.sums[self.calls] / self.weights[self.calls]
        self.calls += 1
        return mean.to(features.dtype)


class WholeImage:
    """The means of a network's `GlobalMean` layers over an image that is run in tiles.

    `record` runs the tiles once. It sees each layer behind layers that had the mean of their tile only, so that what it
    finds is nearly, and at the first layer exactly, what the whole image gives; all tiles then have the same.
    """

    def __init__(self, network: object) -> None:
        modules = network.modules() if isinstance(network, nn.Module) else ()
        self._means = {module: _Mean() for module in modules if isinstance(module, GlobalMean)}

    def __bool__(self) -> bool:
        """Whether the network has such layers."""
        return bool(self._means)

    def record(self, fn: Callable[[Tensor], object], tiles: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Run `fn` on tiles [1, 3, H, W], with the weight [1, 1, H, W] of each pixel; the weights of an image are 1."""
        for part, weight in tiles:
            with self._standing_in(weight):
                fn(part)

    def run(self, fn: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
        """Return ``fn(part)`` with the means that were recorded."""
        with self._standing_in(None):
            return fn(part)

    @contextlib.contextmanager
    def _standing_in(self, weight: Tensor | None) -> Iterator[None]:
        """Record with the weight of each pixel, or replay without."""
        for module, mean in self._means.items():
            mean.calls = 0
            module.source = mean.replay if weight is None else functools.partial(mean.record, weight_11HW=weight)
        try:
            yield
        finally:
            for module in self._means:
                module.source = None
