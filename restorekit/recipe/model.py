"""`Recipe`: everything that defines a model and its training."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from restorekit.errors import RecipeError, closest
from restorekit.recipe.parts import (
    Adapt,
    Beta,
    Data,
    Named,
    Network,
    Optims,
    Part,
    Phases,
    PositiveInt,
    Precision,
    Schedule,
    Seed,
    Term,
)

TASK_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Recipe(Part):
    """A model as data: components, losses, optimizers, data and phases. Frozen and validated.

    Raises `RecipeError` from `Recipe.read`; direct construction raises pydantic's ``ValidationError``.
    """

    name: str
    """What the model is called."""
    task: Annotated[str, Field(pattern=TASK_NAME)]
    """What it is for: the name of a task that some plugin declares."""
    generator: Named
    """What restores: a component with its settings."""
    discriminator: Named | None = None
    """What tells restored from clean; without it the model trains in one phase."""
    prior: Named | None = None
    """What adds knowledge to a batch, such as masks or references."""
    losses: dict[str, Term] = Field(min_length=1)
    """The generator's losses by name, at least one."""
    critic_losses: dict[str, Term] = Field(default_factory=dict)
    """The discriminator's losses by name; they come and go with `discriminator`."""
    networks: dict[str, Network] = Field(default_factory=dict)
    """Further networks by names of their own, which further `phases` train."""
    procedure: Named | None = None
    """A plugin's way of training, where phases of losses are not enough."""
    optim: Optims = Optims()
    """How weights are moved."""
    schedule: Schedule = Schedule()
    """How the learning rate goes on."""
    phases: Phases = Phases()
    """When which network is trained."""
    data: Data = Data()
    """What the model learns from."""
    steps: PositiveInt = 10_000
    """Length of the training."""
    accumulate: PositiveInt = 1
    """Split each batch into so many micro-batches."""
    precision: Precision = "auto"
    """What the networks compute in; ``auto``: the fastest that the device has."""
    clip_norm: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    """Bound of the norm of each phase's gradient (0: none)."""
    ema: Beta = 0.0
    """Decay of the averaged weights that are evaluated and saved (0: off)."""
    sync_batch_norm: bool = False
    """Let batch norms see the batch over all processes, not each its own part."""
    frozen: tuple[str, ...] = ()
    """Modules of the generator that stay as they are, such as those that ``--init`` brought."""
    seed: Seed = 0
    """Of initial weights, data order and augmentation."""
    eval_every: PositiveInt = 1000
    """Steps from one validation to the next."""
    save_every: PositiveInt = 1000
    """Steps from one checkpoint to the next."""
    adapt: Adapt | None = None
    """Given, the model learns each image that it restores."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.discriminator is None) != (not self.critic_losses):
            raise ValueError(
                "discriminator and critic_losses belong together: give both, or neither"
                f" (discriminator: {self.discriminator and self.discriminator.name},"
                f" critic_losses: {sorted(self.critic_losses) or 'none'})"
            )
        self._check_phases()
        if self.data.augment.rotate and not self.data.crop:
            raise ValueError("data.augment.rotate turns square crops only, and data.crop=0 takes whole images; set one")
        if self.data.batch % self.accumulate:
            raise ValueError(f"data.batch ({self.data.batch}) must be a multiple of accumulate ({self.accumulate})")
        return self

    def _check_phases(self) -> None:
        """Refuse phases that train or ask networks that the recipe does not have, and networks that nobody trains."""
        core = ["generator", *(["discriminator"] if self.discriminator else [])]
        taken = {"generator", "discriminator"} & set(self.networks)
        if taken:
            raise ValueError(f"networks.{min(taken)} is a name of its own; call a further network otherwise")
        known = [*core, *self.networks]
        judges = [*core[1:], *(n for n, network in self.networks.items() if network.kind == "discriminator")]
        for name, phase in self.phases.own.items():
            if phase.trains not in known:
                raise ValueError(f"phases.{name} trains {phase.trains!r}; the recipe's networks are {', '.join(known)}")
            if phase.judge not in judges and phase.judge != "discriminator":
                raise ValueError(
                    f"phases.{name}: judge is {phase.judge!r}; its discriminators are {', '.join(judges) or 'none'}"
                )
        trained = {phase.trains for phase in self.phases.own.values()}
        idle = [name for name in self.networks if name not in trained]
        if idle and not self.procedure:
            raise ValueError(f"networks.{idle[0]} is trained by no phase; add one, such as phases.{idle[0]}")

    @classmethod
    def read(cls, values: Mapping[str, object]) -> Self:
        """Validate nested plain values, such as those of a TOML file.

        Raises `RecipeError` naming each bad field, what was given and, for an unknown field, the closest.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise RecipeError(_explain(cls, values, error)) from error

    def plain(self) -> dict[str, Any]:
        """Return nested plain values: every field, None left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def digest(self) -> str:
        """Return a short hash of all fields that are not at their defaults: the recipe's identity in cards and tables.

        A field that comes later changes no recipe that does not use it.
        """
        values = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def difference(self, other: Recipe) -> list[str]:
        """Return one line ``field: mine -> theirs`` for each field that differs."""
        mine, theirs = flatten(self.plain()), flatten(other.plain())
        return [
            f"{key}: {mine.get(key, 'absent')!r} -> {theirs.get(key, 'absent')!r}"
            for key in sorted(mine | theirs)
            if mine.get(key) != theirs.get(key)
        ]


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested tables as one with dotted keys."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def merged(values: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return nested tables with those of `changes` laid over them."""
    result = dict(values)
    for key, value in changes.items():
        known = result.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[key] = merged(known, value) if both else value  # type: ignore[arg-type]
    return result


def fields_at(model: type[BaseModel], path: Sequence[object]) -> list[str]:
    """Return the field names of the table that `path` leads to, or nothing for open tables."""
    current: type[BaseModel] = model
    for part in path:
        field = current.model_fields.get(str(part))
        if field is None:
            return []
        candidates = (field.annotation, *get_args(field.annotation))
        tables = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not tables:
            return []
        current = tables[0]
    return list(current.model_fields)


# Where pydantic speaks of Python's types and not of TOML's.
_REMEDIES = {
    "tuple_type": 'Input should be a list, such as ["a", "b"] or [1, 2]',
    "string_pattern_mismatch": "Input should be a name such as rain-streak; `restorekit tasks` lists the tasks",
}


def _short(value: object) -> str:
    """Return a value in at most some hundred characters; Python writes no number of thousands of digits at all."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"a number of about {round(value.bit_length() * 0.30103):,} digits"
    text = reprlib.repr(value) if isinstance(value, list | tuple | dict) else repr(value)
    return text if len(text) <= 120 else f"{text[:100]}…"


def _explain(model: type[BaseModel], values: Mapping[str, object], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        path = problem["loc"]
        where = ".".join(str(part) for part in path) or "recipe"
        if problem["type"] == "extra_forbidden":
            allowed = fields_at(model, path[:-1])
            lines.append(
                f"there is no field {where!r}.{closest(str(path[-1]), allowed)} Allowed here: {', '.join(allowed)}."
            )
        elif problem["type"] == "missing":
            lines.append(f"field {where!r} is missing; give it a value.")
        else:
            given = "" if isinstance(problem["input"], Mapping) else f" (given: {_short(problem['input'])})"
            message = _REMEDIES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where if where == 'recipe' else f'field {where!r}'}: {message}{given}.")
    return f"recipe {values.get('name', '')!r} is not valid: " + " ".join(lines)
