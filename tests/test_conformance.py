"""The conformance checks: what is right passes all, and each fault is found by the check that is made for it."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from restorekit.errors import PluginError, RestorekitError, WeightsError
from restorekit.plugin import Entry
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.registry import Component
from restorekit.testing import CheckFailedError, CheckSkippedError, checks_for
from restorekit.testing.select import expected_failures
from restorekit.types import Judgement, Output, SizeRule


@pytest.fixture(autouse=True)
def _targets_are_here(monkeypatch):
    monkeypatch.setattr(Component, "load", lambda self: globals()[self.entry.target.partition(":")[2]])


def component(kind: str, target: type, **fields: object) -> Component:
    entry = Entry(name="thing", kind=kind, target=f"here:{target.__name__}", summary="A thing.", **fields)
    return Component(entry, Plugin("fake", "fake", "restorekit-fake", "1.0", (entry,)))


def failures(checked: Component) -> dict[str, str]:
    """Return check name -> message of all checks that fail, whatever they raise."""
    found = {}
    for check in checks_for(checked):
        try:
            check()
        except CheckSkippedError:
            raise
        except Exception as error:
            found[check.name] = str(error)
    return found


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
        (WrongRule, "keeps-any-size", "size_rule is 8; make it a restorekit.types.SizeRule"),
        (AlwaysDropout, "deterministic", "switch dropout and noise off"),
        (BatchStatistics, "independent-of-the-batch", "use running statistics"),
        (UnusedParameter, "gradients-reach-all-parameters", "no gradient reaches 2 of 8 parameters: spare.weight"),
        (Detached, "gradients-reach-all-parameters", "one.weight"),
        (NaNOnBlack, "finite", "not finite for a black image"),
        (Double, "finite", "keep the input's dtype"),
        (InPlace, "leaves-its-input-alone", "do not use in-place operations"),
        (Swallowing, "refuses-unknown-settings", "take **kwargs out"),
        (Swallowing, "builds-by-default", "'**rest' cannot be given by name"),
        (NoDefault, "builds-by-default", "setting 'width' has no default"),
        (HiddenState, "state-round-trips", "must be a parameter or a registered buffer"),
        (SharedWeights, "state-round-trips", "none of them shared"),
        (Levels, "restores-into-range", "images in [-1, 1] or 0..255 must be converted"),
        (Viewing, "works-in-channels-last", "view"),
        (WithExtras, "gives-what-it-declares", "it gives ['attention'] and its entry declares gives=[]"),
        (ListExtras, "finite", "give a tensor or a tuple of tensors"),
        (NotAModule, "finite", "must be a torch.nn.Module"),
    ],
)
def test_faults_of_generators_are_found(target, check, message):
    assert message in failures(component("generator", target))[check]


def test_no_size_works():
    message = failures(component("generator", Smaller))["keeps-any-size"]
    assert "no multiple up to 256 works either" in message


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
        (BareTensor, "finite", "return Judgement(logits, extras)"),
        (OneNumber, "judges-logits", "keep the batch first"),
    ],
)
def test_faults_of_discriminators_are_found(target, check, message):
    assert message in failures(component("discriminator", target, gives={"logits"}))[check]


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


# expected failures, and plugins as a whole

PLUGIN = """
HEAVY
from restorekit.plugin import Entry, hookimpl
EXPECTED_FAILURES = EXPECTED
@hookimpl
def restorekit_entries():
    return [Entry(name="worse", kind="metric", target="fake_metric:Metric", summary="A metric.", needs={"clean"})]
"""
METRIC = """
class Metric:
    higher_is_better, unit = True, ""
    def __call__(self, restored, clean):
        return (restored.double() - clean.double()).abs().mean((1, 2, 3))
"""
FAILING = "metric:worse:says-what-is-better"
PASSING = "metric:worse:scores-each-image"
TESTS = """
from restorekit.testing import parametrize_with_checks
@parametrize_with_checks("fake", engine=False)
def test_conformance(check):
    check()
