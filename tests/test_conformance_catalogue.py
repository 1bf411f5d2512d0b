"""A catalogue of plugins that are wrong on purpose: each is caught by the check that is made for it, and by few others.

What the other files of conformance hold (sizes, batches, gradients, metrics) is not repeated here.
"""

from __future__ import annotations

import json
import os
import random
import sys
import types
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import pytest
import torch
from fakes import component, declared, failures, installed
from torch import nn

from restorekit.data.cards import DatasetCard, Split
from restorekit.data.tasks import TaskCard
from restorekit.engine.step.task import TaskPhase
from restorekit.interface import Batch, Judgement, Output
from restorekit.keyed import uniform
from restorekit.networks import build_generator, build_network
from restorekit.plugin import Entry, hookimpl
from restorekit.plugin.discovery import Plugin, load_plugin, new_manager
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit.testing import Check, CheckSkippedError, checks_for
from restorekit.testing.plugin_checks import PLUGIN_CHECKS
from restorekit.testing.report import _run
from restorekit.weights.files import save_weights
from restorekit.weights.manifest import add_to_manifest


class Net(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, degraded):
        return degraded + self.layer(degraded)


# generators


class Clipping(Net):
    def forward(self, degraded):
        return super().forward(degraded).clamp(0, 1)


class ClippingInTraining(Net):
    def forward(self, degraded):
        restored = super().forward(degraded)
        return restored.clip(0, 1) if self.training else restored


class Seeding(Net):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__()


class SeedingInForward(Net):
    def forward(self, degraded):
        torch.manual_seed(3)
        return super().forward(degraded)


class SeedingNumpy(Net):
    def __init__(self) -> None:
        super().__init__()
        np.random.seed(0)


class SeedingPython(Net):
    def __init__(self) -> None:
        super().__init__()
        random.seed(0)


class ConstantInForward(Net):
    def forward(self, degraded):
        return super().forward(degraded - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) + 0.2


class KernelInForward(Net):
    def forward(self, degraded):
        return super().forward(degraded) + nn.functional.conv2d(degraded, torch.full((3, 3, 1, 1), 0.01))


class PlainAttribute(Net):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(1, 3, 1, 1)

    def forward(self, degraded):
        return super().forward(degraded) - self.mean


class OnCudaWhenBuilt(Net):
    def __init__(self) -> None:
        super().__init__()
        raise AssertionError("Torch not compiled with CUDA enabled")


class OnCudaWhenCalled(Net):
    def forward(self, degraded):
        raise RuntimeError("Found no NVIDIA driver on your system.")


class Required(Net):
    def __init__(self, width) -> None:
        super().__init__()


class Anything(Net):
    def __init__(self, **settings) -> None:
        super().__init__()


class Positional(Net):
    def __init__(self, width: int = 3, /) -> None:
        super().__init__()


class Pair(Net):
    def forward(self, degraded):
        return degraded, degraded


class Smaller(Net):
    def forward(self, degraded):
        return super().forward(degraded)[..., 1:, :]


class NaN(Net):
    def forward(self, degraded):
        return super().forward(degraded) + float("nan")


class Grey(Net):
    def forward(self, degraded):
        return super().forward(degraded).mean(1, keepdim=True)


class Half(Net):
    def forward(self, degraded):
        return super().forward(degraded).half()


class Failing(Net):
    def forward(self, degraded):
        return self.no_such_layer(degraded)


class InPlace(Net):
    def forward(self, degraded):
        return super().forward(degraded.sub_(0.5))


class Dict(Net):
    def forward(self, degraded):
        return {"image": degraded}


class Caching(Net):
    def __init__(self) -> None:
        super().__init__()
        self.mean = None

    def forward(self, degraded):
        if self.mean is None:
            self.mean = float(degraded.mean())
        return super().forward(degraded - self.mean)


class Counting(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, degraded):
        self.calls += 1
        return super().forward(degraded)


class DefaultType(Net):
    def __init__(self) -> None:
        torch.set_default_dtype(torch.float64)
        super().__init__()


class Threads(Net):
    def forward(self, degraded):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().forward(degraded)


class Environment(Net):
    def __init__(self) -> None:
        super().__init__()
        os.environ["CUDA_VISIBLE_DEVICES"] = "3"


class WithoutGradients(Net):
    def forward(self, degraded):
        torch.set_grad_enabled(False)
        return super().forward(degraded)


class WithoutSuper(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Conv2d(3, 3, 3, padding=1)


class DefaultOfNothing(nn.Module):
    def __init__(self, width=None) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, width, 3)


class PlainList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)]

    def forward(self, degraded):
        return degraded + self.layers[1](self.layers[0](degraded))


