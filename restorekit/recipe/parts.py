"""The parts of a recipe: small, frozen, validated tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["auto", "bf16", "fp16", "fp32"]
MOST = 10**12  # steps, pixels and the like: more than any run has, and far from where arithmetic overflows
PositiveInt = Annotated[int, Field(ge=1, le=MOST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what torch's generators take
Fraction = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]  # at 1 an average would never take in anything
Factor = Annotated[float, Field(gt=0, le=1e6)]
DEEPEST = 6  # lists and tables within each other, in a component's settings


class Part(BaseModel):
    """A frozen table that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _refuse_unwritable(value: object, where: str, depth: int = 0) -> None:
    """Refuse what TOML cannot hold: a recipe that changes when it is written is another model."""
    if depth > DEEPEST and isinstance(value, Mapping | list | tuple):
        raise ValueError(
            f"setting {where.partition('[')[0]!r} is nested more than {DEEPEST} times; give a flatter value"
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_unwritable(inner, f"{where}.{key}" if where else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _refuse_unwritable(inner, f"{where}[{index}]", depth + 1)
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError(f"setting {where!r} has more than 63 bits; give a smaller number")
    elif not isinstance(value, str | bool | int | float):
        remedy = "leave it out to use its default" if value is None else "use text, numbers, lists and tables"
        raise ValueError(f"setting {where!r} is {value!r}, which a recipe cannot hold; {remedy}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"setting {where!r} is {value!r}; give a finite number")


class Open(Part):
    """A table that takes the settings of some component beside its own fields."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    @model_validator(mode="after")
    def _plain_settings(self) -> Self:
        _refuse_unwritable(self.model_extra or {}, "")
        return self

    @property
    def settings(self) -> dict[str, object]:
        """The component's own settings."""
        return dict(self.model_extra or {})


class Named(Open):
    """A component by name, with its settings beside the name. A bare string is its name."""

    name: str
    """The component's name, or its id ``plugin/name``."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class Term(Open):
    """One loss term: its weight, and the settings of the loss beside it."""

    weight: Annotated[float, Field(ge=-1e12, le=1e12)] = 1.0
    """What the loss is multiplied by; at 0 it is neither computed nor needs anything."""


class Optim(Part):
    """An optimizer and its settings."""

    name: str = "adam"
    """``adam``, ``adamw``, ``sgd`` (with Nesterov momentum 0.9) or any name that timm knows."""
    lr: Factor = 2e-4
    """The learning rate, before the schedule's factor."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """For every optimizer that has two."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """As the optimizer has it."""


class Optims(Part):
    """The optimizer of each network."""

    generator: Optim = Optim()
    """That of the generator."""
    discriminator: Optim = Optim()
    """That of the discriminator, where there is one."""


class Schedule(Part):
    """The learning rate's factor as a pure function of the step. A bare string is its name."""

    name: Literal["constant", "step", "linear", "cosine"] = "constant"
    """``step`` falls at `milestones`; ``linear`` and ``cosine`` fall from 1 at `start` to `floor` at the last step."""
    milestones: tuple[PositiveInt, ...] = ()
    """The steps at which ``step`` falls."""
    gamma: Factor = 0.1
    """What ``step`` multiplies by at each of `milestones`."""
    start: NonNegativeInt = 0
    """The step up to which ``linear`` and ``cosine`` stay at 1."""
    floor: Fraction = 0.0
    """The factor at the last step of ``linear`` and ``cosine``."""
    warmup: NonNegativeInt = 0
    """For so many steps any of them rises linearly from 0."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class Phase(Part):
    """How often a network is trained."""

    repeats: PositiveInt = 1
    """Updates at a step, all on its one batch."""
    every: PositiveInt = 1
    """Only at every so many-th step."""
    start: NonNegativeInt = 0
    """Not before this step."""


class OwnPhase(Phase):
    """A phase beyond the two, with losses and an optimizer of its own.

    In the phase of a generator, what losses see as the output is that network's own; in that of a discriminator, the
    judgements are its own.
    """

    trains: str
    """The name of the network that it trains."""
    losses: dict[str, Term] = Field(min_length=1)
    """Its losses by name, at least one."""
    optim: Optim = Optim()
    """Its optimizer."""
    judge: str = "discriminator"
    """The discriminator that judges in the phase of a generator, where the recipe has it."""


class Phases(Part):
    """The phases of a step: those of generator and discriminator, then those by other names, in order."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, OwnPhase] = Field(init=False)

    generator: Phase = Phase()
    """When the generator is trained."""
    discriminator: Phase = Phase()
    """When the discriminator is trained, where there is one."""
    share_forward: bool = True
    """Whether the phases of a step use one forward pass of the generator."""

    @property
    def own(self) -> dict[str, OwnPhase]:
        """The phases beyond those of generator and discriminator."""
        return dict(self.__pydantic_extra__ or {})


class Network(Named):
    """A network beyond generator and discriminator, with its settings."""

    kind: Literal["generator", "discriminator"] = "generator"
    """What kind of component `name` is."""


class Augment(Part):
    """Paired augmentation, the same for the degraded and the clean image."""

    flip: bool = True
    """Mirror half of the samples, left to right."""
    vertical_flip: bool = False
    """Mirror half of the samples, top to bottom."""
    rotate: bool = False
    """Turn by a multiple of 90 degrees."""
    brightness: Fraction = 0.0
    """A value drawn from [-brightness, brightness] is added to images in [0, 1], and the sum clipped."""
    drops: Fraction = 0.0
    """Probability of adding synthetic raindrops to the degraded image."""


class Synthesis(Open):
    """Degrade clean photographs while training. Further fields are the synthesizer's settings."""

    task: str
    """The synthesizer; the core's are called as their tasks are."""
    preset: str | None = None
    """One of its presets; left out, its default."""
    defocus: Fraction = 0.0
    """Share of the crops that are first put out of focus, in whole or to one side, as clean images too."""


class Data(Part):
    """Where crops come from, and what is done to them."""

    crop: Annotated[int, Field(ge=0, le=65_536)] = 128
    """Side of the crops in pixels (0: whole images)."""
    batch: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Samples a step, over all processes."""
    resize: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Scale the shorter side of the images to so many pixels first (0: not)."""
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads that decode, at least one."""
    cache: NonNegativeInt = 2048
    """Keep decoded images in memory up to so many MiB."""
    augment: Augment = Augment()
    """What is varied at random."""
    synthesis: Synthesis | None = None
    """How clean photographs are degraded, where the data have no pairs."""


class Adapt(Part):
    """How a model learns the one image that it restores."""

    steps: PositiveInt = 1000
    """At most so many steps."""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    """At most so many seconds (0: no limit)."""
    patience: NonNegativeInt = 0
    """Above 0: stop when a held-out tenth of the references has not come closer for so many steps; the best stays."""
    pixels: NonNegativeInt = 0
    """Larger images are learned in crops of so many pixels (0: never)."""
    output: Literal["prediction", "references"] = "prediction"
    """What is returned: the network's prediction, or the references' mean, without any training."""
    fallback: NonNegativeInt = 0
    """The least steps of a network that counts (0: any).

    When a budget ends the training before so many steps, or with a network that is further from the references' mean
    than the input is, that mean is returned.
    """
