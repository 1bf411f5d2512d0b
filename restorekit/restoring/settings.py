"""How restorers are set up, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from restorekit.errors import RestorekitError

if TYPE_CHECKING:
    import torch

Tile = int | Literal["auto"]
"""Pixels per side of the pieces that a large image is cut into, 0 for never."""


@dataclass(frozen=True)
class RestorerInfo:
    """Where a restorer comes from, for tables and messages."""

    model: str = ""
    """The model's name."""
    task: str = ""
    """What it is for."""
    weights: str = ""
    """What the weights are and where from."""
    width: str = ""
    """The network's width, when that is a setting."""
    recipe_digest: str = ""
    """Identifies the recipe."""
    adaptive: bool = False
    """Whether it looks at each image anew before it restores it."""
    learns: bool = True
    """Whether an adaptive one trains a network on the image."""
    strength: float = 1.0
    """How much of the result is blended with the input, 0 to 1."""
    seen: tuple[int, ...] = ()
    """Perceptual hashes of the real photographs that the weights were trained on."""


class TileSettings(TypedDict, total=False):
    """How any restorer goes over an image: see `BaseRestorer`."""

    tile: Tile
    flips: bool


class RestorerSettings(TileSettings, total=False):
    """The settings of any restorer: see `BaseRestorer`."""

    device: str | torch.device
    precision: str
    info: RestorerInfo | None


@dataclass(frozen=True)
class Budget:
    """How long an adaptive model may learn one image, whichever ends first.

    Raises `RestorekitError` for values that are not positive.
    """

    steps: int | None = None
    """At most so many steps; None leaves the choice to the model."""
    seconds: float | None = None
    """At most so many seconds; None for no limit."""

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise RestorekitError(f"budget: {name} is {value}; give a positive number, or none for no limit")

    def __bool__(self) -> bool:
        """Whether it limits anything."""
        return self.steps is not None or self.seconds is not None