class PlainDict(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scales = {"red": nn.Parameter(torch.ones(()))}

    def forward(self, degraded):
        return super().forward(degraded) * self.scales["red"]


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyConv2d(3, 3, padding=1)

    def forward(self, degraded):
        return degraded + self.layer(degraded)


class Array(Net):
    def forward(self, degraded):
        return super().forward(degraded).detach().numpy()


class ThroughArrays(Net):
    def forward(self, degraded):
        return torch.from_numpy(super().forward(degraded).detach().numpy())


class Levels(Net):
    def forward(self, degraded):
        return 255 * super().forward(degraded)


class FunctionalDropout(Net):
    def forward(self, degraded):
        return nn.functional.dropout(super().forward(degraded), 0.1)


class LayerInForward(Net):
    def forward(self, degraded):
        return super().forward(degraded) + nn.Conv2d(3, 3, 1).to(degraded)(degraded)


class AlwaysTraining(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, degraded):
        self.norm.train()
        return super().forward(self.norm(degraded))


class FillsFloat32(Net):
    def forward(self, degraded):
        restored = torch.zeros_like(degraded)
        restored[torch.arange(len(degraded), device=degraded.device)] = self.layer(degraded)
        return degraded + restored


class SwappedAxes(Net):
    def forward(self, degraded):
        return super().forward(degraded).transpose(2, 3)


class OneSize(Net):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 3, 64, 64))

    def forward(self, degraded):
        return super().forward(degraded + self.position)


class Printing(Net):
    def forward(self, degraded):
        print("degraded:", degraded.shape)  # noqa: T201
        return super().forward(degraded)


class TiedTwice(Net):
    def __init__(self) -> None:
        super().__init__()
        self.again = self.layer

    def forward(self, degraded):
        return super().forward(self.again(degraded))


class WithoutBatch(Net):
    def forward(self, degraded):
        return super().forward(degraded)[0]


class MoreArguments(Net):
    def forward(self, degraded, mask):
        return super().forward(degraded)


GENERATORS = [
    (WithoutSuper, "builds-by-default", "call super().__init__() first"),
    (DefaultOfNothing, "builds-by-default", "its defaults must give one that works"),
    (PlainList, "registers-its-layers", "its layers is a plain list of layers"),
    (PlainDict, "registers-its-layers", "make it an nn.ModuleDict"),
    (Lazy, "registers-its-layers", "in place of a lazy layer"),
    (Array, "runs", "forward returned a ndarray"),
    (ThroughArrays, "gradients-reach-all-parameters", "without numpy, detach() and torch.no_grad()"),
    (Levels, "restores-into-range", "0..255 must be converted inside the network"),
    (FunctionalDropout, "deterministic", "training=self.training"),
    (LayerInForward, "deterministic", "make layers in __init__"),
    (AlwaysTraining, "remembers-nothing", "norm.running_mean"),
    (FillsFloat32, "works-in-bfloat16", "cast by .to(other.dtype)"),
    (SwappedAxes, "keeps-any-size", "swapped axes"),
    (OneSize, "keeps-any-size", "what holds for one size"),
    (Printing, "prints-nothing", "write it to a logger"),
    (TiedTwice, "state-round-trips", "none of them under two names"),
    (WithoutBatch, "runs", "(3, 64, 64) went out"),
    (MoreArguments, "runs", "missing 1 required positional argument: 'mask'"),
    (Caching, "remembers-nothing", "keep nothing of one image for the next"),
    (Counting, "remembers-nothing", "a call in eval mode changes its calls"),
    (DefaultType, "leaves-shared-settings-alone", "it changes torch's default type"),
    (Threads, "leaves-shared-settings-alone", "it changes torch's number of threads"),
    (Environment, "leaves-shared-settings-alone", "it changes the environment"),
    (WithoutGradients, "leaves-shared-settings-alone", "whether torch keeps gradients"),
    (Clipping, "is-not-clipped-in-training", "Leave clamp out; the restorer clips"),
    (ClippingInTraining, "is-not-clipped-in-training", "where it does nothing is learned"),
    (Seeding, "leaves-the-random-state-alone", "random generator of torch"),
    (SeedingInForward, "leaves-the-random-state-alone", "use a torch.Generator of your own"),
    (SeedingNumpy, "leaves-the-random-state-alone", "random generator of numpy"),
    (SeedingPython, "leaves-the-random-state-alone", "random generator of random"),
    (ConstantInForward, "constants-follow-its-device", "Make it a buffer (register_buffer)"),
    (KernelInForward, "constants-follow-its-device", "mixes tensors of two devices"),
    (PlainAttribute, "constants-follow-its-device", "stays on the CPU"),
    (OnCudaWhenBuilt, "builds-by-default", "it asks for CUDA itself"),
    (OnCudaWhenCalled, "runs", "name no device"),
    (Required, "builds-by-default", "setting 'width' has no default"),
    (Anything, "builds-by-default", "'**settings' cannot be given by name"),
    (Positional, "builds-by-default", "spell each one out as a keyword argument"),
    (Pair, "runs", "return an Output or the image tensor"),
    (Dict, "runs", "forward returned a dict"),
    (Smaller, "runs", "(2, 3, 64, 64) came in and (2, 3, 63, 64) went out"),
    (Grey, "runs", "(2, 1, 64, 64) went out"),
    (NaN, "finite", "not finite for an ordinary image"),
    (Half, "finite", "keep the input's dtype"),
    (Failing, "runs", "no attribute 'no_such_layer'"),
    (InPlace, "leaves-its-input-alone", "do not use in-place operations"),
]


