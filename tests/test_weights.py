"""Weights: found, verified, loaded, imported; and refused with a clear message."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

import restorekit
from restorekit.benchmark.loading import load_model
from restorekit.benchmark.settings import Settings
from restorekit.cli.train import _start as start_of
from restorekit.cli.weights import command
from restorekit.data.sets import resolve
from restorekit.devices import pick_precision
from restorekit.errors import PluginError, RecipeError, UnknownNameError, WeightsError
from restorekit.metrics.quality import PSNR
from restorekit.networks import build_discriminator, build_generator
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.entry import Entry
from restorekit.plugin.registry import Component, registry
from restorekit.recipe import apply_overrides
from restorekit.recipe.check import model_recipe
from restorekit.recipe.toml import read_recipe_file
from restorekit.restoring.load import load
from restorekit.restoring.restorer import AdaptiveRestorer, Restorer
from restorekit.restoring.settings import Budget
from restorekit.weights import default_model, find_weights, weights_state
from restorekit.weights.files import load_weights, recipe_of, save_weights, start_from
from restorekit.weights.find import shipped_weights
from restorekit.weights.manifest import Shipped, add_to_manifest, file_sha256, read_manifest, verify

MODEL = "pix2pix-small"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    monkeypatch.setenv("RESTOREKIT_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def recipe():
    return apply_overrides(model_recipe(registry(), MODEL), ["generator.width=4", "generator.latent=8"])


@pytest.fixture
def network(recipe):
    return build_generator(recipe)


@pytest.fixture
def file(tmp_path, recipe, network):
    path = tmp_path / "small.safetensors"
    save_weights(path, network, recipe)
    return path


@pytest.fixture
def component():
    return registry().find("model", MODEL)


def test_a_file_carries_its_recipe_and_its_state(file, recipe, network):
    assert recipe_of(file) == recipe
    other = build_generator(apply_overrides(recipe, ["seed=5"]))
    load_weights(file, other)
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_half_storage_keeps_a_batch_norms_small_variance(tmp_path, recipe, network):
    norm = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.running_var.fill_(1e-9)  # in float16 it would be 0
    save_weights(tmp_path / "half.safetensors", network, recipe, half=True)
    other = build_generator(recipe)
    load_weights(tmp_path / "half.safetensors", other)
    name = next(key for key, value in network.state_dict().items() if torch.equal(value, norm.running_var))
    assert torch.equal(other.state_dict()[name], norm.running_var)
    assert all(p.dtype == torch.float32 for p in other.parameters())


def test_half_storage_halves_the_file_and_loads_as_float32(tmp_path, file, recipe, network):
    half = tmp_path / "half.safetensors"
    save_weights(half, network, recipe, half=True)
    assert half.stat().st_size < 0.75 * file.stat().st_size
    load_weights(half, network)
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_values_that_are_not_finite_are_refused(tmp_path, file, recipe, network):
    norm = next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    norm.running_var[0] = float("inf")
    damage = "is damaged: 1 of the .* values of .*running_var are not finite"
    with pytest.raises(WeightsError, match=damage):
        save_weights(tmp_path / "new.safetensors", network, recipe)
    assert not (tmp_path / "new.safetensors").exists()
    spoiled = tmp_path / "spoiled.safetensors"
    save_file(network.state_dict(), spoiled, {"format": "pt"})
    fresh = build_generator(recipe)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    with pytest.raises(WeightsError, match=damage):
        start_from(spoiled, fresh)
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
    with pytest.raises(WeightsError, match=damage):
        load_weights(spoiled, fresh)


def test_parameters_too_large_for_half_storage_are_refused(tmp_path, recipe, network):
    with torch.no_grad():
        next(network.parameters())[0] = 1e6
    with pytest.raises(WeightsError, match="not finite"):
        save_weights(tmp_path / "half.safetensors", network, recipe, half=True)


def test_load_builds_the_network_that_the_file_describes(file):
    restorer = restorekit.load(MODEL, file, device="cpu", precision="fp32")
    assert isinstance(restorer, Restorer)
    assert restorer.info.model == MODEL
    assert restorer.info.width == "latent 8, width 4"
    assert not restorer.info.adaptive
    image = torch.rand(3, 37, 41)
    restored = restorer.restore(image)
    assert restored.shape == image.shape
    assert torch.equal(restored, restorekit.restore(image, MODEL, file, device="cpu", precision="fp32"))


def test_the_users_file_of_the_models_name_comes_first(own_folder, component, recipe, network):
    own_folder.mkdir()
    save_weights(own_folder / f"{MODEL}.safetensors", network, recipe)
    assert weights_state(component.entry) == "user"
    assert find_weights(component).source == "user folder"


def test_a_run_gives_its_best_weights_then_its_last(tmp_path, component, recipe, network):
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    with pytest.raises(WeightsError, match="holds no weights"):
        find_weights(component, run)
    for name in ("last", "best-psnr-rgb"):
        save_weights(run / "weights" / f"{name}.safetensors", network, recipe)
        assert find_weights(component, run).path.stem == name


def test_what_is_not_there_is_said_with_what_to_do(component):
    with pytest.raises(WeightsError, match="run folder, hf://"):
        find_weights(component, "nothing-of-that-name")


def test_the_models_own_name_gives_the_weights_that_it_has(component, own_folder, recipe, network):
    assert find_weights(component, MODEL) == find_weights(component)
    own_folder.mkdir()
    save_weights(own_folder / f"{MODEL}.safetensors", network, recipe)
    assert find_weights(component, MODEL).path == own_folder / f"{MODEL}.safetensors"
    with pytest.raises(WeightsError, match="has no weights and needs none to restore"):
        find_weights(registry().find("model", "rain2avoid-plus"), "rain2avoid-plus")


def test_an_empty_folder_of_the_models_name_is_not_taken_for_its_weights(
    component, own_folder, network, recipe, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / MODEL).mkdir()
    assert find_weights(component, MODEL).source.startswith("shipped")
    with pytest.raises(WeightsError, match="holds no weights"):
        find_weights(component, f"./{MODEL}")
    save_weights(tmp_path / MODEL / "last.safetensors", network, recipe)
    assert find_weights(component, MODEL).source == f"run {MODEL} (last)"


def test_a_file_to_start_from_needs_no_installed_model(file):
    assert start_of("not-installed", str(file)) == file
    assert start_of(MODEL, None) is None
    with pytest.raises(UnknownNameError, match="no model called 'not-installed'"):
        start_of("not-installed", "not-installed")


def test_a_model_that_needs_no_weights_has_a_name_too():
    assert load("rain2avoid-plus", "rain2avoid-plus", device="cpu").info.adaptive


def test_a_hub_address_without_network_is_a_clear_error(component, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="Without network"):
        find_weights(component, "hf://nobody/nothing@main")
    with pytest.raises(WeightsError, match="hf://owner/repo"):
        find_weights(component, "hf://nobody")


def test_a_changed_byte_fails_verification(tmp_path, file):
    add_to_manifest(tmp_path, MODEL, file.name)
    shipped = read_manifest(tmp_path)[MODEL]
    verify(shipped)
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(WeightsError, match="is damaged: its SHA-256"):
        verify(shipped)
    file.unlink()
    with pytest.raises(WeightsError, match="are missing"):
        verify(shipped)


def test_a_manifest_keeps_what_the_weights_were_trained_on(tmp_path, file):
    copy = Path(shutil.copy(file, tmp_path / "copy.safetensors"))
    add_to_manifest(tmp_path, "a", copy.name, seen=(0, 2**64 - 1), gain=1.5)
    add_to_manifest(tmp_path, "b", copy.name)
    known = read_manifest(tmp_path)
    assert (known["a"].seen, known["a"].gain) == ((0, 2**64 - 1), 1.5)
    assert (known["b"].seen, known["b"].gain) == ((), None)


def _model(name, tmp_path, **fields):
    entry = Entry(name=name, kind="model", target="a:b", summary="s", tasks=("raindrop",), **fields)
    return Component(entry, Plugin("p", "p-dist", "1", "p", (entry,)))


class _Models:
    def __init__(self, *components):
        self.known = components

    def components(self, kind):
        return list(self.known)

    def unique_name(self, component):
        return component.entry.name


def test_the_default_model_declares_itself_or_gained_most(tmp_path, monkeypatch):
    gains = {"a": 1.0, "b": 3.0, "c": 2.0}
    monkeypatch.setattr("restorekit.weights.find.weights_state", lambda entry: "shipped")
    monkeypatch.setattr(
        "restorekit.weights.find.shipped_weights",
        lambda entry: Shipped(entry.name, tmp_path, "", gain=gains[entry.name]),
    )
    a, b, c = (_model(name, tmp_path) for name in "abc")
    name, why = default_model(_Models(a, b, c))
    assert name == "b"
    assert "a, c" in why
    declared = _model("c", tmp_path, default_for=("raindrop",))
    assert default_model(_Models(a, b, declared))[0] == "c"


def test_no_default_without_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("restorekit.weights.find.weights_state", lambda entry: "adapts")
    with pytest.raises(WeightsError, match="pip install"):
        default_model(_Models(_model("a", tmp_path)))


def test_only_a_model_is_a_default_and_of_its_own_tasks():
    with pytest.raises(PluginError, match="its own tasks: raindrop"):
        _model("a", None, default_for=("rain-streak",))


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text('{"a": {"file": 3}}')
    with pytest.raises(WeightsError, match=r"manifest\.json is damaged"):
        read_manifest(tmp_path)


def test_weights_of_another_width_are_refused(file, recipe):
    wider = build_generator(apply_overrides(recipe, ["generator.width=8"]))
    with pytest.raises(WeightsError, match="does not fit the network"):
        load_weights(file, wider)


def test_weights_of_another_model_are_refused_by_name(file):
    with pytest.raises(WeightsError, match="holds weights of model 'pix2pix-small', not of 'attngan'"):
        restorekit.load("attngan", file, device="cpu")


def test_a_truncated_file_is_refused(file, network):
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError):
        load_weights(file, network)
    with pytest.raises(WeightsError, match="weights import"):
        recipe_of(file)


def test_rain2avoid_adapts_within_a_budget():
    restorer = restorekit.load("rain2avoid", device="cpu", precision="fp32", budget=Budget(steps=1))
    assert isinstance(restorer, AdaptiveRestorer)
    assert restorer.info.adaptive
    image = torch.rand(1, 3, 40, 48)
    assert restorer.restore_tensor(image).shape == image.shape


def test_a_budget_asks_a_model_with_weights_to_learn_each_image(own_folder):
    recipe = apply_overrides(model_recipe(registry(), "rain2avoid"), ["generator.width=4"])
    own_folder.mkdir()
    save_weights(own_folder / "rain2avoid.safetensors", build_generator(recipe), recipe)
    assert not restorekit.load("rain2avoid", device="cpu").info.adaptive
    assert not restorekit.load("rain2avoid", device="cpu", budget=Budget()).info.adaptive
    assert restorekit.load("rain2avoid", device="cpu", budget=Budget(seconds=1)).info.adaptive
    given = own_folder / "rain2avoid.safetensors"
    assert not restorekit.load("rain2avoid", given, device="cpu", budget=Budget(seconds=1)).info.adaptive
    component = registry().find("model", "rain2avoid")
    assert not load_model(component, "rain2avoid", Settings(device="cpu")).info.adaptive
    assert load_model(component, "rain2avoid", Settings(device="cpu", budget_steps=3)).info.adaptive


def test_a_benchmark_gives_models_without_weights_six_seconds():
    component = registry().find("model", "rain2avoid-plus")

    def budget(**given):
        return load_model(component, "rain2avoid-plus", Settings(device="cpu", **given)).budget

    assert budget() == Budget(seconds=6)
    assert budget(budget_steps=3) == Budget(steps=3)


def test_the_commands_add_list_path_and_verify(file, own_folder):
    run = CliRunner()
    added = run.invoke(command, ["add", MODEL, str(file)], catch_exceptions=False)
    assert added.exit_code == 0
    assert file_sha256(own_folder / f"{MODEL}.safetensors") == file_sha256(file)
    rows = json.loads(run.invoke(command, ["list", "--json"]).output)
    assert {r["model"]: r["state"] for r in rows}[MODEL] == "user"
    assert run.invoke(command, ["path", MODEL]).output.strip().endswith(f"{MODEL}.safetensors")
    assert "files verified" in run.invoke(command, ["verify"], catch_exceptions=False).output
    with pytest.raises(WeightsError, match="--force"):
        run.invoke(command, ["add", MODEL, str(file)], catch_exceptions=False)


def test_adding_weights_to_themselves_or_outside_the_folder_is_refused(file, own_folder):
    def add(*options):
        CliRunner().invoke(command, ["add", MODEL, *map(str, options)], catch_exceptions=False)

    add(file, "--name", "mine")
    with pytest.raises(WeightsError, match="very file"):
        add("mine", "--name", "mine", "--force")
    for name in ("../mine", "a/b", ".."):
        with pytest.raises(WeightsError, match="without folders"):
            add(file, "--name", name)
    assert [path.name for path in own_folder.iterdir()] == ["mine.safetensors"]
    assert file_sha256(own_folder / "mine.safetensors") == file_sha256(file)


def test_import_writes_a_file_that_restores(tmp_path, network):
    foreign, target = tmp_path / "foreign.pth", tmp_path / "mine.safetensors"
    torch.save(network.state_dict(), foreign)
    sets = ["--set", "generator.width=4", "--set", "generator.latent=8"]
    result = CliRunner().invoke(
        command, ["import", MODEL, str(foreign), "-o", str(target), *sets], catch_exceptions=False
    )
    assert result.exit_code == 0
    image = torch.rand(1, 3, 32, 32)
    expected = Restorer(network, device="cpu", precision="fp32").restore_tensor(image)
    assert torch.equal(restorekit.load(MODEL, target, device="cpu", precision="fp32").restore_tensor(image), expected)


def test_every_shipped_file_matches_its_manifest():
    for component in (c for c in registry().components("model") if c.entry.weights):
        item = shipped_weights(component.entry)
        assert isinstance(item, Shipped), component.entry.name
        verify(item)
        assert recipe_of(item.path) is not None


def test_cards_name_the_recipe_beside_them():
    """A change to what a recipe's digest covers must not give shipped weights another identity."""
    cards = list((Path(restorekit.__file__).parents[1] / "plugins").glob("*/restorekit_*/weights/*.md"))
    assert cards
    for card in cards:
        found = re.search(r"recipe `(\w+)` in `(.+?)`", card.read_text(encoding="utf-8"))
        assert found, card.name
        assert read_recipe_file(card.with_name(found[2])).digest() == found[1], card.name


