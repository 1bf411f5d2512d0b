"""`Restorer` and `AdaptiveRestorer`: one face for fixed networks and for those that learn the image first."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar, Unpack, overload
from weakref import WeakKeyDictionary

import torch
from PIL import Image
from torch import Tensor, nn

from restorekit.data.images import Picture, pil_of, read_picture, write_picture
from restorekit.devices import Precision, autocast, pick_device, pick_precision
from restorekit.errors import RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.outofmemory import is_out_of_memory
from restorekit.padding import pad_to_rule
from restorekit.restoring.kinds import check_image, take_apart
from restorekit.restoring.memory import bytes_per_pixel, memory_budget
from restorekit.restoring.settings import Budget, RestorerInfo, RestorerSettings, Tile
from restorekit.restoring.spans import Tiling, padded_tile, tile_for, tiling_of
from restorekit.restoring.strips import LARGE, Planes, restore_strips, tiles_of
from restorekit.restoring.tiling import receptive_field, run_tiled
from restorekit.restoring.whole import WholeImage
from restorekit.weights.digest import state_digest

_Kind = TypeVar("_Kind")
Run = Callable[[Tensor], Tensor]
Network = Callable[[Tensor], Output | Tensor]
_SMALLEST_TILE = 64
# Large pictures are restored within so many bytes; so many are for the strips themselves, and tiles get at least so
# many.
_MOST, _STRIPS, _LEAST = 1.2e9, 1.5e8, 4e8
# What is restored as one tensor is in memory several times, padded, clipped and put together, beside what tiles take:
# 70 bytes a pixel measured on the CPU, for fixed networks and for those that adapt.
_COPIES, _COPIES_OF_FLIPS = 72.0, 24.0
# Networks with few channels need more per pixel than their tensors take: pix2pix 170 to 240 bytes, and 90 by the
# estimate.
_LEAST_PER_PIXEL = 300.0
# Of the estimate by `bytes_per_pixel`, tiles in float32 took up to 1.2 (attngan in bf16: 0.71, remaen 0.52).
_FP32_NEEDS = 1.3
_needs: WeakKeyDictionary[Network, dict[Precision, tuple[float, float]]] = WeakKeyDictionary()


class BaseRestorer(ABC):
    """What every restorer does: kinds of images, devices, precision, padding, tiles, mirroring.

    `device` and `precision`: see `pick_device` and `pick_precision`. With precision ``auto``, images with
    more than 8 bits are computed in fp32, because bf16 has 8 significant bits. `tile`: pixels per side of the
    pieces that a large image is cut into, 0 for never, ``auto`` for as large as the memory allows; halved
    when the memory runs out. `flips`: average the results of the image and of its mirror image (left to right
    only: rain falls and light comes from above). An image's result does not depend on what else is in its
    batch.
    """

    def __init__(
        self,
        *,
        device: str | torch.device = "auto",
        precision: str = "auto",
        tile: Tile = "auto",
        flips: bool = False,
        info: RestorerInfo | None = None,
    ) -> None:
        if tile != "auto" and (isinstance(tile, bool) or not isinstance(tile, int) or not (tile == 0 or tile >= 16)):
            raise RestorekitError(
                f"tile is {tile!r}; use 'auto', 0 for none, or a number of pixels of at least 16, such as 512"
            )
        self.device = pick_device(device)
        self.precision: Precision = pick_precision(precision, self.device)
        self.tile: Tile = tile
        self.flips = flips
        self.info = info or RestorerInfo()
        self._automatic = precision == "auto"

    @property
    def where(self) -> str:
        """Device and precision, in words."""
        return f"{self.device}, {self.precision}"

    def weights_digest(self) -> str:
        """Return the SHA-256 that identifies the weights; an empty string for a model that learns each image."""
        return ""

    @abstractmethod
    def _network_for(self, image: Tensor) -> Network | Tensor:
        """Return the network that restores [1, 3, H, W] in [0, 1], or the restored image, not clipped."""

    def _fixed_network(self) -> Network | None:
        """Return the network if it is the same for every image."""
        return None

    def restore_tensor(self, image: Tensor) -> Tensor:
        """Restore float [3, H, W] or [B, 3, H, W] in [0, 1]; return float32 of that shape, device and range.

        Raises `ImageError` for another shape, type or range, `RestorekitError` when the memory is too small
        or the network gives values that are not finite.
        """
        check_image(image)
        return self._restore_checked(image, self.precision)

    @overload
    def restore(self, image: str | Path) -> Image.Image: ...
    @overload
    def restore(self, image: _Kind) -> _Kind: ...
    def restore(self, image: object) -> object:
        """Restore an image of any kind and return the same kind.

        A path gives a Pillow image. A Pillow image keeps its mode (palettes and CMYK become RGB) and
        metadata. A numpy array [H, W] or [H, W, C] and a tensor [C, H, W] or [B, C, H, W] keep type and
        shape: uint8, uint16 (arrays) or floats in [0, 1]; with 1 or 3 colours, and one more channel for
        alpha, which stays as it is.
        Raises `ImageError` when it is none of these.
        """
        if isinstance(image, (str, Path)):
            return pil_of(self.restore_picture(read_picture(image)))
        planes, rebuild, deep = take_apart(image)
        return rebuild(self._restore_checked(planes, self._precision_for(deep)))

    def restore_picture(self, picture: Picture) -> Picture:
        """Restore a picture; depth, alpha and metadata stay.

        From 16 megapixels on, it is restored from top to bottom, a row of tiles at a time, and picture, result and
        tiles together take about 1.2 GB, as long as a tile of the network fits in.
        """
        precision = self._precision_for(picture.bits > 8)
        network = self._fixed_network()
        if network is not None and picture.height * picture.width >= LARGE:
            return self._by_strips(network, picture, precision)
        return picture.with_image(self._restore_checked(picture.tensor(), precision))

    def restore_file(self, source: str | Path, target: str | Path) -> None:
        """Restore one file into another, which appears complete or not at all."""
        write_picture(target, self.restore_picture(read_picture(source)))

    def _precision_for(self, deep: bool) -> Precision:
        return "fp32" if deep and self._automatic else self.precision

    def _restore_checked(self, image: Tensor, precision: Precision) -> Tensor:
        batch = image.detach().float().clamp(0, 1)
        batch = batch if batch.ndim == 4 else batch[None]
        restored = [self._restore_one(one[None], precision).float().to(image.device) for one in batch]
        result = torch.cat(restored).reshape(image.shape)
        if not bool(torch.isfinite(result).all()):
            raise RestorekitError(
                f"the network gave values that are not finite with {precision}; try --precision fp32, and if"
                " that does not help, other weights"
            )
        return result.clamp_(0, 1)

    def _restore_one(self, image: Tensor, precision: Precision) -> Tensor:
        network = self._network_for(image)
        if isinstance(network, Tensor):
            return network
        restored = self._run_network(network, image, precision)
        if not self.flips:
            return restored
        return (restored + self._run_network(network, image.flip(-1), precision).flip(-1)) / 2

    def _run_network(self, network: Network, image: Tensor, precision: Precision) -> Tensor:
        """Run a network on [1, 3, H, W], padded to its rule, in tiles where needed."""
        rule = SizeRule.of(network)
        padded, crop = pad_to_rule(image, rule)
        fn = self._prepared(network, precision)
        sides = padded.shape[-2], padded.shape[-1]
        with _exact_kernels(), torch.inference_mode():
            tile = self._first_tile(network, fn, sides, rule, precision, self._beside_copies(sides))
            return self._smaller_until_it_fits(
                lambda size: crop(self._tiles(network, fn, padded, rule, size)).clone(), tile, sides, rule
            )

    def _by_strips(self, network: Network, picture: Picture, precision: Precision) -> Picture:
        """Restore a large picture, of which only a row of tiles is in floating point at a time."""
        rule = SizeRule.of(network)
        fn = self._prepared(network, precision)

        def attempt(tile: int) -> Picture:
            undivided = not tile or tile >= max(sides)
            tiling = tiling_of(0 if undivided else tile, self._reach(network, rule), rule)
            straight, mirrored = (self._steady(network, fn, picture, tiling, flip=flip) for flip in (False, True))

            def run(planes: Planes) -> Planes:
                part = torch.from_numpy(planes).to(self.device)
                result = straight(part)
                if self.flips:
                    result = (result + mirrored(part.flip(-1)).flip(-1)) / 2
                return result.float().cpu().numpy()

            return restore_strips(run, picture, tiling)

        sides = rule.padded(picture.height), rule.padded(picture.width)
        most = min(memory_budget(self.device), _left(picture, precision))
        with _exact_kernels(), torch.inference_mode():
            return self._smaller_until_it_fits(
                attempt, self._first_tile(network, fn, sides, rule, precision, most, strips=True), sides, rule
            )

    def _steady(self, network: Network, fn: Run, picture: Picture, tiling: Tiling, *, flip: bool) -> Run:
        """Return `fn` with the means of the whole picture, or of its mirror image, in place of those of each tile."""
        whole = WholeImage(network)
        if not (whole and tiling.tile) or (flip and not self.flips):
            return fn
        for planes, weight in tiles_of(picture.pixels, tiling):
            part, share = torch.from_numpy(planes).to(self.device), torch.from_numpy(weight)[None, None]
            whole.record(fn, [(part.flip(-1), share.flip(-1)) if flip else (part, share)])
        return functools.partial(whole.run, fn)

    def _smaller_until_it_fits(
        self, attempt: Callable[[int], _Kind], tile: int, sides: tuple[int, int], rule: SizeRule
    ) -> _Kind:
        """Return ``attempt(tile)``; halve the tile whenever the memory runs out."""
        while True:
            try:
                return attempt(tile)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                tile = self._smaller(tile, sides, rule, error)

    def _moved(self, network: nn.Module) -> nn.Module:
        """Put a network on the device for evaluation, in the layout that is fastest for convolutions."""
        return network.to(self.device).to(memory_format=torch.channels_last).eval()

    def _prepared(self, network: Network, precision: Precision) -> Run:
        def fn(part: Tensor) -> Tensor:
            with autocast(self.device, precision):
                return Output.of(network(part.contiguous(memory_format=torch.channels_last))).image

        return fn

    def _tiles(self, network: Network, fn: Run, image: Tensor, rule: SizeRule, tile: int) -> Tensor:
        if not tile or tile >= max(image.shape[-2:]):
            return fn(image.to(self.device)).float().to(image.device)
        tiling = tiling_of(tile, self._reach(network, rule), rule)
        whole = WholeImage(network)
        return run_tiled(fn, image, tile, tiling.overlap, rule.multiple, tiling.margin, self.device, whole)

    def _reach(self, network: Network, rule: SizeRule) -> int:
        """Return how far the network looks, in pixels."""
        return receptive_field(network, rule)

    def _first_tile(
        self,
        network: Network,
        fn: Run,
        sides: tuple[int, int],
        rule: SizeRule,
        precision: Precision,
        most: float,
        *,
        strips: bool = False,
    ) -> int:
        """Return the tile size to begin with; 0 for the whole image at once. `most`: bytes that it may take."""
        if self.tile != "auto":
            return padded_tile(self.tile, rule) if self.tile else 0
        fixed, slope = self._need(network, fn, rule, precision)
        if strips:
            slope = max(slope, _LEAST_PER_PIXEL)
        budget = max(most - fixed, 0)
        return 0 if sides[0] * sides[1] * slope <= budget else tile_for(budget, slope, rule)

    def _beside_copies(self, sides: tuple[int, int]) -> float:
        """Return the bytes that tiles may take of the budget beside the whole image's copies, which no GPU holds."""
        budget = memory_budget(self.device)
        if self.device.type == "cuda":
            return budget
        copies = (_COPIES + _COPIES_OF_FLIPS * self.flips) * sides[0] * sides[1]
        return max(budget - copies, min(_LEAST, budget))

    def _need(self, network: Network, fn: Run, rule: SizeRule, precision: Precision) -> tuple[float, float]:
        """Return (fixed bytes, bytes per pixel) that the network needs."""
        known = _needs.setdefault(network, {})
        if precision not in known:
            known[precision] = bytes_per_pixel(fn, rule, self.device)
        return known[precision]

    def _smaller(self, tile: int, sides: tuple[int, int], rule: SizeRule, error: BaseException) -> int:
        """Return the next smaller tile after the memory ran out."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        before = min(tile or max(sides), max(sides))
        after = padded_tile(max(before // 2, _SMALLEST_TILE), rule)
        if after >= before:
            raise RestorekitError(
                f"not enough memory on {self.device} for an image of {sides[0]} x {sides[1]}"
                f" pixels, not even in tiles of {before}; close other programs, or use --device cpu"
            ) from error
        return after


def _left(picture: Picture, precision: Precision) -> float:
    """Return the bytes that a large picture leaves to the network, of `_MOST`: its result is as large as it is."""
    return max(_MOST - _STRIPS - 2 * picture.pixels.nbytes, _LEAST) / (_FP32_NEEDS if precision == "fp32" else 1)


def _exact_kernels() -> AbstractContextManager[None]:
    """Return the context that makes cuDNN deterministic and keeps fp32 at full precision (no TF32)."""
    return torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
    )


class Restorer(BaseRestorer):
    """Restores with a fixed network: degraded [B, 3, H, W] in [0, 1] -> `Output` or image.

    The network is moved to the device and set to evaluation; its attribute ``size_rule`` says which sizes it
    takes.
    """

    def __init__(self, generator: nn.Module, **settings: Unpack[RestorerSettings]) -> None:
        super().__init__(**settings)
        self.generator = self._moved(generator)

    def weights_digest(self) -> str:
        """Return the SHA-256 over the network's parameters and buffers."""
        return state_digest(self.generator)

    def _network_for(self, image: Tensor) -> Network:
        return self.generator

    def _fixed_network(self) -> Network:
        return self.generator