@pytest.mark.parametrize(("target", "check", "message"), GENERATORS)
def test_generators(target, check, message):
    """One cause gives one failure: what depends on it is skipped and names it."""
    found = failures(component("generator", target))
    assert message in found[check]
    assert list(found) == [check]


def test_checks_behind_a_failure_name_it():
    reasons = []
    for check in checks_for(component("generator", Required)):
        try:
            check()
        except CheckSkippedError as skipped:
            reasons.append(str(skipped))
        except Exception:
            continue
    assert len(reasons) > 10
    assert set(reasons) == {"it cannot hold while generator:thing:builds-by-default fails"}


# losses


class L1(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs().mean()


class WrongSign(nn.Module):
    def forward(self, seen):
        return -(seen.output.image - seen.batch.clean).abs().mean()


class Similarity(nn.Module):
    def forward(self, seen):
        return 1 / (1 + (seen.output.image - seen.batch.clean).square().mean())


class SumOverBatch(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs().mean((1, 2, 3)).sum()


class UsesMask(nn.Module):
    def forward(self, seen):
        return ((seen.output.image - seen.batch.clean).abs() * seen.batch.mask).mean()


class AsksForMask(nn.Module):
    def forward(self, seen):
        return ((seen.output.image - seen.clean).abs() * seen.mask).mean()


class UsesReferences(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.references.mean(1)).abs().mean()


class UsesJudgement(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs().mean() - seen.fake.logits.mean()


class ChangesOutput(nn.Module):
    def forward(self, seen):
        seen.output.image.data.clamp_(0.3, 0.6)
        return (seen.output.image - seen.batch.clean).abs().mean()


class ChangesClean(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean.mul_(0.9)).abs().mean()


class NoReduction(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs()


class Number(nn.Module):
    def forward(self, seen):
        return float((seen.output.image - seen.batch.clean).abs().mean())


class Double(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).double().abs().mean()


class Weights(nn.Module):
    def forward(self, seen):
        channels = torch.tensor([0.3, 0.6, 0.1]).view(1, 3, 1, 1)
        return ((seen.output.image - seen.batch.clean).abs() * channels).mean()


class SeedingLoss(L1):
    def forward(self, seen):
        torch.manual_seed(1)
        return super().forward(seen)


class Root(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).square().mean().sqrt()


class LearnedWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log_weight = nn.Parameter(torch.zeros(()))

    def forward(self, seen):
        return L1.forward(self, seen) * (-self.log_weight).exp() + self.log_weight


class TwoImages(nn.Module):
    def forward(self, restored, clean):
        return (restored - clean).abs().mean()


class DetachedImage(nn.Module):
    def forward(self, seen):
        return (seen.output.image.detach() - seen.clean).abs().mean()


class Item(nn.Module):
    def forward(self, seen):
        return torch.tensor((seen.output.image - seen.clean).abs().mean().item())


class WholeLevels(nn.Module):
    def forward(self, seen):
        return ((255 * seen.output.image).round() / 255 - seen.clean).abs().mean()


class NearDegraded(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.degraded).abs().mean()


class MovingMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = None

    def forward(self, seen):
        value = (seen.output.image - seen.clean).abs().mean()
        self.mean = value.detach() if self.mean is None else 0.9 * self.mean + 0.1 * value.detach()
        return value / self.mean


class HiddenLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Conv2d(3, 3, 1).requires_grad_(False)]

    def forward(self, seen):
        return (self.layers[0](seen.output.image) - self.layers[0](seen.clean)).abs().mean()


def the_loss_itself(seen):
    return (seen.output.image - seen.clean).abs().mean()


LOSSES = [
    (TwoImages, "is-a-finite-scalar", "a loss is called with one LossInput"),
    (DetachedImage, "gives-gradients", "without item() and detach()"),
    (Item, "gives-gradients", "without item() and detach()"),
    (WholeLevels, "gives-gradients", "zero everywhere"),
    (NearDegraded, "uses-what-it-declares", "its value is the same for any clean"),
    (MovingMean, "deterministic", "keep nothing of one batch for the next"),
    (HiddenLayer, "registers-its-layers", "make it an nn.ModuleList"),
    (the_loss_itself, "builds-by-default", "make it a class"),
    (LearnedWeight, "has-nothing-to-learn", "no optimizer ever sees its log_weight"),
    (WrongSign, "falls-as-images-get-better", "turn its sign"),
    (Similarity, "falls-as-images-get-better", "turn its sign"),
    (SumOverBatch, "is-a-mean-over-the-batch", "take the mean over the samples, not the sum"),
    (UsesMask, "is-a-finite-scalar", "what its entry declares as needs (['clean'])"),
    (AsksForMask, "is-a-finite-scalar", "a loss asks for masks, and there are none"),
    (UsesReferences, "is-a-finite-scalar", "what its entry declares as needs"),
    (UsesJudgement, "is-a-finite-scalar", "what its entry declares as needs"),
    (ChangesOutput, "leaves-its-input-alone", "do not use in-place operations"),
    (ChangesClean, "leaves-its-input-alone", "it changes what it is given"),
    (NoReduction, "is-a-finite-scalar", "reduce it to one number"),
    (Number, "is-a-finite-scalar", "return a tensor"),
    (Double, "is-a-finite-scalar", "compute it in float32"),
    (Weights, "loss-follows-its-device", "create it with device= of the tensor that it meets"),
    (SeedingLoss, "leaves-the-random-state-alone", "random generator of torch"),
    (Root, "finite-at-perfection", "its gradient is not finite"),
]


@pytest.mark.parametrize(("target", "check", "message"), LOSSES)
def test_losses(target, check, message):
    found = failures(component("loss", target, needs={"clean"}))
    assert message in found[check]
    assert list(found) == [check]


# metrics, priors, synthesizers


class Changing:
    higher_is_better, unit = False, ""

    def __call__(self, restored, clean):
        return restored.sub_(clean).double().abs().mean((1, 2, 3))


class MaskFromClean(nn.Module):
    def forward(self, batch):
        return batch.replace(mask=((batch.degraded - batch.clean).abs().amax(1, keepdim=True) > 0.1).float())


class NoMask(nn.Module):
    def forward(self, batch: Batch):
        return batch


class MaskedMean(nn.Module):
    def forward(self, seen):
        return ((seen.output.image - seen.clean).abs() * seen.mask).sum() / seen.mask.sum()


class LearnedPrior(MaskFromClean):
    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.1))


class Veil:
    presets = ("thin",)

    def __call__(self, clean, keys, preset=None):
        share = (0.2 + 0.3 * uniform(keys, "veil").to(clean)).view(-1, 1, 1, 1)
        return clean + share * (0.5 - clean), None


class ByTheGlobalState(Veil):
    def __call__(self, clean, keys, preset=None):
        return (clean * 0.5 + 0.1 * torch.rand_like(clean)).clamp(0, 1), None


class ByTheWholeBatch(Veil):
    def __call__(self, clean, keys, preset=None):
        return super().__call__(clean, keys.float().mean().long().expand(len(keys)), preset)


class OutOfRange(Veil):
    def __call__(self, clean, keys, preset=None):
        return clean + uniform(keys, "x").to(clean).view(-1, 1, 1, 1) + 0.5, None


class Float32Only(Veil):
    def __call__(self, clean, keys, preset=None):
        return super().__call__(clean.float(), keys, preset)


class Nothing(Veil):
    def __call__(self, clean, keys, preset=None):
        return clean.clone(), None


class OnlyTheImage(Veil):
    def __call__(self, clean, keys, preset=None):
        return super().__call__(clean, keys, preset)[0]


class UndeclaredMask(Veil):
    def __call__(self, clean, keys, preset=None):
        return super().__call__(clean, keys, preset)[0], torch.ones_like(clean[:, :1])


class PresetsAsText(Veil):
    presets = "thin"


class DrawnInItsType(Veil):
    def __call__(self, clean, keys, preset=None):
        generators = [torch.Generator().manual_seed(int(key)) for key in keys]
        noise = torch.stack([torch.randn(clean.shape[1:], generator=g, dtype=clean.dtype) for g in generators])
        return (clean + 0.1 * noise).clamp(0, 1), None


class ChangesTheBatch(nn.Module):
    def forward(self, batch):
        batch.mask = (batch.degraded.mean(1, keepdim=True) > 0.5).float()
        return batch


class TakesTheImage(nn.Module):
    def forward(self, degraded):
        return (degraded.mean(1, keepdim=True) > 0.5).float()


class SoftMask(nn.Module):
    def forward(self, batch):
        return batch.replace(mask=batch.degraded.mean(1, keepdim=True))


class Pooled:
    higher_is_better, unit = False, ""

    def __call__(self, restored, clean):
        return (restored.double() - clean.double()).abs().mean()


class OneJudgement(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(6, 1, 4, 2)

    def forward(self, candidate, degraded):
        return Judgement(self.layer(torch.cat((candidate, degraded), 1)).mean().view(1))


OTHERS = [
    ("prior", ChangesTheBatch, {"gives": {"mask"}}, "gives-what-it-declares", "return batch.replace(mask=...)"),
    ("prior", TakesTheImage, {"gives": {"mask"}}, "gives-what-it-declares", "it is called with the Batch"),
    ("prior", SoftMask, {"gives": {"mask"}}, "gives-what-it-declares", "give float32 with 0 and 1 only"),
    ("metric", Pooled, {"needs": {"clean"}}, "scores-each-image", "give [B]"),
    ("loss", L1, {"needs": {"cleen"}}, "is-a-finite-scalar", "Did you mean 'clean'?"),
    ("discriminator", OneJudgement, {"gives": {"logits"}}, "runs", "keep the batch first"),
    ("loss", MaskedMean, {"needs": {"clean", "mask"}}, "stands-empty-masks", "for images without degraded pixels"),
    (
        *("prior", LearnedPrior, {"needs": {"clean"}, "gives": {"mask"}}),
        *("has-nothing-to-learn", "no optimizer ever sees its threshold"),
    ),
    ("synthesizer", DrawnInItsType, {}, "same-in-both-precisions", "draw in one type"),
    ("metric", Changing, {}, "leaves-its-input-alone", "do not use in-place operations"),
    ("prior", MaskFromClean, {"gives": {"mask"}}, "gives-what-it-declares", "declares as needs ([])"),
    ("prior", NoMask, {"gives": {"mask"}}, "gives-what-it-declares", "says that it gives mask, and it did not"),
    ("synthesizer", ByTheGlobalState, {}, "key-decides", "derive all chance from the keys"),
    ("synthesizer", ByTheWholeBatch, {}, "independent-of-the-batch", "draw for each key alone"),
    ("synthesizer", OutOfRange, {}, "degrades", "its images leave [0, 1]; clamp them"),
    ("synthesizer", Float32Only, {}, "degrades", "keep shape and dtype"),
    ("synthesizer", Nothing, {}, "degrades", "it changes nothing"),
    ("synthesizer", OnlyTheImage, {}, "degrades", "return (degraded, mask or None)"),
    ("synthesizer", UndeclaredMask, {}, "degrades", "it gives a mask, and its entry says gives=[]"),
    ("synthesizer", Veil, {"gives": {"mask"}}, "degrades", "it gives no mask, and its entry says gives=['mask']"),
    ("synthesizer", PresetsAsText, {}, "degrades", "give a tuple of names"),
    ("synthesizer", Veil, {"tasks": ("fog",)}, "tasks-are-known", "Declare your own by an entry of the kind 'task'"),
    ("generator", Net, {"tasks": ("raindrops",)}, "tasks-are-known", "Did you mean 'raindrop'?"),
]


@pytest.mark.parametrize(("kind", "target", "fields", "check", "message"), OTHERS)
def test_metrics_priors_and_synthesizers(kind, target, fields, check, message):
    assert message in failures(component(kind, target, **fields))[check]


# data sets and tasks

CARD = DatasetCard(name="thing", title="A set", task="raindrop", splits={"test": Split()})
DATASETS = [
    ({"name": "thing"}, "is-a-card", "the target is a dict; make it a restorekit.data.cards.DatasetCard"),
    (replace(CARD, name="other"), "card-agrees-with-its-entry", "called 'other' and the entry 'thing'"),
    (replace(CARD, task="rain-streak"), "card-agrees-with-its-entry", "the card's task is 'rain-streak'"),
    (replace(CARD, splits={}), "card-has-splits", "the card has no splits"),
    (replace(CARD, splits={"test": 100}), "card-has-splits", "is no Split"),
    (replace(CARD, sides=("wet", "wet")), "sides-are-two", "name two folders, such as ('wet', 'dry')"),
    (replace(CARD, sides=("wet",)), "sides-are-two", "of the degraded images, then of the clean ones"),
    (replace(CARD, sides="left-right"), "sides-are-two", "give one of '', 'degraded-clean'"),
    (replace(CARD, pair="by name"), "pairs-an-empty-folder", "make it a function of the folder"),
    (replace(CARD, pair=lambda folder: []), "pairs-an-empty-folder", "give split -> list of FilePair"),
    (replace(CARD, pair=lambda folder: {"test": ["a.png"]}), "pairs-an-empty-folder", "pair gave ['a.png']"),
    (replace(CARD, pair=lambda folder: {"val": []}), "pairs-an-empty-folder", "pair gave the split ['val']"),
    (
        replace(CARD, pair=lambda folder: {"test": list((folder / "x").iterdir())}),
        "pairs-an-empty-folder",
        "FileNotFound",
    ),
    (replace(CARD, benchmark_split="val"), "card-has-splits", "benchmark_split is 'val', and its splits are test"),
]


@pytest.mark.parametrize(("target", "check", "message"), DATASETS)
def test_data_sets(target, check, message):
    found = failures(declared("dataset", "thing", target, tasks=("raindrop",)))
    assert message in found[check]
    assert list(found) == [check]


@pytest.mark.parametrize(
    ("target", "message"),
    [("haze", "the target is a str; make it a TaskCard"), (TaskCard("fog", ""), "'clean' is empty")],
)
def test_tasks(target, message):
    assert message in failures(declared("task", "fog", target))["is-a-task-card"]


def test_one_wrong_data_set_does_not_hide_the_others(monkeypatch):
    from click.testing import CliRunner

    from restorekit.cli.main import cli

    with installed(declared("dataset", "broken", {"no": "card"})):
        listed = CliRunner().invoke(cli, ["data", "list"])
    assert listed.exit_code == 0
    assert "rain100l" in listed.output
    assert "is not a DatasetCard" in listed.output


# models and their weights


def recipe(**fields) -> Recipe:
    return Recipe.read({"name": "thing", "task": "raindrop", "generator": "fake/net", "losses": {"l1": {}}} | fields)


MODELS = [
    (recipe(name="other"), "recipe-is-named-as-its-entry", "called 'other' and its entry 'thing'"),
    (recipe(task="rain-streak"), "recipe-holds-together", "its recipe's task is 'rain-streak'"),
    (recipe(losses={"masked-l1": {}}), "recipe-holds-together", "needs 'mask', which nothing in the recipe gives"),
    (recipe(generator="no-such-net"), "recipe-holds-together", "no generator called 'no-such-net'"),
    ("a recipe", "recipe-holds-together", "must be a Recipe or return one"),
]


@pytest.mark.parametrize(("target", "check", "message"), MODELS)
def test_models(target, check, message):
    model = declared("model", "thing", (lambda: target) if isinstance(target, str) else target, tasks=("raindrop",))
    with installed(declared("generator", "net", Net), model):
        names = {"recipe-is-named-as-its-entry", "recipe-holds-together"}
        found = {}
        for made in checks_for(model):
            if made.name in names:
                try:
                    made()
                except CheckSkippedError:
                    continue
                except Exception as error:
                    found[made.name] = str(error)
    assert message in found[check]
    assert list(found) == [check]


def test_a_model_of_a_broken_part_names_the_part():
    model = declared("model", "thing", recipe(generator="fake/required"), tasks=("raindrop",))
    with installed(declared("generator", "required", Required), model):
        for made in checks_for(model):
            if made.name not in ("target-is-importable", "summary-is-one-line", "tasks-are-known"):
                with pytest.raises(CheckSkippedError, match="generator:required:builds-by-default"):
                    made()


class Wider(Net):
    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Conv2d(3, 3, 1)


def spoil(path, kind: str) -> None:
    manifest = path / "manifest.json"
    values = json.loads(manifest.read_text())
    if kind == "hash":
        values["thing"]["sha256"] = "0" * 64
    elif kind == "missing":
        (path / "thing.safetensors").unlink()
    elif kind == "unnamed":
        values = {}
    elif kind == "gain":
        values["thing"]["gain"] = 3.0
    manifest.write_text(json.dumps(values))
    if kind == "damaged":
        manifest.write_text("{")


@pytest.mark.parametrize(
    ("kind", "check", "message"),
    [
        ("hash", "weights-load", "its SHA-256 is"),
        ("missing", "weights-load", "are missing"),
        ("unnamed", "weights-load", "no manifest there names 'thing'"),
        ("damaged", "weights-load", "manifest.json is damaged"),
        ("fit", "weights-load", "pack them anew"),
        ("gain", "weights-gain-what-they-say", r"states a gain of \+3.00 dB, and on 2 crops .* it is -1.50 dB"),
        (
            "no gain",
            "weights-gain-what-they-say",
            r"states no gain .* it is -1.50 dB. `restorekit weights pack` writes",
        ),
    ],
)
def test_weights(tmp_path, monkeypatch, kind, check, message):
    from restorekit.testing import weights_checks

    monkeypatch.setattr(weights_checks, "measured_gains", lambda network, task: [-1.0, -2.0])
    package = tmp_path / "restorekit_weighty"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    made = recipe()
    with installed(declared("generator", "net", Net)):
        network = Wider() if kind == "fit" else build_generator(made)
        save_weights(package / "weights" / "thing.safetensors", network, made)
    add_to_manifest(package / "weights", "thing", "thing.safetensors")
    spoil(package / "weights", kind)
    model = declared("model", "thing", made, tasks=("raindrop",), weights="restorekit_weighty:weights")
    with installed(declared("generator", "net", Net), model):
        [wanted] = [c for c in checks_for(model) if c.name == check]
        with pytest.raises(Exception, match=message):
            wanted()
    sys.modules.pop("restorekit_weighty", None)


@pytest.mark.parametrize(("stated", "measured"), [(0.0, 0.003), (-0.01, 0.02), (1.9, 2.4)])
def test_a_gain_of_next_to_nothing_may_turn_its_sign(tmp_path, monkeypatch, stated, measured):
    from restorekit.testing import weights_checks

    monkeypatch.setattr(weights_checks, "measured_gains", lambda network, task: [measured])
    package = tmp_path / "restorekit_weighty"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    model = declared("model", "thing", recipe(), tasks=("raindrop",), weights="restorekit_weighty:weights")
    with installed(declared("generator", "net", Net), model):
        save_weights(package / "weights" / "thing.safetensors", build_generator(recipe()), recipe())
        add_to_manifest(package / "weights", "thing", "thing.safetensors", gain=stated)
        [check] = [c for c in checks_for(model) if c.name == "weights-gain-what-they-say"]
        check()
    sys.modules.pop("restorekit_weighty", None)


# procedures


class Halves:
    """A generator that learns from one half of the image in one phase, and from the other in the next."""

    def __init__(self, recipe: Recipe, weight: float = 1.0) -> None:
        self.networks = {"generator": build_generator(recipe)}
        self.phases = tuple(self.phase(name, recipe) for name in ("left", "right"))
        self.losses = {phase.name: {"l2": (weight, None)} for phase in self.phases}
        self.share_forward, self.prior = False, None

    def phase(self, name: str, recipe: Recipe) -> Any:
        return TaskPhase(name, "generator", recipe.phases.generator, recipe.optim.generator)

    def to(self, device):
        self.networks["generator"].to(device)

    def prepare(self, batch):
        return batch

    def forward(self, networks, batch):
        return Output.of(networks["generator"](batch.degraded)).float()

    def terms(self, phase, networks, batch, output):
        half = slice(0, 32) if phase == "left" else slice(32, None)
        error = (output.image - batch.clean)[..., half]
        return {"l2": (self.losses[phase]["l2"][0], error.square().mean())}, {}


class NoParts:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe


class NoPhases(Halves):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.phases = ()


class OneName(Halves):
    def phase(self, name, recipe):
        return super().phase("half", recipe)


class NamesOfPhases(Halves):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.phases = tuple(types.SimpleNamespace(name=phase.name, trains="generator") for phase in self.phases)


class OnlyTerms(Halves):
    def terms(self, phase, networks, batch, output):
        return super().terms(phase, networks, batch, output)[0]


class StrayTerm(Halves):
    def terms(self, phase, networks, batch, output):
        terms, more = super().terms(phase, networks, batch, output)
        return {"l1": terms["l2"]}, more


class Unweighted(Halves):
    def terms(self, phase, networks, batch, output):
        terms, more = super().terms(phase, networks, batch, output)
        return {"l2": terms["l2"][1]}, more


class Detached(Halves):
    def forward(self, networks, batch):
        return super().forward(networks, batch).detach()


class CropsItsImage(Halves):
    def forward(self, networks, batch):
        return Output(super().forward(networks, batch).image[..., :-1])


class Breaking(Halves):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.rate = recipe.optim.generator.lr + "1"


PROCEDURES = [
    (Breaking, "gives-a-task", "unsupported operand"),
    (3, "gives-a-task", "make it a class or function of the recipe"),
    (NoParts, "gives-a-task", "without networks, phases, losses"),
    (NoPhases, "gives-a-task", "it has no phases, and so trains nothing"),
    (OneName, "gives-a-task", "give each a name of its own"),
    (NamesOfPhases, "gives-a-task", "give TaskPhase(name, trains, timing, optim)"),
    (OnlyTerms, "phases-train", "return (terms, further scalars), two dicts"),
    (StrayTerm, "phases-train", "gives the term ['l1'], and its losses are l2"),
    (Unweighted, "phases-train", "is no (weight, scalar tensor)"),
    (Detached, "phases-train", "carry no gradient"),
    (CropsItsImage, "phases-train", "it must give the restored image"),
]


@pytest.mark.parametrize(("target", "check", "message"), PROCEDURES)
def test_procedures(target, check, message):
    thing = declared("procedure", "thing", target)
    with installed(thing):
        found = failures(thing)
    assert message in found[check]
    assert list(found) == [check]


def test_a_procedure_is_tried_with_the_recipe_of_its_model():
    class Wanting(Halves):
        def __init__(self, recipe: Recipe) -> None:
            super().__init__(recipe)
            self.networks["second"] = build_network(recipe, "second")

    thing = declared("procedure", "thing", Wanting)
    with installed(thing), pytest.raises(CheckSkippedError, match="declare a model that trains by it"):
        next(check for check in checks_for(thing) if check.name == "gives-a-task")()
    model = declared("model", "thing", recipe(procedure="thing", networks={"second": {"name": "net"}}))
    with installed(thing, declared("generator", "net", Net), model):
        assert failures(thing) == {}


# plugins as a whole


def module(name: str, **members: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(members)
    sys.modules[name] = made
    return made


@pytest.fixture
def loaded():
    yield lambda name, **members: _load(name, **members)
    for name in [n for n in sys.modules if n.startswith("wrong_")]:
        del sys.modules[name]


def _load(name: str, **members: Any) -> Plugin:
    module(name, **members)
    return load_plugin(new_manager(), "wrong", name, "restorekit-wrong", "1.0")


def entries():
    return []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("wrong_module:restorekit_entries", "name the module alone, as hooks are found by their names: 'wrong_module'"),
        ("wrong_module.plugin", "names the module 'wrong_module.plugin', and there is no 'wrong_module.plugin'"),
        ("wrong_package", "there is no 'wrong_package'; mend the name, or see that the wheel holds the package"),
    ],
)
def test_entry_points(loaded, value, message):
    module("wrong_module", restorekit_entries=hookimpl(lambda: []))
    assert message in load_plugin(new_manager(), "wrong", value, "restorekit-wrong", "1.0").error


def test_a_module_that_lacks_another_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "wrong_importer.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    error = load_plugin(new_manager(), "wrong", "wrong_importer", "restorekit-wrong", "1.0").error
    assert "No module named 'no_such_library'" in error
    assert "entry point" not in error


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"restorekit_entries": entries}, "restorekit_entries is not marked as a hook; write @hookimpl"),
        ({}, "has no hook, and so declares nothing"),
        ({"restorekit_entries": hookimpl(lambda: ["l1"])}, "gave a str"),
        ({"restorekit_entries": hookimpl(lambda: None)}, "gave a NoneType"),
        ({"restorekit_entry": hookimpl(lambda: [])}, "restorekit_entry"),
        (
            {"restorekit_entries": hookimpl(lambda: [Entry(name="a", kind="loss", target="a:b", summary="s")] * 2)},
            "declares the loss 'a' twice",
        ),
        (
            {
                "restorekit_entries": hookimpl(
                    lambda: [Entry(name="a", kind="loss", target="a:b", summary="s", license="?")]
                )
            },
            "license '?' is no SPDX expression",
        ),
    ],
)
def test_modules(loaded, members, message):
    assert message in loaded("wrong_module", **members).error


