"""The conformance checks: what is right passes all, and each fault is found by the check that is made for it."""

from __future__ import annotations

import pytest
import torch
from fakes import component, failures
from torch import nn
from torch.nn import functional

from restorekit.interface import Judgement, Output, SizeRule

# generators


class Sound(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, degraded):
        return degraded + self.two(functional.gelu(self.norm(self.one(degraded))))


class ZeroAtFirst(Sound):  # as many residual networks start; gradients are zero behind the last layer
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        nn.init.zeros_(self.two.weight)


class Strided(Sound):
    def forward(self, degraded):
        return degraded + functional.interpolate(super().forward(functional.avg_pool2d(degraded, 8)), scale_factor=8)


class StridedAndSaysSo(Strided):
    size_rule = SizeRule(8, 8)


class Reflecting(Sound):
    def forward(self, degraded):
        return super().forward(functional.pad(degraded, [5] * 4, "reflect")[..., 5:-5, 5:-5])


class WrongRule(Sound):
    size_rule = 8


class Smaller(Sound):
    def forward(self, degraded):
        return super().forward(degraded)[..., 1:, :]


class AlwaysDropout(Sound):
    def forward(self, degraded):
        return super().forward(functional.dropout(degraded, 0.5))


class BatchStatistics(Sound):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.norm = nn.BatchNorm2d(width, track_running_stats=False)


class UnusedParameter(Sound):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.spare = nn.Linear(2, 2)


class Detached(Sound):
    def forward(self, degraded):
        return degraded + self.two(self.norm(self.one(degraded)).detach())


class NaNOnBlack(Sound):
    def forward(self, degraded):
        return super().forward(degraded / degraded.amax((1, 2, 3), keepdim=True))


class Double(Sound):
    def forward(self, degraded):
        return super().forward(degraded).double()


class InPlace(Sound):
    def forward(self, degraded):
        return super().forward(degraded.mul_(2).sub_(1))


class Swallowing(Sound):
    def __init__(self, width: int = 4, **rest: object) -> None:
        super().__init__(width)


class NoDefault(Sound):
    def __init__(self, width: int) -> None:
        super().__init__(width)


class HiddenState(Sound):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.hidden = [torch.rand(3, 1, 1)]

    def forward(self, degraded):
        return super().forward(degraded) + self.hidden[0]


class SharedWeights(Sound):
    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.again = nn.Conv2d(3, width, 3)
        self.again.weight = self.one.weight

    def forward(self, degraded):
        return super().forward(degraded) + self.again.bias.mean()


class Levels(Sound):
    def forward(self, degraded):
        return super().forward(degraded) * 255


class Viewing(Sound):
    def forward(self, degraded):
        return super().forward(degraded.view(len(degraded), -1).view(degraded.shape))


class WithExtras(Sound):
    def forward(self, degraded):
        return Output(super().forward(degraded), {"attention": (degraded[:, :1],)})


class ListExtras(Sound):
    def forward(self, degraded):
        return Output(super().forward(degraded), {"attention": [degraded[:, :1]]})


class NotAModule:
    def __call__(self, degraded):
        return degraded


@pytest.mark.parametrize(
    ("target", "gives"),
    [(Sound, ()), (ZeroAtFirst, ()), (StridedAndSaysSo, ()), (WithExtras, {"attention"})],
)
def test_sound_generators_pass(target, gives):
    assert failures(component("generator", target, gives=gives)) == {}


@pytest.mark.parametrize(
    ("target", "check", "message"),
    [
        (Strided, "keeps-any-size", "size_rule = SizeRule(multiple=8, minimum=8): set that"),
        (Reflecting, "keeps-any-size", "size_rule = SizeRule(multiple=1, minimum=6): set that"),
        (WrongRule, "keeps-any-size", "size_rule is 8; make it a restorekit.interface.SizeRule"),
        (AlwaysDropout, "deterministic", "switch dropout and noise off"),
        (BatchStatistics, "independent-of-the-batch", "use running statistics"),
        (UnusedParameter, "gradients-reach-all-parameters", "no gradient reaches 2 of 8 parameters: spare.weight"),
        (Detached, "gradients-reach-all-parameters", "one.weight"),
        (NaNOnBlack, "finite", "not finite for a black image"),
        (Double, "finite", "keep the input's dtype"),
        (InPlace, "leaves-its-input-alone", "do not use in-place operations"),
        (Swallowing, "builds-by-default", "'**rest' cannot be given by name"),
        (NoDefault, "builds-by-default", "setting 'width' has no default"),
        (HiddenState, "state-round-trips", "must be a parameter or a registered buffer"),
        (SharedWeights, "state-round-trips", "none of them under two names"),
        (Levels, "restores-into-range", "images in [-1, 1] or 0..255 must be converted"),
        (Viewing, "works-in-channels-last", "view"),
        (WithExtras, "gives-what-it-declares", "it gives ['attention'] and its entry declares gives=[]"),
        (ListExtras, "runs", "give a tensor or a tuple of tensors"),
        (NotAModule, "runs", "must be a torch.nn.Module"),
    ],
)
def test_faults_of_generators_are_found(target, check, message):
    assert message in failures(component("generator", target))[check]


def test_no_size_works():
    message = failures(component("generator", Smaller))["runs"]
    assert "(2, 3, 64, 64) came in and" in message


# discriminators


class Patches(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(6, width, 4, 2), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4, 2))

    def forward(self, candidate, degraded):
        return Judgement(self.body(torch.cat((candidate, degraded), 1)))


class Probabilities(Patches):
    def forward(self, candidate, degraded):
        return Judgement(super().forward(candidate, degraded).logits.sigmoid())


class Blind(Patches):
    def forward(self, candidate, degraded):
        return super().forward(candidate.detach(), degraded)


class BareTensor(Patches):
    def forward(self, candidate, degraded):
        return super().forward(candidate, degraded).logits


class OneNumber(Patches):
    def forward(self, candidate, degraded):
        return Judgement(super().forward(candidate, degraded).logits.mean())


def test_sound_discriminator_passes():
    assert failures(component("discriminator", Patches, gives={"logits"})) == {}


@pytest.mark.parametrize(
    ("target", "check", "message"),
    [
        (Probabilities, "judges-logits", "leave the sigmoid out"),
        (Blind, "gradient-reaches-the-candidate", "no gradient reaches the candidate"),
        (BareTensor, "runs", "return Judgement(logits, extras)"),
        (OneNumber, "runs", "keep the batch first"),
    ],
)
def test_faults_of_discriminators_are_found(target, check, message):
    assert message in failures(component("discriminator", target, gives={"logits"}))[check]
