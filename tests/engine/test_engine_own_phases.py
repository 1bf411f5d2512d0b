"""Phases train any network that a recipe names, and a plugin's procedure trains in its own way."""

from __future__ import annotations

import pytest
import torch
from fakes import declared, installed
from torch import nn

from restorekit.engine.step.task import RecipeTask, TaskPhase
from restorekit.errors import PluginError, RecipeError
from restorekit.interface import Judgement, Output
from restorekit.networks import build_generator, build_network
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, from_toml, to_toml
from restorekit.recipe.check import check_recipe


class Net(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.scale = scale

    def forward(self, degraded):
        return degraded + self.scale * self.layer(degraded)


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(6, 1, 1)

    def forward(self, candidate, degraded):
        return Judgement(self.layer(torch.cat((candidate, degraded), 1)))


class Cycle:
    """Two generators and three phases: there, back, and there again by way of the other."""

    def __init__(self, recipe: Recipe, weight: float = 1.0) -> None:
        self.networks = {"generator": build_generator(recipe), "back": build_network(recipe, "back")}
        optim = recipe.optim.generator
        names = (("there", "generator"), ("back", "back"), ("cycle", "generator"))
        self.phases = tuple(TaskPhase(name, trains, recipe.phases.generator, optim) for name, trains in names)
        self.losses = {name: {"l2": (weight, None)} for name, _ in names}
        self.share_forward, self.prior = False, None

    def to(self, device):
        for network in self.networks.values():
            network.to(device)

    def prepare(self, batch):
        return batch

    def forward(self, networks, batch):
        return Output.of(networks["generator"](batch.degraded)).float()

    def terms(self, phase, networks, batch, output):
        made = {
            "there": lambda: (output.image, batch.clean),
            "back": lambda: (networks["back"](batch.clean), batch.degraded),
            "cycle": lambda: (networks["back"](output.image), batch.degraded),
        }[phase]()
        return {"l2": (self.losses[phase]["l2"][0], ((made[0] - made[1]) ** 2).mean())}, {}


PARTS = (
    declared("generator", "net", Net),
    declared("discriminator", "judge", Judge, gives={"logits"}),
    declared("procedure", "cycle", Cycle),
    declared("procedure", "half", lambda recipe: object()),
)
BASE = {
    "name": "m",
    "task": "raindrop",
    "generator": "net",
    "losses": {"l1": {}},
    "data": {"crop": 16, "batch": 2},
    "steps": 3,
    "precision": "fp32",
    "save_every": 1000,
    "eval_every": 1000,
}
OWN = {
    "networks": {"second": {"name": "net", "scale": 0.5}, "local": {"name": "judge", "kind": "discriminator"}},
    "phases": {
        "second": {"trains": "second", "losses": {"mse": {"weight": 2.0}}, "optim": {"lr": 0.01}},
        "local": {"trains": "local", "losses": {"critic": {}}, "every": 2},
        "please": {"trains": "generator", "losses": {"adversarial": {"weight": 0.1}}, "judge": "local"},
    },
}


@pytest.fixture(autouse=True)
def parts():
    with installed(*PARTS):
        yield


def moved(lab, recipe, run):
    """Return which networks differ from how they started, after a run and a resumed one that must agree."""
    lab.train(recipe, run / "whole")
    for last in (2, 3):
        lab.train(recipe, run / "parts", last)
    whole, parted = lab.state(run / "whole"), lab.state(run / "parts")
    assert [name for name in whole if not torch.equal(whole[name], parted[name])] == []
    newest = max((run / "whole" / "checkpoints").glob("step-*.pt"))
    trained = torch.load(newest, weights_only=True)["engine"]["networks"]
    fresh = lab.engine(recipe).task.networks
    return {
        name
        for name, network in fresh.items()
        if any(not torch.equal(v, trained[name][k]) for k, v in network.state_dict().items())
    }


def test_phases_train_further_networks_and_resume_exactly(lab, tmp_path):
    recipe = Recipe.read(BASE | OWN)
    assert from_toml(to_toml(recipe)) == recipe
    check_recipe(recipe, registry())
    assert moved(lab, recipe, tmp_path) == {"generator", "second", "local"}
    header = (tmp_path / "whole" / "log.csv").read_text().splitlines()[0]
    assert {"second/mse", "local/critic", "please/adversarial", "generator/l1", "lr/second"} <= set(header.split(","))


def test_further_networks_make_another_recipe():
    assert Recipe.read(BASE).digest() != Recipe.read(BASE | OWN).digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": {}}, "phases.second trains 'second'; the recipe's networks are generator"),
        ({"phases": {}}, "networks.second is trained by no phase"),
        ({"networks": {**OWN["networks"], "generator": "net"}}, "networks.generator is a name of its own"),
        ({"phases": {**OWN["phases"], "more": {"trains": "second", "losses": {}}}}, "phases.more.losses"),
        ({"phases": {**OWN["phases"], "please": {**OWN["phases"]["please"], "judge": "x"}}}, "judge is 'x'"),
    ],
)
def test_phases_that_do_not_fit_are_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.read(BASE | OWN | change)


def test_a_procedure_trains_in_its_own_way(lab, tmp_path):
    recipe = Recipe.read(BASE | {"procedure": {"name": "cycle", "weight": 2.0}, "networks": {"back": "net"}})
    check_recipe(recipe, registry())
    assert moved(lab, recipe, tmp_path) == {"generator", "back"}
    assert "cycle/l2" in (tmp_path / "whole" / "log.csv").read_text()


def test_a_procedure_that_gives_no_task_is_refused(lab):
    with pytest.raises(PluginError, match="procedure 'half' gave a object without networks, phases"):
        lab.engine(Recipe.read(BASE | {"procedure": "half"}))


def test_a_loss_that_uses_what_it_did_not_declare_is_a_named_error(lab, tmp_path):
    class Careless(nn.Module):
        def forward(self, seen):
            return (seen.output.image * seen.batch.mask).mean()

    class Asking(nn.Module):
        def forward(self, seen):
            return (seen.output.image * seen.mask).mean()

    with installed(declared("loss", "careless", Careless), declared("loss", "asking", Asking)):
        with pytest.raises(
            PluginError, match=r"loss 'careless' failed \(TypeError: .*there is clean beside the images"
        ):
            lab.train(Recipe.read(BASE | {"losses": {"careless": {}}}), tmp_path / "one")
        with pytest.raises(Exception, match=r"asks for masks, and there are none; .* needs=\{'mask'\}"):
            lab.train(Recipe.read(BASE | {"losses": {"asking": {}}}), tmp_path / "two")


def test_recipe_task_is_what_trains_without_a_procedure(lab):
    assert isinstance(lab.engine(Recipe.read(BASE)).task, RecipeTask)
