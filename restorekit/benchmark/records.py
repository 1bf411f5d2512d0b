"""What a benchmark records: one line for each model and image, one for each model's cost."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from restorekit.jsonfile import shaped

State = Literal["input", "done", "no weights", "not exported", "seen", "failed"]


@dataclass(frozen=True)
class ImageRecord:
    """One restored image: its size in pixels, its scores by metric id, the seconds that restoring took.

    `scores` is empty when the data set has no clean images. An infinite PSNR is kept as such. `learned`: False when a
    model that learns each image gave something else, as its budget was too small.
    """

    model: str
    image: str
    height: int
    width: int
    scores: Mapping[str, float]
    seconds: float | None = None
    learned: bool = True


@dataclass(frozen=True)
class Cost:
    """What a model costs at one image size, measured in the same run.

    `parameters` of the generator; `macs`: multiply-accumulates of one image, padded as the generator asks;
    `latency`: median seconds per image at batch 1; `throughput`: images per second at `batch`; `memory`:
    bytes of weights plus the peak growth while one image is restored. None: not measured, or does not apply.
    Of an exported model, `beside`: seconds that PyTorch took for the same image, in turns with it, by precision; and
    `agreement`: the PSNR of the result against PyTorch's in float32, in dB.
    """

    height: int
    width: int
    parameters: int | None
    macs: int | None
    latency: float | None
    throughput: float | None
    batch: int
    memory: int | None
    device: str
    precision: str
    notes: tuple[str, ...] = ()
    beside: Mapping[str, float] = field(default_factory=dict)
    agreement: float | None = None


@dataclass(frozen=True)
class ModelFacts:
    """Who made a row: the model's id, what it is for, where its weights come from."""

    model: str
    task: str = ""
    weights: str = ""
    weights_sha256: str = ""
    network_width: str = ""
    recipe: str = ""
    adaptive: bool = False
    budget: str = ""


@dataclass
class Row:
    """One row of the table before statistics. `note`: why there are no scores, or fewer than images.

    `unlearned`: images for which the budget was too small to learn them. `left_out`: images that the model was trained
    on, which it is not judged by; the state is ``seen`` when none is left.
    """

    facts: ModelFacts
    state: State
    note: str = ""
    images: list[ImageRecord] = field(default_factory=list)
    cost: Cost | None = None
    unlearned: int = 0
    left_out: int = 0


Record = TypeVar("Record", ImageRecord, Cost)


def key_of(identity: Mapping[str, object]) -> str:
    """Return a short hash of all that a result depends on; results of another key are never reused."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(value: object) -> Any:
    """Return `value` as strict JSON holds it: NaN becomes null, infinities the strings "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def read_image(line: Mapping[str, object]) -> ImageRecord | None:
    """Read an `ImageRecord` back from a line's values; None when the line holds none, and the image is to be redone."""
    return _read(line, ImageRecord) if line.get("type") == "image" else None


def read_cost(line: Mapping[str, object]) -> Cost | None:
    """Read a `Cost` back from a line's values; None when the line holds none, and it is to be measured again."""
    return _read(line, Cost) if line.get("type") == "cost" else None


def _read(line: Mapping[str, object], kind: type[Record]) -> Record | None:
    names = kind.__dataclass_fields__
    try:
        return shaped({name: value for name, value in line.items() if name in names}, kind)
    except ValueError:
        return None


def as_values(record: ImageRecord | Cost | ModelFacts) -> dict[str, object]:
    """Return a record as strict JSON values."""
    values: dict[str, object] = plain(asdict(record))
    return values
