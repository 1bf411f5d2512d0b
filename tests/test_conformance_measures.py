"""The conformance checks of losses, metrics and priors: each fault is found by the check made for it."""

from __future__ import annotations

import pytest
import torch
from fakes import component, failures
from torch import nn
from torch.nn import functional

from restorekit.errors import PluginError, RestorekitError, WeightsError
from restorekit.testing import CheckFailedError, CheckSkippedError, checks_for
from restorekit.testing.select import expected_failures

# losses


class L1(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs().mean()


class Root(L1):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).square().sum((1, 2, 3)).sqrt().mean()


class PerSample(L1):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs().mean((1, 2, 3))


class Noisy(L1):
    def forward(self, seen):
        return super().forward(seen) * (1 + torch.rand(()))


class WrongGradient(L1):  # d * d with one factor cut from the graph: half of the true gradient
    def forward(self, seen):
        difference = seen.output.image - seen.batch.clean
        return (difference.detach() * difference).mean()


class Constant(L1):
    def forward(self, seen):
        return super().forward(seen).detach()


class Picky(L1):
    def forward(self, seen):
        if seen.output.image.shape[-1] < 11:
            raise ValueError("too small")
        return super().forward(seen)


class PickyAndSaysSo(L1):
    def forward(self, seen):
        if seen.output.image.shape[-1] < 11:
            raise RestorekitError("images are too small; give at least 11 pixels")
        return super().forward(seen)


class GanLoss(nn.Module):
    def forward(self, seen):
        return functional.softplus(-seen.fake.logits).mean()


class CriticLoss(nn.Module):
    def forward(self, seen):
        return functional.softplus(seen.fake.logits).mean() + functional.softplus(-seen.real.logits).mean()


class AttentionLoss(nn.Module):
    def forward(self, seen):
        return sum((a - seen.batch.mask).square().mean() for a in seen.output.extras["attention"])


class NoSuchExtraLoss(nn.Module):
    def forward(self, seen):
        return seen.output.extras["depth"].mean()


class WeightsAreMissing(L1):
    def __init__(self) -> None:
        raise WeightsError("no network")


@pytest.mark.parametrize(
    ("target", "needs"),
    [(L1, {"clean"}), (PickyAndSaysSo, {"clean"}), (GanLoss, {"logits"}), (CriticLoss, {"clean", "logits"})],
)
def test_sound_losses_pass(target, needs):
    assert failures(component("loss", target, needs=needs)) == {}


@pytest.mark.parametrize(
    ("target", "check", "message"),
    [
        (Root, "finite-at-perfection", "gradient is not finite when the output equals the clean image"),
        (PerSample, "is-a-finite-scalar", "has the shape (2,); reduce it to one number"),
        (Noisy, "deterministic", "draw noise from batch.key"),
        (WrongGradient, "gradient-is-right", "along its gradient it should change by"),
        (Constant, "gives-gradients", "carries no gradient"),
        (Picky, "any-size", "on 2x3 pixels it raises ValueError: too small"),
        (AttentionLoss, "is-a-finite-scalar", "it fails on what its entry declares as needs (['clean'])"),
    ],
)
def test_faults_of_losses_are_found(target, check, message):
    assert message in failures(component("loss", target, needs={"clean"}))[check]


@pytest.mark.parametrize(
    ("target", "needs", "message"),
    [
        (NoSuchExtraLoss, {"depth"}, "no installed network gives depth"),
        (WeightsAreMissing, {"clean"}, "weights that it needs are not here: no network"),
    ],
)
def test_what_cannot_be_checked_here_is_skipped_with_a_reason(target, needs, message):
    checks = {check.name: check for check in checks_for(component("loss", target, needs=needs))}
    with pytest.raises(CheckSkippedError, match=message):
        checks["is-a-finite-scalar"]()


# metrics


class Difference:
    higher_is_better = False
    unit = "levels"

    def __call__(self, restored, clean):
        return 255 * (restored.double() - clean.double()).abs().mean((1, 2, 3))


class WrongDirection(Difference):
    higher_is_better = True


class NoUnit(Difference):
    unit = None


class Single(Difference):
    def __call__(self, restored, clean):
        return super().__call__(restored, clean).float()


class Pooled(Difference):
    def __call__(self, restored, clean):
        scores = super().__call__(restored, clean)
        return scores.mean().expand(scores.shape)


class Rounding(Difference):
    def __call__(self, restored, clean):
        return super().__call__(restored.mul_(255).round_().div_(255), clean)


def test_sound_metric_passes():
    assert failures(component("metric", Difference, needs={"clean"})) == {}


@pytest.mark.parametrize(
    ("target", "check", "message"),
    [
        (WrongDirection, "says-what-is-better", "higher_is_better is True, and images from perfect"),
        (NoUnit, "says-what-is-better", "unit is None"),
        (Single, "scores-each-image", "compute them in float64"),
        (Pooled, "independent-of-the-batch", "never pool over images"),
        (Rounding, "leaves-its-input-alone", "do not use in-place operations"),
    ],
)
def test_faults_of_metrics_are_found(target, check, message):
    assert message in failures(component("metric", target, needs={"clean"}))[check]


# priors


class Bright(nn.Module):
    def forward(self, batch):
        return batch.replace(mask=(batch.degraded.mean(1, keepdim=True) > 0.6).float())


class Soft(nn.Module):
    def forward(self, batch):
        return batch.replace(mask=batch.degraded.mean(1, keepdim=True))


class Chance(nn.Module):
    def forward(self, batch):
        return batch.replace(mask=(torch.rand_like(batch.degraded[:, :1]) > 0.5).float())


class Relative(nn.Module):
    def forward(self, batch):
        grey = batch.degraded.mean(1, keepdim=True)
        return batch.replace(mask=(grey > grey.mean()).float())


class Overwriting(nn.Module):
    def forward(self, batch):
        batch.degraded.clamp_(0.4, 0.6)
        return Bright()(batch)


class Forgetful(nn.Module):
    def forward(self, batch):
        return batch


def test_sound_prior_passes():
    assert failures(component("prior", Bright, gives={"mask"})) == {}


@pytest.mark.parametrize(
    ("target", "check", "message"),
    [
        (Soft, "gives-what-it-declares", "give float32 with 0 and 1 only"),
        (Chance, "deterministic", "draw from batch.key"),
        (Relative, "independent-of-the-batch", "mask of a sample alone and in a batch differs in"),
        (Overwriting, "leaves-its-input-alone", "a prior only adds"),
        (Forgetful, "gives-what-it-declares", "says that it gives mask, and it did not"),
    ],
)
def test_faults_of_priors_are_found(target, check, message):
    assert message in failures(component("prior", target, gives={"mask"}))[check]


def test_expected_failures_given_by_hand():
    checks = checks_for(component("metric", WrongDirection))
    with pytest.raises(PluginError, match="names 'nothing'"):
        expected_failures("core", checks, {"nothing": "at all"})
    assert issubclass(CheckFailedError, AssertionError)  # pytest shows it as a failure, not as an error
