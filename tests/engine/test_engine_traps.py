"""The rules of the engine that are easily broken without an error, one by one (design, section 6)."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from restorekit.data.augment import augment
from restorekit.engine.feed.batches import Share
from restorekit.engine.runtime import Runtime
from restorekit.engine.step import engine as engine_module
from restorekit.engine.step.nonfinite import MaskCounters
from restorekit.engine.step.schedule import rate_factor
from restorekit.engine.step.update import Updater
from restorekit.interface import LossInput
from restorekit.recipe.parts import Optim, Schedule

ENGINE = Path(engine_module.__file__).parent


def changed(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[n].double() - other[n].double()).abs().max()) for n in one)


def stepped(lab, recipe, steps: int = 2):
    """Return an engine that has made some steps."""
    engine, feed = lab.engine(recipe), lab.feed(recipe)
    for step in range(steps):
        engine.step(step, feed.batch(step))
    return engine


def states(engine) -> dict[str, Tensor]:
    networks = engine.task.networks.items()
    return {f"{n}.{k}": v.clone() for n, net in networks for k, v in net.state_dict().items() if v.is_floating_point()}


WITHOUT_BATCH_NORM = {"remaen": (), "attngan": (), "rain2avoid": ("generator=remaen", "generator.width=4")}


@pytest.mark.parametrize("model", WITHOUT_BATCH_NORM)
def test_accumulating_2x4_equals_1x8(lab, model: str):
    """Also the discriminator: ``accumulate()`` once per phase would never step it, and raise nothing."""
    sgd = [f"optim.{n}.{k}" for n in ("generator", "discriminator") for k in ("name=sgd", "lr=1e-2")]
    recipe = lab.recipe(model, "data.batch=8", *sgd, *WITHOUT_BATCH_NORM[model])
    fresh = states(lab.engine(recipe))
    one = states(stepped(lab, recipe))
    two = states(stepped(lab, recipe.model_copy(update={"accumulate": 2})))
    assert changed(one, two) < 1e-5
    assert changed(one, two) < 1e-3 * changed(one, fresh)
    networks = {name.partition(".")[0] for name in one}
    assert all(changed({n: v for n, v in one.items() if n.startswith(net)}, fresh) > 1e-6 for net in networks)


def test_accumulating_with_adam_stays_within_its_rounding(lab):
    recipe = lab.recipe("remaen", "data.batch=8", "optim.generator.lr=1e-4")
    one, two = states(stepped(lab, recipe)), states(stepped(lab, recipe.model_copy(update={"accumulate": 2})))
    assert changed(one, two) < 1e-5


def test_shared_forward_equals_a_second_one_and_saves_it(lab):
    recipe = lab.recipe("attngan")
    apart = recipe.model_copy(update={"phases": recipe.phases.model_copy(update={"share_forward": False})})
    assert recipe.phases.share_forward
    assert changed(states(stepped(lab, recipe)), states(stepped(lab, apart))) == 0
    passes = []
    for chosen in (recipe, apart):
        engine, count = lab.engine(chosen), []
        engine.generator.register_forward_hook(lambda *_, count=count: count.append(1))
        engine.step(0, lab.feed(chosen).batch(0))
        passes.append(len(count))
    assert passes == [1, 2]


def test_generator_is_run_anew_once_it_has_moved(lab):
    """With repeats the second update must not reuse the graph, or the output, of the first."""
    recipe = lab.recipe("attngan", "phases.generator.repeats=3")
    apart = recipe.model_copy(update={"phases": recipe.phases.model_copy(update={"share_forward": False})})
    assert changed(states(stepped(lab, recipe)), states(stepped(lab, apart))) == 0


def test_each_phase_gives_gradients_to_its_own_network_alone(lab, monkeypatch):
    seen = []
    original = Updater.step

    def watched(self, *arguments):
        networks = engine.task.networks
        mine = {id(p) for p in self.parameters}
        for name, network in networks.items():
            given = [p.grad is not None for p in network.parameters()]
            own = mine == {id(p) for p in network.parameters()}
            seen.append((name, own, all(given) if own else any(given)))
            assert own == all(p.requires_grad for p in network.parameters())
        return original(self, *arguments)

    monkeypatch.setattr(Updater, "step", watched)
    recipe = lab.recipe("attngan", "phases.generator.repeats=2", "accumulate=2")
    engine = lab.engine(recipe)
    engine.step(0, lab.feed(recipe).batch(0))
    assert len(seen) == 6
    assert all(has_gradients == own for _, own, has_gradients in seen)


def test_discriminator_does_not_train_the_generator(lab):
    """Generator weights stay bit for bit where only the discriminator is due."""
    recipe = lab.recipe("pix2pix", "phases.generator.start=100")
    fresh = lab.engine(recipe).generator
    engine = stepped(lab, recipe)
    pairs = zip(fresh.parameters(), engine.generator.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    critic = lab.engine(recipe).task.networks["discriminator"].parameters()
    assert not any(
        torch.equal(a, b) for a, b in zip(critic, engine.task.networks["discriminator"].parameters(), strict=True)
    )


def test_phase_trains_its_network_in_the_steps_that_it_names(lab):
    recipe = lab.recipe("pix2pix-small", "phases.discriminator.every=3", "phases.discriminator.start=1")
    engine, feed, trained = lab.engine(recipe), lab.feed(recipe), []
    networks = engine.task.networks.items()
    for step in range(6):
        before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks}
        engine.step(step, feed.batch(step))
        trained.append(sorted(n for n, net in networks if not all(map(torch.equal, net.parameters(), before[n]))))
    both, alone = ["discriminator", "generator"], ["generator"]
    assert trained == [alone, both, alone, alone, both, alone]


def _updater(value: float, *, clip: float = 0.0, fp16: bool = False, name: str = "adam") -> Updater:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    counters = MaskCounters("phase", ["term"], torch.device("cpu"))
    return Updater(layer, Optim(name=name, lr=1.0), counters, clip_norm=clip, fp16=fp16)


GOOD, BAD = torch.tensor([True]), torch.tensor([False])


def test_clipping_and_unscaling_touch_one_network_only():
    """``accelerator.clip_grad_norm_`` unscales every optimizer: the other phase would be unscaled twice."""
    one, other = _updater(0.0, clip=1.0, fp16=True, name="sgd"), _updater(0.0, fp16=True, name="sgd")
    for updater, slope in ((one, 5.0), (other, 3.0)):
        updater.backward(slope * updater.parameters[0].sum())
    scaled = other.parameters[0].grad.clone()
    assert float(scaled) == 3.0 * 2**16
    norm = one.step(0, 1.0, GOOD)
    assert float(norm) == 5.0
    assert torch.equal(other.parameters[0].grad, scaled)
    assert float(other.step(0, 1.0, GOOD)) == 3.0
    # clipped to norm 1 after unscaling; the other one moves three times as far
    assert 3 * one.parameters[0].item() == pytest.approx(other.parameters[0].item(), rel=1e-5)


def test_each_phase_has_a_scaler_of_its_own():
    one, other = _updater(0.0, fp16=True), _updater(0.0, fp16=True)
    one.backward(one.parameters[0].sum() * float("inf"))
    one.step(0, 1.0, GOOD)
    assert (one.scaler.get_scale(), other.scaler.get_scale()) == (2.0**15, 2.0**16)
    assert one.parameters[0].item() == 0


@pytest.mark.parametrize("fp16", [False, True])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "lion"])
@pytest.mark.parametrize("what", ["gradient", "term"])
def test_masked_update_changes_nothing(fp16: bool, name: str, what: str):
    """Neither weights nor moments nor the step counter, whether the gradient or only the term is not finite."""
    updater, free = _updater(1.0, fp16=fp16, name=name), _updater(1.0, fp16=fp16, name=name)
    slopes = [2.0, float("nan") if what == "gradient" else 2.0, 3.0]
    for step, slope in enumerate(slopes):
        updater.backward(slope * updater.parameters[0].sum())
        updater.step(step, 1.0, BAD if step == 1 and what == "term" else GOOD)
        if step != 1:
            free.backward(slope * free.parameters[0].sum())
            free.step(step, 1.0, GOOD)
    assert torch.equal(updater.parameters[0], free.parameters[0])
    assert str(updater.optimizer.state_dict()["state"]) == str(free.optimizer.state_dict()["state"])
    masked = updater.counters.read()
    assert masked is not None
    assert (masked.count, masked.step, masked.streak) == (1, 1, 0)
    assert masked.terms == (("term",) if what == "term" else ())


def test_losses_see_float32_and_no_autocast(lab):
    recipe = lab.recipe("attngan", "precision=bf16")
    engine = lab.engine(recipe)
    seen: list[tuple[torch.dtype, bool]] = []

    class Probe(nn.Module):
        def forward(self, given: LossInput) -> Tensor:
            assert given.fake is not None
            for tensor in (given.output.image, given.fake.logits, given.output.extras["attention"][0]):
                seen.append((tensor.dtype, torch.is_autocast_enabled("cpu")))
            return given.fake.logits.mean()

    for phase in ("generator", "discriminator"):
        engine.task.losses[phase] = {"probe": (1.0, Probe())}
    inside: list[tuple[bool, torch.dtype]] = []
    for network in engine.task.networks.values():
        network.register_forward_hook(
            lambda *_: inside.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        )
    for updater in engine.updaters.values():
        updater.counters = MaskCounters("probe", ["probe"], torch.device("cpu"))
    engine.step(0, lab.feed(recipe).batch(0))
    assert set(seen) == {(torch.float32, False)}
    assert set(inside) == {(True, torch.bfloat16)}


def test_batches_do_not_depend_on_the_number_of_processes(lab):
    recipe = lab.recipe("pix2pix-balanced", "data.augment.rotate=true", "data.augment.drops=0.5")
    whole = lab.feed(recipe)
    parts = [lab.feed(recipe, share=Share(rank, 2)) for rank in (0, 1)]
    for step in (0, 1, 5):
        batch, halves = whole.batch(step), [part.batch(step) for part in parts]
        assert batch.name == halves[0].name + halves[1].name
        one = augment(batch, recipe.data)
        two = [augment(half, recipe.data) for half in halves]
        for field in ("degraded", "clean", "key"):
            assert torch.equal(getattr(one, field), torch.cat([getattr(t, field) for t in two]))


def test_every_image_once_an_epoch_in_a_new_order(lab):
    feed = lab.feed(lab.recipe("remaen", "data.batch=3"), lab.images(6))
    epochs = [[*feed.batch(2 * e).name, *feed.batch(2 * e + 1).name] for e in range(4)]
    assert all(sorted(names) == sorted(epochs[0]) and len(set(names)) == 6 for names in epochs)
    assert len({tuple(names) for names in epochs}) > 1


def test_rate_is_a_function_of_the_step_alone():
    cosine = Schedule(name="cosine", warmup=2, floor=0.1)
    assert rate_factor(cosine, 0, 10) == 0.5
    assert rate_factor(cosine, 5, 10) == pytest.approx(0.1 + 0.9 * 0.5)
    assert rate_factor(Schedule(name="linear", start=4), 7, 10) == pytest.approx(0.5)
    falls = Schedule(name="step", milestones=(3, 6), gamma=0.1)
    assert [rate_factor(falls, s, 10) for s in (2, 3, 6)] == pytest.approx([1, 0.1, 0.01])


@pytest.mark.parametrize("first", [0, 2])
def test_updates_use_the_rate_of_their_step(lab, first: int):
    """Whatever step a run, or a resumed one, begins with."""
    halved = ("schedule.name=step", "schedule.gamma=0.5", "schedule.milestones=[1, 3]")
    recipe = lab.recipe("pix2pix-small", *halved, "optim.generator.lr=4e-3", "optim.discriminator.lr=8e-3")
    engine, feed, used = lab.engine(recipe), lab.feed(recipe), []
    for step in range(first, 5):
        engine.step(step, feed.batch(step))
        rates = {name: updater.optimizer.param_groups[0]["lr"] for name, updater in engine.updaters.items()}
        assert engine.rates(step) == {f"lr/{name}": rate for name, rate in rates.items()}
        assert rates["discriminator"] == 2 * rates["generator"]
        used.append(rates["generator"])
    assert used == pytest.approx([4e-3, 2e-3, 2e-3, 1e-3, 1e-3][first:])


def test_networks_are_wrapped_in_sorted_order_and_helpers_are_not(lab):
    """DDP numbers its collectives in order of creation: another order on another process hangs or mixes them."""
    engine = lab.engine(lab.recipe("attngan"))
    order: list[nn.Module] = []

    class Recorder:
        def prepare_model(self, network: nn.Module) -> nn.Module:
            order.append(network)
            return network

    runtime = Runtime("cpu", "fp32")
    runtime._accelerator = Recorder()
    networks = {name: engine.task.networks[name] for name in ("generator", "discriminator")}
    assert list(runtime.wrap(networks)) == ["discriminator", "generator"]
    assert order == [networks["discriminator"], networks["generator"]]
    assert set(engine.wrapped) == {"generator", "discriminator"}


def test_gradients_are_exchanged_in_the_last_micro_batch_alone(lab, monkeypatch):
    """``no_sync`` on the network that is trained, and on no other: its exchange would wait for one that never comes."""
    apart: list[nn.Module] = []

    class Recorder:
        def no_sync(self, network: nn.Module):
            apart.append(network)
            return contextlib.nullcontext()

        def reduce(self, values: Tensor, reduction: str) -> Tensor:
            return values

    recipe = lab.recipe("attngan", "data.batch=6", "accumulate=3")
    engine = lab.engine(recipe)
    engine.runtime._accelerator = Recorder()
    engine.step(0, lab.feed(recipe).batch(0))
    networks = engine.task.networks
    assert apart == [networks["discriminator"]] * 2 + [networks["generator"]] * 2


def test_dropout_differs_between_processes_and_steps(lab):
    recipe = lab.recipe("pix2pix")
    engine, batch = lab.engine(recipe), lab.feed(recipe).batch(0)
    draws = []
    for rank, step in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 0)):
        engine.runtime.share = Share(rank, 2)
        engine.prepare(step, batch)
        draws.append(float(torch.rand(())))
    assert draws[0] == draws[-1]
    assert len(set(draws)) == 4


def test_scale_survives_a_resume():
    one, other = _updater(0.0, fp16=True), _updater(0.0, fp16=True)
    one.backward(one.parameters[0].sum() * float("inf"))
    one.step(0, 1.0, GOOD)
    other.load_state_dict(one.state_dict())
    assert other.scaler.get_scale() == 2.0**15
    other.load_state_dict(_updater(0.0).state_dict())  # of a run in float32: nothing to take over
    assert other.scaler.get_scale() == 2.0**15


@pytest.mark.parametrize("bad", [0, 1])
def test_bad_term_in_any_micro_batch_masks_the_update(lab, bad: int):
    """The value overflows, and the gradient stays finite."""
    recipe = lab.recipe("remaen", "accumulate=2")
    engine = lab.engine(recipe)
    before, calls = states(engine), []

    class Overflow(nn.Module):
        def forward(self, seen: LossInput) -> Tensor:
            calls.append(1)
            return seen.output.image.mean() + (float("inf") if len(calls) - 1 == bad else 0)

    name = next(iter(engine.task.losses["generator"]))
    engine.task.losses["generator"][name] = (1.0, Overflow())
    engine.step(0, lab.feed(recipe).batch(0))
    assert len(calls) == 2
    assert changed(before, states(engine)) == 0
    assert [(t.step, t.terms) for t in engine.read_masked()] == [(0, (name,))]


def test_frozen_discriminator_is_called_bare(lab):
    """A wrapped one would wait for an exchange of gradients that never comes."""
    engine = lab.engine(lab.recipe("attngan"))
    engine.wrapped = {name: nn.Sequential(network) for name, network in engine.task.networks.items()}
    for phase in engine.task.phases:
        called = engine._callable(phase)
        for name, network in engine.task.networks.items():
            assert (called[name] is network) == (name != phase.trains)


def test_batch_statistics_survive_values_that_are_not_finite(lab):
    """The update is masked, but a forward pass has spoiled the running statistics: they are put back."""
    recipe = lab.recipe("pix2pix")
    engine, feed = stepped(lab, recipe), lab.feed(recipe)
    first = next(m for m in engine.generator.modules() if isinstance(m, nn.Conv2d))
    handle = first.register_forward_hook(lambda module, given, out: out * float("nan"))
    before = states(engine)
    engine.step(2, feed.batch(2))
    handle.remove()
    after = states(engine)
    assert all(torch.isfinite(v).all() for v in after.values())
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith("generator"))


def source_without_comments(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r'""".*?"""|#[^\n]*', "", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    "forbidden", [".accumulate(", "clip_grad_norm_(", ".prepare(", "prepare_scheduler", ".backward_"]
)
def test_engine_does_not_call_what_goes_wrong(forbidden: str):
    sources = {path.name: source_without_comments(path) for path in ENGINE.glob("*.py")}
    sources["engine.py"] = sources["engine.py"].replace("self.task.prepare(", "").replace("self.prepare(", "")
    sources["replay.py"] = sources["replay.py"].replace("engine.prepare(", "")
    assert [name for name, text in sources.items() if forbidden in text] == []


def test_only_the_runtime_imports_accelerate():
    root = ENGINE.parent
    found = [p.name for p in root.rglob("*.py") if re.search(r"^\s*(from|import) accelerate", p.read_text(), re.M)]
    assert found == ["runtime.py"]


def test_no_loss_takes_probabilities():
    """BCE on probabilities is refused under CUDA autocast, and loses digits."""
    root = ENGINE.parents[1]
    sources = [*(root / "restorekit").rglob("*.py"), *(root / "plugins").rglob("restorekit_*/*.py")]
    bad = re.compile(r"binary_cross_entropy\(|BCELoss\(")
    assert [p.name for p in sources if bad.search(source_without_comments(p))] == []
