"""Inputs for the checks of losses: made up, or from installed networks where a loss wants extras."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from restorekit.interface import Batch, Judgement, LossInput, Output, SizeRule
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import Component, registry
from restorekit.testing.check import PLACE, CheckFailedError, CheckSkippedError, Subject
from restorekit.testing.samples import batch, image, seeded, tensors

_FROM_DATA = frozenset({"clean", "mask", "references", "logits"})


@dataclass(frozen=True)
class Case:
    """A loss input, and the tensors of the networks that its gradients must reach."""

    phase: str
    seen: LossInput
    learned: list[Tensor]


def needs_networks(subject: Subject) -> bool:
    """Say whether the loss needs extras that only networks can make."""
    return bool(set(subject.component.entry.needs) - _FROM_DATA)


def _giver(kind: Kind, wanted: set[str], subject: Subject) -> Component | None:
    """Return the component of `kind` that gives most of what is wanted; of equals, one of the same plugin."""

    def rank(component: Component) -> tuple[int, bool]:
        same = component.plugin.name == subject.component.plugin.name
        return len(wanted & set(component.entry.gives)), same

    found = max(registry().components(kind), key=rank, default=None)
    return found if found is not None and wanted & set(found.entry.gives) else None


def _generate(data: Batch, giver: Component | None) -> Output:
    if giver is None:
        count, _, height, width = data.degraded.shape
        restored = image(count, height, width, seed=7)
        return Output(restored.requires_grad_())
    with seeded():
        network = giver.load()().to(data.degraded.device)
    return Output.of(network(data.degraded)).float()


class _Patches(nn.Module):
    """The simplest discriminator: a logit for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(1):
            self.layer = nn.Conv2d(6, 1, 1)

    def forward(self, candidate: Tensor, degraded: Tensor) -> Judgement:
        return Judgement(self.layer(torch.cat((candidate, degraded), 1)))


def _critic(giver: Component | None) -> nn.Module:
    if giver is None:
        return _Patches().to(PLACE.get())
    with seeded():
        critic: nn.Module = giver.load()().to(PLACE.get())
    return critic


def _judge(critic: nn.Module, candidate: Tensor, data: Batch) -> Judgement:
    judgement: Judgement = critic(candidate, data.degraded)
    return judgement.float()


def loss_cases(subject: Subject, height: int = 0, width: int = 0, count: int = 2) -> list[Case]:
    """Return what the loss would see in the generator's and, if it needs a judgement, the critic's phase.

    Without a size, one that the networks in it accept. Raises `CheckSkippedError` when no installed
    network gives an extra that the loss needs.
    """
    needs = set(subject.component.entry.needs)
    extras = needs - _FROM_DATA
    generator = _giver("generator", extras, subject)
    discriminator = _giver("discriminator", extras, subject)
    given = {name for c in (generator, discriminator) if c for name in c.entry.gives}
    if extras - given:
        _refuse_misspelt(extras - given)
        raise CheckSkippedError(
            f"no installed network gives {', '.join(sorted(extras - given))}, which this loss needs"
        )
    side = SizeRule.of(generator.load()()).padded(64) if generator else 64
    data = _data(needs, count, height or side, width or side)
    output = _generate(data, generator)
    if "logits" not in needs and discriminator is None:
        return [Case("generator", _only_declared(LossInput(data, output), needs), _parts(output))]
    critic = _critic(discriminator)
    fake = _judge(critic, output.image, data)
    seen = _only_declared(LossInput(data, output, fake), needs)
    first = Case("generator", seen, [*_parts(output), *_parts(fake)])
    fixed = Output(output.image.detach(), {k: _detach(v) for k, v in output.extras.items()})
    assert data.clean is not None
    fake, real = _judge(critic, fixed.image, data), _judge(critic, data.clean, data)
    seen = _only_declared(LossInput(data, fixed, fake, real), needs)
    second = Case("discriminator", seen, [*_parts(fake), *_parts(real)])
    return [first, second]


def _refuse_misspelt(names: set[str]) -> None:
    """Raise `CheckFailedError` for a need that is nearly one that data or some network gives."""
    kinds: tuple[Kind, ...] = ("generator", "discriminator")
    given = {extra for kind in kinds for found in registry().components(kind) for extra in found.entry.gives}
    for name in sorted(names):
        near = get_close_matches(name, sorted(_FROM_DATA | given), n=1, cutoff=0.75)
        if near:
            raise CheckFailedError(f"its entry declares needs={name!r}, which nothing gives. Did you mean {near[0]!r}?")


def _data(needs: set[str], count: int, height: int, width: int) -> Batch:
    data = batch(count, height, width)
    if "references" not in needs:
        return data
    assert data.clean is not None
    noise = 0.05 * image(5 * count, height, width, seed=5).view(count, 5, 3, height, width)
    return data.replace(references=(data.clean.unsqueeze(1) + noise).clamp(0, 1))


def _only_declared(seen: LossInput, needs: set[str]) -> LossInput:
    """Return what the loss sees without the planes and judgements that its entry does not name."""
    data = seen.batch
    shown = replace(
        data,
        clean=data.clean if "clean" in needs else None,
        mask=data.mask if "mask" in needs else None,
        references=data.references if "references" in needs else None,
    )
    return replace(seen, batch=shown)


def _detach(value: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return tuple(part.detach() for part in value) if isinstance(value, tuple) else value.detach()


def _parts(result: Output | Judgement) -> list[Tensor]:
    first = result.image if isinstance(result, Output) else result.logits
    return [t for t in [first, *tensors(dict(result.extras))] if t.requires_grad]
