"""Conformance of whole plugins: expected failures, pytest parameters, the command, checks that train."""

from __future__ import annotations

import json

import pytest

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
    assert "plugin 'fake' does NOT conform: 17 passed, 1 failed" in done.stdout


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
        ({}, "1 failed, 17 passed"),
        ({FAILING: "It measures how bad."}, "17 passed, 1 xfailed"),
        ({FAILING: "True.", PASSING: "Not true."}, "1 failed, 16 passed, 1 xfailed"),
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


COMMAND_WITH_TORCH = """
@hookimpl
def restorekit_commands(cli):
    import torch
    @cli.command("slow")
    def slow():
        "Wait."
"""


def test_a_command_that_makes_all_others_wait_is_found(fake_site):
    install(fake_site, {FAILING: "True."})
    with (fake_site.folder / "fake_plugin.py").open("a") as file:
        file.write(COMMAND_WITH_TORCH)
    done = fake_site.restorekit("plugins", "check", "fake", "--only", "declares-without-torch")
    assert done.returncode == 1
    assert "fake_plugin imports torch when it declares its entries and commands" in done.stdout


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import os; os.environ['OMP_NUM_THREADS'] = '7'", "the environment (OMP_NUM_THREADS)"),
        ("import os; os.umask(0o022)", "the permissions of new files (umask)"),
        ("import os; os.chdir('/')", "the working directory"),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", "handlers of signals"),
    ],
)
def test_an_import_that_changes_the_process_is_found(fake_site, line, what):
    install(fake_site, {FAILING: "True."}, heavy=line)
    done = fake_site.restorekit("plugins", "check", "fake", "--only", "importing-changes-nothing")
    assert done.returncode == 1
    assert f"importing fake_plugin changes {what}, at every command" in done.stdout


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

def recipe(name, generator, loss):
    return Recipe.read({"name": name, "task": "raindrop", "generator": generator, "losses": {loss: {}}})

SOUND, COUNTING = recipe("sound", "net", "core/l1"), recipe("counting", "counting", "core/l1")
AWAY, SUM = recipe("away", "net", "away"), recipe("sum", "net", "sum")
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
    failed = {r["key"]: r["message"] for r in results if r["outcome"] == "failed"}
    assert "weights behind a stop and a resume differ" in failed.pop("model:counting:resumes-exactly")
    assert "check the sign of the losses" in failed.pop("model:counting:few-steps-lower-the-loss")
    assert "losses must be means over the samples" in failed.pop("model:sum:accumulates")
    assert "loss:away:gives-gradients" in failed  # and what depends on it is not tried
    away = [result for result in results if result["key"].startswith("model:away:")]
    assert {result["outcome"] for result in away} == {"skipped"}
    assert all("while loss:away:gives-gradients fails" in result["message"] for result in away)
    assert not [key for key in failed if key.startswith(("model:sound", "model:sum"))]
