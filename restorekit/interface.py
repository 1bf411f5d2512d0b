"""What components hand to each other. Importing this module does not import torch.

Every image tensor at a public boundary is ``BCHW``, RGB, float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar, Unpack, runtime_checkable

from restorekit.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    import torch
    from torch import Tensor

    from restorekit.pixels import Pixels

Found = TypeVar("Found")


@dataclass(frozen=True)
class SizeRule:
    """The image sizes that a generator accepts, in pixels.

    Whoever runs the generator pads to the rule and crops afterwards. A generator states its rule as the attribute
    ``size_rule``; without one, any size is accepted.
    """

    multiple: int = 1
    """Height and width must be multiples of it."""
    minimum: int = 1
    """Height and width must not be below it."""

    @staticmethod
    def of(network: object) -> SizeRule:
        """Return the sizes that a generator accepts; any, if it states none."""
        rule = getattr(network, "size_rule", None)
        return rule if isinstance(rule, SizeRule) else SizeRule()

    def padded(self, size: int) -> int:
        """Return the smallest accepted size that is not below `size`."""
        return -(-max(size, self.minimum) // self.multiple) * self.multiple


class BatchFields(TypedDict, total=False):
    """The fields of a `Batch`, as `Batch.replace` takes them."""

    degraded: Tensor
    clean: Tensor | None
    mask: Tensor | None
    references: Tensor | None
    name: tuple[str, ...]
    key: Tensor | None


@dataclass(frozen=True)
class Batch:
    """One batch of samples."""

    degraded: Tensor
    """[B, 3, H, W]."""
    clean: Tensor | None = None
    """[B, 3, H, W], when the data are paired."""
    mask: Tensor | None = None
    """[B, 1, H, W] in {0, 1}, 1 where the image is degraded, when that is known."""
    references: Tensor | None = None
    """[B, K, 3, H, W]: K plausible clean images from a prior."""
    name: tuple[str, ...] = ()
    """One file stem per sample."""
    key: Tensor | None = None
    """[B] int64 in [0, 2**31): one random number per sample that depends only on (seed, step, global sample index).

    Randomness in losses must be derived from it, so that a run is the same on any number of processes.
    """

    def replace(self, **changes: Unpack[BatchFields]) -> Batch:
        """Return a copy with the given fields changed."""
        return replace(self, **changes)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch with every tensor on `device`."""
        moved = {
            f.name: value.to(device, non_blocking=non_blocking)
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None and f.name != "name"
        }
        return replace(self, **moved)