"""


def install(site, expected: dict[str, str], heavy: str = ""):
    source = PLUGIN.replace("EXPECTED_FAILURES = EXPECTED", f"EXPECTED_FAILURES = {expected!r}")
    points = "[restorekit.v1]\nfake = fake_plugin\n"
    site.add("restorekit-fake", points, fake_plugin=source.replace("HEAVY", heavy), fake_metric=METRIC)
    return site


def test_check_command_reports_failures(fake_site):
    done = install(fake_site, {}).restorekit("plugins", "check", "fake")
    assert done.returncode == 1
    assert f"FAILED           {FAILING}" in done.stdout
    assert f"passed           {PASSING}" in done.stdout
    assert "plugin 'fake' does NOT conform: 9 passed, 1 failed" in done.stdout


def test_declared_failures_are_expected(fake_site):
    done = install(fake_site, {FAILING: "It measures how bad."}).restorekit("plugins", "check", "fake", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["passed"]) == (0, True)
    outcomes = {result["key"]: (result["outcome"], result["message"]) for result in report["results"]}
    assert outcomes[FAILING] == ("expected failure", "It measures how bad.")


def test_expected_failures_are_strict(fake_site):
    done = install(fake_site, {FAILING: "True.", PASSING: "Not true."}).restorekit("plugins", "check", "fake")
    assert done.returncode == 1
    assert f"UNEXPECTED PASS  {PASSING}" in done.stdout


@pytest.mark.parametrize(
    ("expected", "counts"),
    [
        ({}, "1 failed, 9 passed"),
        ({FAILING: "It measures how bad."}, "9 passed, 1 xfailed"),
        ({FAILING: "True.", PASSING: "Not true."}, "1 failed, 8 passed, 1 xfailed"),
    ],
)
def test_pytest_parameters(fake_site, expected, counts):
    install(fake_site, expected)
    (fake_site.folder / "test_it.py").write_text(TESTS)
    done = fake_site.python(
        "import pytest; pytest.main(['-q', '-p', 'no:cacheprovider', '-c', '/dev/null', 'test_it.py'])"
    )
    assert counts in done.stdout, done.stdout


def test_declaring_with_torch_is_found(fake_site):
    done = install(fake_site, {FAILING: "True."}, heavy="import torch").restorekit("plugins", "check", "fake")
    assert done.returncode == 1
    assert "FAILED           plugin:fake:declares-without-torch" in done.stdout
    assert "fake_plugin imports torch when it declares" in done.stdout


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (
            {FAILING.replace("better", "bettr"): "True."},
            "does not exist. Did you mean 'metric:worse:says-what-is-better'?",
        ),
        ({FAILING: " "}, "say in a sentence why it must fail"),
    ],
)
def test_bad_declarations_are_refused(fake_site, expected, message):
    done = install(fake_site, expected).restorekit("plugins", "check", "fake")
    assert done.returncode == 1
    assert message in done.stderr


def test_expected_failures_given_by_hand():
    checks = checks_for(component("metric", WrongDirection))
    with pytest.raises(PluginError, match="names 'nothing'"):
        expected_failures("core", checks, {"nothing": "at all"})
    assert issubclass(CheckFailedError, AssertionError)  # pytest shows it as a failure, not as an error


MODELS = """
import torch
from torch import nn
from restorekit.recipe import Recipe

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
    def forward(self, degraded):
        return self.layer(degraded)

class Counting(Net):  # its output depends on a number that no checkpoint holds
    calls = 0
    def forward(self, degraded):
        self.calls += self.training
        return super().forward(degraded) * (1 + 0.1 * self.calls)

class Away(nn.Module):
    def forward(self, seen):
        return 1 - (seen.output.image - seen.batch.clean).abs().mean().clamp(max=0.0)

class Sum(nn.Module):
    def forward(self, seen):
        return (seen.output.image - seen.batch.clean).abs().sum()

def recipe(generator, loss):
    return Recipe.read({"name": "m", "task": "raindrop", "generator": generator, "losses": {loss: {}}})

SOUND, COUNTING = recipe("net", "core/l1"), recipe("counting", "core/l1")
AWAY, SUM = recipe("net", "away"), recipe("net", "sum")
"""
MODEL_PLUGIN = """
from restorekit.plugin import Entry, hookimpl
def entry(kind, name, target, **fields):
    return Entry(name=name, kind=kind, target=f"fake_models:{target}", summary="A thing.", **fields)
@hookimpl
def restorekit_entries():
    return [
        entry("generator", "net", "Net"), entry("generator", "counting", "Counting"),
        entry("loss", "away", "Away", needs={"clean"}), entry("loss", "sum", "Sum", needs={"clean"}),
        *(entry("model", name, name.upper(), tasks=("raindrop",)) for name in ("sound", "counting", "away", "sum")),
    ]
"""


@pytest.mark.slow
def test_faults_of_training_are_found(fake_site):
    """Each fault fails the check that is made for it, and a sound model of the same parts passes."""
    points = "[restorekit.v1]\nfake = fake_plugin\n"
    fake_site.add("restorekit-fake", points, fake_plugin=MODEL_PLUGIN, fake_models=MODELS)
    done = fake_site.restorekit("plugins", "check", "fake", "--json")
    results = json.loads(done.stdout)["results"]
    failed = {r["key"]: r["message"] for r in results if r["outcome"] == "failed" and r["key"].startswith("model:")}
    assert "weights behind a stop and a resume differ" in failed.pop("model:counting:resumes-exactly")
    assert "check the sign of the losses" in failed.pop("model:away:few-steps-lower-the-loss")
    assert "losses must be means over the samples" in failed.pop("model:sum:accumulates")
    assert not [key for key in failed if key.startswith(("model:sound", "model:sum"))]
