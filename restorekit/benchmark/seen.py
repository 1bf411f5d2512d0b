"""Which images of a benchmark a model was trained on: it may not be judged by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from restorekit.benchmark.samples import Samples
from restorekit.data.checked import checked, findings
from restorekit.data.leaks import DISTANCE, close_pairs, perceptual_hash
from restorekit.errors import DataError
from restorekit.jsonfile import read_table
from restorekit.pixels import Pixels


class _Run(BaseModel):
    """What ``run.json`` says of the images that a run was trained on."""

    backgrounds: list[Annotated[int, Field(ge=0, lt=2**64)]] = []


def seen_among(samples: Samples, hashes: Iterable[int]) -> frozenset[str]:
    """Return the names of the images whose degraded or clean side looks like one of the hashed photographs."""
    known = tuple(hashes)
    if not known:
        return frozenset()

    def looks_known(pixels: Pixels) -> bool:
        found = perceptual_hash(pixels)
        return any((found ^ other).bit_count() <= DISTANCE for other in known)

    names = zip(samples.names, samples, strict=True)
    return frozenset(
        name for name, s in names if looks_known(s.degraded) or (s.clean is not None and looks_known(s.clean))
    )


def conditions(samples: Samples, weights: Mapping[str, str]) -> str:
    """Return in one line what the set's check found, and how much of it the runs among `weights` were trained on."""
    report = checked(samples.as_set())
    said = [findings(report)]
    for model, given in weights.items():
        try:
            trained = [("", background) for background in _backgrounds(given)]
        except DataError as error:
            said.append(f"what {model} was trained on is not known: {error}")
            continue
        count = len({leak.test for leak in close_pairs(trained, list(report.hashes))})
        if trained:
            said.append(f"{count or 'none'} of them among the images that {model} was trained on ({given})")
    return f"Checked: {'; '.join(said)}."


def _backgrounds(weights: str) -> list[int]:
    """Return the hashes of what was trained on, when `weights` are a run of `restorekit train` or a file of one."""
    path = Path(weights).expanduser()
    run = path if path.is_dir() else path.parent.parent
    return read_table(run / "run.json", _Run).backgrounds
