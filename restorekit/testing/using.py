"""Using a component once, as a run would."""

from __future__ import annotations

import torch

from restorekit.testing.check import PLACE, Subject
from restorekit.testing.probing import sample
from restorekit.testing.samples import batch, image

_SIDE = 64


def use(subject: Subject) -> None:
    """Build the component and call it once, in training mode if it has one."""
    from restorekit.testing.loss_checks import working  # registers checks, in its turn

    component = subject.build()
    if subject.kind == "loss":
        working(subject, component)
    elif subject.kind == "metric":
        component(image(1, _SIDE, _SIDE), image(1, _SIDE, _SIDE, 1))
    elif subject.kind == "synthesizer":
        component(image(1, _SIDE, _SIDE), torch.tensor([3], device=PLACE.get()), None)
    elif subject.kind == "prior":
        component(batch(1, _SIDE, _SIDE))
    else:
        images = sample(subject, component)
        component(*((images,) if subject.kind == "generator" else (images.flip(-1), images)))