Adapt = Callable[[Tensor, Budget], Network | Tensor]


class AdaptiveRestorer(BaseRestorer):
    """Restores with a model that learns the image first.

    `adapt` takes an image [1, 3, H, W] float32 in [0, 1], on the device, and the budget. It returns a network, which
    then restores the image as a fixed one would, or, where none was learned, the restored image of that shape.
    `generator`, an untrained network of the same form, is what cost columns count. `unlearned` counts the images that
    were restored without a network.
    """

    def __init__(
        self,
        adapt: Adapt,
        budget: Budget | None = None,
        *,
        generator: nn.Module | None = None,
        **settings: Unpack[RestorerSettings],
    ) -> None:
        super().__init__(**settings)
        self.adapt = adapt
        self.budget = budget or Budget()
        self.generator = generator
        self.unlearned = 0

    def _network_for(self, image: Tensor) -> Network | Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            learned = self.adapt(image.clone().to(self.device), self.budget)
        if isinstance(learned, nn.Module):
            return self._moved(learned)
        if not isinstance(learned, Tensor):
            return learned
        self.unlearned += 1
        if learned.shape != image.shape:
            raise RestorekitError(
                f"the model returned shape {tuple(learned.shape)} for an image {tuple(image.shape)}; they"
                " must be equal: this is an error of the model, report it to its author"
            )
        return learned.detach()