@dataclass
class Wrong:
    """A plugin of hooks, registered for one test."""

    name: str = "wrong-hooks"

    def problems(self, holder: Any) -> dict[str, str]:
        manager = registry().manager
        manager.register(holder, name=self.name)
        plugin = Plugin(self.name, "fake", "restorekit-fake", "1.0")
        found = {}
        try:
            for check in PLUGIN_CHECKS[2:]:  # those before look at a module in a new process
                try:
                    check(plugin)
                except Exception as error:
                    found[check.__name__] = str(error)
        finally:
            manager.unregister(holder)
        return found


def hook(name: str, function: Any) -> Any:
    function.__name__ = name
    return types.SimpleNamespace(**{name: hookimpl(function)})


def raising(*arguments, **named):
    raise ValueError("no address")


def leaving(run):
    sys.exit(3)


def replacing(cli):
    cli.add_command(click.Command("train"))


def adding_nothing(cli):
    """No command."""


HOOKS = [
    ("restorekit_commands", replacing, "it replaces the command train of restorekit; give yours another name"),
    ("restorekit_commands", adding_nothing, "adds no command; leave the hook out"),
    ("run_started", lambda run: leaving(run), "SystemExit: 3"),
    ("run_started", lambda recipe: recipe["no such field"], "KeyError: 'no such field'"),
    ("step_logged", lambda values: values["loss/l1"], "KeyError: 'loss/l1'"),
    ("evaluated", lambda scores: scores["fid"], "its hook evaluated fails"),
    ("checkpoint_saved", lambda weights: weights.read_text().index("{"), "its hook checkpoint_saved fails"),
    ("run_finished", lambda completed: 1 / 0, "ZeroDivisionError"),
    ("run_failed", lambda error: error.code, "no attribute 'code'"),
    ("benchmark_finished", lambda results: results["rows"]["best"], "its hook benchmark_finished fails"),
]


