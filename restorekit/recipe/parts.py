"""The parts of a recipe: small, frozen, validated tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

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


def _refuse_unwritable(value: Any, where: str, depth: int = 0) -> None:
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
    def settings(self) -> dict[str, Any]:
        """The component's own settings."""
        return dict(self.model_extra or {})


class Named(Open):
    """A component by name, with its settings beside the name. A bare string is its name."""

    name: str

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Term(Open):
    """One loss term: its weight, and the settings of the loss beside it."""

    weight: Annotated[float, Field(ge=-1e12, le=1e12)] = 1.0


class Optim(Part):
    """An optimizer: ``adam``, ``adamw``, ``sgd`` (with Nesterov momentum 0.9) or any name that timm knows.

    `lr`: the learning rate, before the schedule's factor. `betas`: for every optimizer that has two. `weight_decay`:
    as the optimizer has it.
    """

    name: str = "adam"
    lr: Factor = 2e-4
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class Optims(Part):
    """The optimizer of each network: `generator` and `discriminator`."""

    generator: Optim = Optim()
    discriminator: Optim = Optim()


class Schedule(Part):
    """The learning rate's factor as a pure function of the step.

    ``constant``; ``step``: times `gamma` at each of `milestones`; ``linear`` and ``cosine``: from 1 at step
    `start` to `floor` at the last step. `warmup` steps rise linearly from 0 in any of them. A bare string
    is its name.
    """

    name: Literal["constant", "step", "linear", "cosine"] = "constant"
    milestones: tuple[PositiveInt, ...] = ()
    gamma: Factor = 0.1
    start: NonNegativeInt = 0
    floor: Fraction = 0.0
    warmup: NonNegativeInt = 0

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Phase(Part):
    """How often a network is trained: `repeats` updates, at every `every`-th step from `start` on."""

    repeats: PositiveInt = 1
    every: PositiveInt = 1
    start: NonNegativeInt = 0


class OwnPhase(Phase):
    """A phase beyond the two: it trains the network called `trains`, by its own `losses` and `optim`.

    In the phase of a generator, `output` is that network's own; in that of a discriminator, the judgements are its own.
    `judge` names the discriminator that judges in the phase of a generator, where the recipe has it. `repeats`, `every`
    and `start` are those of any phase.
    """

    trains: str
    losses: dict[str, Term] = Field(min_length=1)
    optim: Optim = Optim()
    judge: str = "discriminator"


class Phases(Part):
    """The phases of a step: those of generator and discriminator, then those by other names, in order.

    With `share_forward` phases use one forward pass of the generator.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, OwnPhase] = Field(init=False)

    generator: Phase = Phase()
    discriminator: Phase = Phase()
    share_forward: bool = True

    @property
    def own(self) -> dict[str, OwnPhase]:
        """The phases beyond those of generator and discriminator."""
        return dict(self.__pydantic_extra__ or {})


class Network(Named):
    """A network beyond generator and discriminator: the component `name` of `kind`, with its settings."""

    kind: Literal["generator", "discriminator"] = "generator"


class Augment(Part):
    """Paired augmentation, the same for the degraded and the clean image.

    `flip`: horizontal mirror; `vertical_flip`; `rotate`: by multiples of 90 degrees; `brightness`: a value drawn
    from [-b, b] is added to images in [0, 1], and the sum clipped; `drops`: probability of adding synthetic raindrops
    to the degraded image.
    """

    flip: bool = True
    vertical_flip: bool = False
    rotate: bool = False
    brightness: Fraction = 0.0
    drops: Fraction = 0.0


class Synthesis(Open):
    """Degrade clean photographs while training, by the synthesizer called `task`, with one of its presets (`preset`).

    The core's synthesizers are called as their tasks are. `defocus`: share of the crops that are first put out of
    focus, in whole or to one side, as clean images too. Further fields are the synthesizer's settings.
    """

    task: str
    preset: str | None = None
    defocus: Fraction = 0.0


class Data(Part):
    """Where crops come from, and what is done to them (`augment`, `synthesis`).

    `crop`: side in pixels (0: whole images). `batch`: samples a step, over all processes. `resize`: scale
    the shorter side to so many pixels first (0: not). `cache`: keep decoded images in memory up to so many
    MiB. `workers`: threads that decode.
    """

    crop: Annotated[int, Field(ge=0, le=65_536)] = 128
    batch: Annotated[int, Field(ge=1, le=65_536)] = 8
    resize: Annotated[int, Field(ge=0, le=65_536)] = 0
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    cache: NonNegativeInt = 2048
    augment: Augment = Augment()
    synthesis: Synthesis | None = None


class Adapt(Part):
    """A model that trains on the one image it restores, for at most so many steps and seconds (0: no limit).

    With `patience` > 0 it stops when a held-out tenth of the references has not come closer for so many steps, and
    keeps the weights that came closest. `pixels`: larger images are learned in crops of so many pixels (0: never).
    `output` is what is returned: the network's ``prediction``, or the ``references``' mean, without any training.
    `fallback`: when a budget ends the training before so many steps, or with a network that is further from the
    references' mean than the input is, that mean is returned (0: the network in any case).
    """

    steps: PositiveInt = 1000
    seconds: Annotated[float, Field(ge=0)] = 0.0
    patience: NonNegativeInt = 0
    pixels: NonNegativeInt = 0
    output: Literal["prediction", "references"] = "prediction"
    fallback: NonNegativeInt = 0