def _each(value: Tensor | tuple[Tensor, ...], change: Callable[[Tensor], Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Change a tensor, or each of a tuple of them."""
    return tuple(map(change, value)) if isinstance(value, (tuple, list)) else change(value)


@dataclass(frozen=True)
class Output:
    """What a generator returns. One that has no extras may return the image tensor itself."""

    image: Tensor
    """The restored image [B, 3, H, W], not clipped."""
    extras: Mapping[str, Tensor | tuple[Tensor, ...]] = field(default_factory=dict)
    """Intermediate results that losses may ask for, each a tensor or a tuple of tensors.

    Such as ``attention`` (maps, one per time step), ``scales`` (smaller outputs) or ``stages`` (outputs of earlier
    stages).
    """

    def extra(self, name: str) -> Tensor:
        """Return the extra `name`, a tensor. Raises `TrainingError` when it is not there, or is several."""
        value = self.extras.get(name)
        if isinstance(value, tuple):
            raise TrainingError(f"the extra {name!r} is a tuple of {len(value)} tensors; ask for extra_parts({name!r})")
        return _present(value, f"the extra {name!r}", name, f"use a generator that gives it (it has: {self._names()})")

    def extra_parts(self, name: str) -> tuple[Tensor, ...]:
        """Return the extra `name` as a tuple of tensors. Raises `TrainingError` when it is not there."""
        value = self.extras.get(name)
        found = _present(value, f"the extra {name!r}", name, f"use a generator that gives it (it has: {self._names()})")
        return found if isinstance(found, tuple) else (found,)

    def _names(self) -> str:
        return ", ".join(sorted(self.extras)) or "none"

    @staticmethod
    def of(value: Output | Tensor) -> Output:
        """Wrap a bare image tensor; leave an `Output` as it is."""
        return value if isinstance(value, Output) else Output(value)

    def float(self) -> Output:
        """Return the output with every tensor in float32."""
        return Output(self.image.float(), {k: _each(v, lambda t: t.float()) for k, v in self.extras.items()})

    def detach(self) -> Output:
        """Return the output with every tensor detached from the graph."""
        return Output(self.image.detach(), {k: _each(v, lambda t: t.detach()) for k, v in self.extras.items()})


def _present(value: Found | None, what: str, need: str, remedy: str) -> Found:
    """Return what is there. Raises `TrainingError` that names who should have given it."""
    if value is None:
        raise TrainingError(
            f"a loss asks for {what}, and there are none; {remedy}, and let the loss's entry declare needs={{{need!r}}}"
        )
    return value


@dataclass(frozen=True)
class Judgement:
    """What a discriminator returns."""

    logits: Tensor
    """[B, ...]; positive means "real"."""
    extras: Mapping[str, Tensor | tuple[Tensor, ...]] = field(default_factory=dict)
    """Intermediate results that losses may ask for."""

    def float(self) -> Judgement:
        """Return the judgement with every tensor in float32."""
        return Judgement(self.logits.float(), {k: _each(v, lambda t: t.float()) for k, v in self.extras.items()})


@dataclass(frozen=True)
class LossInput:
    """What a loss sees, all in float32.

    A loss is a callable ``loss(seen: LossInput) -> Tensor`` that returns one scalar, unweighted.
    """

    batch: Batch
    """What the generator was given, and what is known of it."""
    output: Output
    """What the generator made of it."""
    fake: Judgement | None = None
    """The discriminator's judgement of ``output.image``, where there is one."""
    real: Judgement | None = None
    """Its judgement of ``batch.clean``: in the discriminator's own losses (a recipe's ``critic_losses``) only."""

    @property
    def clean(self) -> Tensor:
        """The clean images [B, 3, H, W]. Raises `TrainingError` without paired data."""
        return _present(self.batch.clean, "clean images", "clean", "train on a paired data set")

    @property
    def mask(self) -> Tensor:
        """The masks [B, 1, H, W]. Raises `TrainingError` when nobody gives them."""
        return _present(self.batch.mask, "masks", "mask", "use data or a prior that gives them ('mask-from-pair')")

    @property
    def references(self) -> Tensor:
        """The references [B, K, 3, H, W]. Raises `TrainingError` when no prior gives them."""
        return _present(self.batch.references, "references", "references", "use a prior that gives them")

    @property
    def judged(self) -> Judgement:
        """The judgement of the output. Raises `TrainingError` without a discriminator."""
        return _present(self.fake, "a discriminator's judgement", "logits", "name a discriminator in the recipe")

    @property
    def judged_clean(self) -> Judgement:
        """The judgement of the clean images. Raises `TrainingError` outside of a discriminator's own losses."""
        return _present(self.real, "the judgement of clean images", "logits", "put the loss under 'critic_losses'")


class Generator(Protocol):
    """A ``torch.nn.Module`` that restores: degraded [B, 3, H, W] in [0, 1] -> `Output` or image."""

    def __call__(self, degraded: Tensor) -> Output | Tensor:
        """Restore the degraded images."""


class Discriminator(Protocol):
    """A ``torch.nn.Module`` that tells clean from restored; it may use the degraded image."""

    def __call__(self, candidate: Tensor, degraded: Tensor) -> Judgement:
        """Judge candidates, clean or restored ones, beside what they were degraded to."""


class Prior(Protocol):
    """A ``torch.nn.Module`` that adds knowledge (a mask, references) to a batch; has no gradients."""

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with what the prior knows."""


@runtime_checkable
class WholeImagePrior(Protocol):
    """A prior that looks at a whole image once, with ``per_image = True``, and not at each batch of crops."""

    per_image: bool


@runtime_checkable
class ReferencePrior(Protocol):
    """A `WholeImagePrior` that works in 8 bits itself, in a quarter of the memory."""

    def references(self, image_HWC: Pixels, key: int = 0) -> Pixels:
        """Return the references [K, H, W, C] of an image; `key` decides all that is random."""
        ...


@runtime_checkable
class AppliedPrior(Protocol):
    """A prior that can be applied to image files (``restorekit priors apply``)."""

    def apply_to(self, image_HWC: Pixels, mask: Pixels | None = None, samples: int = 0) -> Mapping[str, Pixels]:
        """Return what is found by the ending of its file name; the empty one is the main result.

        `mask`: [H, W], in place of a found one. `samples`: how many random results to give besides.
        """
        ...


@runtime_checkable
class DrawnPrior(Protocol):
    """A prior that can draw what it sees in an image, and why (``restorekit priors show``)."""

    def draw(self, image_HWC: Pixels, path: str | Path | BinaryIO) -> None:
        """Write a PNG file."""
        ...


class Loss(Protocol):
    """A ``torch.nn.Module`` that returns one unweighted scalar in float32."""

    def __call__(self, seen: LossInput) -> Tensor:
        """Return the loss."""


class Metric(Protocol):
    """Scores images one by one: restored, clean [B, 3, H, W] in [0, 1] -> [B] float64."""

    higher_is_better: bool
    unit: str

    def __call__(self, restored: Tensor, clean: Tensor) -> Tensor:
        """Return one score for each image."""


class Synthesizer(Protocol):
    """Degrades clean images, so that a model can learn from photographs without partners.

    clean [B, 3, H, W] in [0, 1], keys [B] int64 -> degraded, like clean, and the mask [B, 1, H, W] in {0, 1} of what is
    degraded, or None. `preset` is one of its attribute ``presets`` (a tuple of names), or None for its default. All
    that is random must be derived from a sample's key (`restorekit.keyed.uniform`), never from the global random
    state. Images may be float32 or float64, and on any device; the result is like them.

    For training it may have a method ``scenes(clean, keys) -> Tensor``: the clean images, like `clean`, that it
    degrades in their place, such as darker or softer ones.
    """

    def __call__(self, clean: Tensor, keys: Tensor, preset: str | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the degraded images, and the mask where one is known."""