@pytest.mark.parametrize(("name", "function", "message"), HOOKS)
def test_hooks(name, function, message):
    found = Wrong().problems(hook(name, function))
    assert any(message in text for text in found.values()), found


class RightTracker:
    """Reads what hooks are documented to tell."""

    @hookimpl
    def run_started(self, recipe):
        assert recipe["steps"] > 0
        assert recipe["optim"]["generator"]["lr"] > 0

    @hookimpl
    def benchmark_finished(self, results):
        [gain] = [row["gains"]["psnr-rgb"]["mean"] for row in results["rows"] if row["state"] == "done"]
        assert gain > 0
        assert results["dataset"].endswith("@builtin")


def test_a_right_tracker_passes():
    assert Wrong("right-hooks").problems(RightTracker()) == {}


# what is right


class Restorer(Net):
    def forward(self, degraded):
        return Output(super().forward(degraded), {"detail": self.layer(degraded)})


class Critic(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(6, width, 4, 2), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4, 2))

    def forward(self, candidate, degraded):
        return Judgement(self.layers(torch.cat((candidate, degraded), 1)))


class Error:
    higher_is_better, unit = False, "levels"

    def __call__(self, restored, clean):
        return 255 * (restored.double() - clean.double()).abs().mean((1, 2, 3))


