"""Nothing that a plugin brings may reseed the random generators that it shares with the whole run."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable

import numpy as np
import torch

from restorekit.testing.check import Subject, for_kinds, require
from restorekit.testing.using import use

# name -> how it is seeded, and a number that it draws next
_SOURCES: dict[str, tuple[Callable[[int], object], Callable[[], Hashable]]] = {
    "torch": (torch.manual_seed, lambda: float(torch.rand(()))),
    "numpy": (np.random.seed, lambda: float(np.random.random())),
    "random": (random.seed, random.random),
}


@for_kinds("generator", "discriminator", "loss", "prior", "metric", "synthesizer")
@torch.no_grad()
def check_leaves_the_random_state_alone(subject: Subject) -> None:
    """Building and calling it reseeds no global random generator."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        drawn: dict[str, list[Hashable]] = {name: [] for name in _SOURCES}
        for seed in (1, 2):
            for start, _ in _SOURCES.values():
                start(seed)
            use(subject)
            for name, (_, draw) in _SOURCES.items():
                drawn[name].append(draw())
    random.setstate(kept[0])
    np.random.set_state(kept[1])
    reseeded = [name for name, values in drawn.items() if values[0] == values[1]]
    require(
        not reseeded,
        f"it seeds the global random generator of {', '.join(reseeded)}, and every draw behind it repeats itself; use a"
        " torch.Generator of your own, or derive numbers from batch.key",
    )