def test_restore_can_be_called_before_and_after_its_package_is_imported(file):
    program = """
import torch, restorekit
image = torch.rand(3, 32, 32)
first = restorekit.restore(image, "pix2pix-small", FILE, device="cpu")
import restorekit.restoring.tiling
assert torch.equal(first, restorekit.restore(image, model="pix2pix-small", weights=FILE, device="cpu"))
"""
    program = program.replace("FILE", repr(str(file)))
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


SHIPPED = [c.entry.name for c in registry().components("model") if c.entry.weights]


@pytest.mark.skipif(
    pick_precision("auto", torch.device("cpu")) != "bf16",
    reason="this CPU only emulates bf16, tens of times slower than float32",
)
@pytest.mark.parametrize("model", SHIPPED)
def test_bf16_costs_less_than_a_twentieth_of_a_decibel(model):
    """On the middle of three built-in images; benchmarks/performance.py --parts quality measures whole ones."""
    pairs = resolve("raindrop@builtin" if model_recipe(registry(), model).task == "raindrop" else "rain100l@builtin")
    scores = []
    for precision in ("fp32", "bf16"):
        restorer = load(model, device="cpu", precision=precision)
        for index in (0, 6, 12):
            sample = pairs.read(index)
            clean, degraded = (
                torch.tensor(p[80:208, 80:208]).movedim(-1, 0)[None] / 255 for p in (sample.clean, sample.degraded)
            )
            scores.append(float(PSNR("rgb")(restorer.restore_tensor(degraded), clean)))
    exact, fast = scores[:3], scores[3:]
    assert exact != fast
    assert sum(fast) / 3 == pytest.approx(sum(exact) / 3, abs=0.05)


