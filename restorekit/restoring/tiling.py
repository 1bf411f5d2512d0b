"""Running a network on an image that is too large for its memory: overlapping tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from restorekit.interface import Output, SizeRule
from restorekit.outofmemory import is_out_of_memory
from restorekit.restoring.spans import FARTHEST, FEATHER, Span, spans
from restorekit.restoring.whole import WholeImage

Network = Callable[[Tensor], Output | Tensor]
# An input change of 1 further away than the receptive field may change the output by this much: a fifteenth
# of a 16-bit level.
_NEGLIGIBLE = 1e-6
_known: WeakKeyDictionary[torch.nn.Module, dict[tuple[SizeRule, int], int]] = WeakKeyDictionary()


def run_tiled(
    fn: Callable[[Tensor], Tensor],
    image: Tensor,
    tile: int | tuple[int, int],
    overlap: int,
    multiple: int = 1,
    margin: int = 0,
    device: torch.device | None = None,
    whole: WholeImage | None = None,
) -> Tensor:
    """Run `fn` on tiles of `image` [1, C, H, W] and blend the results; H and W are multiples of `multiple`.

    `tile`: height and width of a tile, rounded up to `multiple`. `overlap`: pixels that neighbouring tiles
    share at least. The outer `margin` pixels of a tile are thrown away where there is a neighbour, and the
    tiles fade linearly over the ``overlap - 2 * margin`` pixels that remain. With a margin of at least the
    receptive field the result is that of ``fn(image)``. Tiles start at multiples of `multiple`, so that
    strided layers see the same grid.

    `whole`: takes the means of the whole image in a first pass; without it, layers that look at all of an image see
    only a tile. Only one tile at a time is on `device` (by default that of `image`); the result, float32, is put
    together where `image` is. Raises `RestorekitError` for a tile that is not larger than its overlap.
    """
    tile_height, tile_width = (tile, tile) if isinstance(tile, int) else tile
    rows = spans(image.shape[-2], tile_height, overlap, multiple, margin)
    columns = spans(image.shape[-1], tile_width, overlap, multiple, margin)

    def tiles() -> Iterator[tuple[Tensor, Tensor]]:
        for row, column in itertools.product(rows, columns):
            part = image[..., row.start : row.stop, column.start : column.stop]
            yield part.to(device or image.device), weight_of(row, column)

    if whole:
        whole.record(fn, tiles())
    result = torch.zeros_like(image, dtype=torch.float32)
    for (row, column), (part, weight) in zip(itertools.product(rows, columns), tiles(), strict=True):
        restored = (whole.run(fn, part) if whole else fn(part)).float().to(image.device)
        target = result[..., row.start : row.stop, column.start : column.stop]
        target += restored * weight[0].to(image.device)
    return result


def weight_of(row: Span, column: Span) -> Tensor:
    """Return the weight of each pixel of a tile, [1, 1, H, W]."""
    return torch.from_numpy(row.weight[:, None] * column.weight[None])[None, None]


def receptive_field(generator: Network, rule: SizeRule, cap: int = FARTHEST) -> int:
    """Return how far, in pixels, an input pixel can be from an output pixel and still matter to it.

    Measured: the gradient of one cell of output pixels (a cell is ``rule.multiple`` wide, so that every phase
    of strided layers is in it) with respect to a random image. The radius is the smallest outside of which
    the gradients sum to less than 1e-6. `cap` is returned for networks that see further, such as those with
    global statistics; those of `GlobalMean` are not counted, as tiles have them.
    The result is kept per network; changing its weights does not measure again.
    """
    known = _known.setdefault(generator, {}) if isinstance(generator, torch.nn.Module) else {}
    if (rule, cap) not in known:
        known[rule, cap] = _measured(generator, rule, cap)
    return known[rule, cap]


def _measured(generator: Network, rule: SizeRule, cap: int) -> int:
    """Measure, with a smaller cap where the gradient does not fit into the memory."""
    try:
        return _measure(generator, rule, cap)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return _measured(generator, rule, cap // 2) if cap > FEATHER else cap


def _measure(generator: Network, rule: SizeRule, reach: int) -> int:
    """Return the radius, or `reach` when it is larger.

    Looking less far first would be quicker, and wrong for dilated layers, whose gradient has gaps.
    """
    cell = rule.multiple
    before = SizeRule(cell).padded(reach + 1)
    size = rule.padded(2 * before + cell)
    device = next((p.device for p in _parameters(generator)), torch.device("cpu"))
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode(False), torch.enable_grad():
        probe = noise.clone().requires_grad_()
        output = _fixed(generator, noise, probe).float()
        signs = torch.randint(0, 2, (3, cell, cell), generator=torch.Generator().manual_seed(1)) * 2 - 1
        seen = (output[0, :, before : before + cell, before : before + cell] * signs.to(device)).sum()
        (gradient,) = torch.autograd.grad(seen, probe)
    mass = gradient[0].abs().sum(0).cpu().double()
    position = torch.arange(size)
    distance = torch.maximum(before - position, position - (before + cell - 1)).clamp(min=0)
    ring = torch.maximum(distance[:, None], distance[None]).flatten()
    outside = torch.zeros(size, dtype=torch.float64).index_add_(0, ring, mass.flatten())
    beyond = outside.flip(0).cumsum(0).flip(0)  # beyond[r]: all gradient at distance r or more
    radius = int((beyond > _NEGLIGIBLE).sum())
    # A pixel at the far end of the cell reaches as far from there; nearer pixels of the cell hide that.
    return min(max(radius - 1, 0) + cell - 1, reach)


def _fixed(generator: Network, noise: Tensor, probe: Tensor) -> Tensor:
    """Return what the network gives for `probe`, its means over the whole image fixed to those of `noise`."""

    def fn(image: Tensor) -> Tensor:
        return Output.of(generator(image)).image

    whole = WholeImage(generator)
    if not whole:
        return fn(probe)
    with torch.no_grad():
        whole.record(fn, [(noise, torch.ones_like(noise[:, :1]))])
    return whole.run(fn, probe)


def _parameters(generator: object) -> Iterator[nn.Parameter]:
    return generator.parameters() if isinstance(generator, nn.Module) else iter(())