@pytest.mark.parametrize(
    ("kind", "target", "fields"),
    [
        ("generator", Restorer, {"gives": {"detail"}}),
        ("discriminator", Critic, {"gives": {"logits"}}),
        ("loss", L1, {"needs": {"clean"}}),
        ("metric", Error, {"needs": {"clean"}}),
        ("prior", MaskFromClean, {"needs": {"clean"}, "gives": {"mask"}}),
        ("synthesizer", Veil, {}),
    ],
)
def test_what_is_right_passes_untouched(kind, target, fields):
    assert failures(component(kind, target, **fields)) == {}


@pytest.mark.parametrize("fields", [{}, {"sides": ("wet", "dry")}, {"pair": lambda folder: {"test": []}}])
def test_a_right_data_set_passes(fields):
    assert failures(declared("dataset", "thing", replace(CARD, **fields), tasks=("raindrop",))) == {}


def test_a_right_procedure_passes():
    thing = declared("procedure", "thing", Halves)
    with installed(thing):
        assert failures(thing) == {}


def test_the_catalogue_is_large():
    tables = (GENERATORS, LOSSES, OTHERS, DATASETS, MODELS, PROCEDURES, HOOKS)
    assert sum(map(len, tables)) + 7 + 7 + 3 + 2 >= 145


def test_the_report_shows_the_remedy_and_the_components_own_traceback():
    [check] = [c for c in checks_for(component("generator", WithoutSuper)) if c.name == "builds-by-default"]
    shown = str(_run(check, ""))
    assert "call super().__init__() first" in shown
    assert "self.layer = nn.Conv2d(3, 3, 3, padding=1)" in shown
    assert shown.count("cannot assign module") == 2


def test_the_report_says_why_a_component_must_not_exit():
    def leaving() -> None:
        sys.exit(3)

    shown = str(_run(Check("loss:thing:runs", leaving), ""))
    assert "leave exiting to restorekit" in shown
    assert "sys.exit(3)" in shown