# ---- a recipe that a weights file carries is read as anybody's ----


def carrying(path, network, recipe, change):
    """Write a weights file whose recipe's text `change` has gone over."""
    save_weights(path, network, recipe)
    with safe_open(path, "pt") as file:
        facts = dict(file.metadata())
    facts["restorekit.recipe"] = change(facts["restorekit.recipe"])
    save_file(network.state_dict(), path, facts)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("encoder-decoder", "encoder-dekoder"), "no generator called 'encoder-dekoder'. Did"),
        (lambda text: text.replace("latent = 8", "latent = 100000000"), r"needs at least [\d,.]+ GiB for its weights"),
        (lambda text: text.replace("latent = 8", "lateral = 8"), "has no setting 'lateral'"),
        (lambda text: text.replace("seed = 0", "seed = " + "9" * 5000), "is not valid TOML"),
        (lambda text: text.replace("seed = 0", "seed = 9223372036854775808"), "field 'seed'"),
        (lambda text: "x = " + "[" * 300 + "]" * 300 + "\n" + text, "there is no field 'x'|nested too deeply"),
    ],
)
def test_a_weights_file_with_a_recipe_that_cannot_be_used_is_named(tmp_path, network, recipe, change, said):
    path = carrying(tmp_path / "x.safetensors", network, recipe, change)
    with pytest.raises(WeightsError, match=rf"{path}.*({said})"):
        load(MODEL, path, device="cpu")


def test_a_network_that_no_memory_holds_is_refused_before_it_is_built(monkeypatch):
    recipe = model_recipe(registry(), MODEL)
    free = SimpleNamespace(available=2**20)
    monkeypatch.setattr("restorekit.bounded.psutil.virtual_memory", lambda: free)
    with pytest.raises(
        RecipeError, match=r"generator 'encoder-decoder' needs at least .* GiB .* and 0\.0 GiB are free"
    ):
        build_generator(recipe)
    with pytest.raises(RecipeError, match="discriminator 'patchgan' needs at least"):
        build_discriminator(apply_overrides(recipe, ["discriminator.width=4096"]))
    free.available = 2**33
    assert build_generator(recipe)
