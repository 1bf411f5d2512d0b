"""Checkpoints from elsewhere: what other programs write is found, unwrapped and loaded, and no code in it is run."""

from __future__ import annotations

import pickle

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import restorekit
from restorekit.cli.weights import command
from restorekit.errors import WeightsError
from restorekit.networks import build_generator
from restorekit.plugin.registry import registry
from restorekit.recipe import apply_overrides
from restorekit.recipe.check import model_recipe
from restorekit.weights.files import fit, save_weights
from restorekit.weights.foreign import convert_foreign, read_foreign

MODEL = "pix2pix-small"
SMALL = ("generator.width=4", "generator.latent=8")


@pytest.fixture
def recipe():
    return apply_overrides(model_recipe(registry(), MODEL), SMALL)


@pytest.fixture
def network(recipe):
    return build_generator(recipe)


@pytest.fixture
def file(tmp_path, recipe, network):
    path = tmp_path / "small.safetensors"
    save_weights(path, network, recipe)
    return path


def changed(state):
    """A state that is not that of the network."""
    return {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}


def prefixed(state, prefix):
    return {prefix + k: v for k, v in state.items()}


def critic(state):
    return {"conv.weight": torch.zeros(3, 3)}


def without_counters(state):
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


OPTIMIZER = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}

# name of the case -> what the program writes around the state
WRITTEN = {
    "a plain state dict": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "DDP": lambda s: prefixed(s, "module."),
    "BasicSR: params and params_ema": lambda s: {"params": changed(s), "params_ema": s},
    "params_ema first": lambda s: {"params_ema": s, "params": changed(s)},
    "state_dict_ema of timm": lambda s: {"state_dict": changed(s), "state_dict_ema": s, "optimizer": OPTIMIZER},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": OPTIMIZER, "loss": 0.1},
    "generator beside a discriminator": lambda s: {"discriminator": critic(s), "generator": s},
    "netG and netD": lambda s: {"netD": critic(s), "netG": s, "optG": OPTIMIZER},
    "Lightning": lambda s: {"state_dict": {**prefixed(s, "generator."), **prefixed(critic(s), "discriminator.")}},
    "Lightning with one network": lambda s: {"state_dict": prefixed(s, "model."), "pytorch-lightning_version": "2.1"},
    "torch.compile within DDP": lambda s: prefixed(s, "module._orig_mod."),
    "AveragedModel": lambda s: {"n_averaged": torch.tensor(5), **prefixed(s, "module.")},
    "nested": lambda s: {"checkpoint": {"models": {"generator": prefixed(s, "module.")}}},
    "before the counters of batch norms": without_counters,
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_the_field_writes_is_taken(tmp_path, network, recipe, case):
    path = tmp_path / "foreign.pth"
    torch.save(WRITTEN[case](network.state_dict()), path)
    other = build_generator(apply_overrides(recipe, ["seed=9"]))
    convert_foreign(other, read_foreign(path).state, "foreign.pth")
    for name, value in without_counters(network.state_dict()).items():
        assert torch.equal(other.state_dict()[name], value), name


def test_safetensors_of_another_program_are_taken(tmp_path, network, recipe):
    path = tmp_path / "model.safetensors"
    save_file(prefixed(network.state_dict(), "_orig_mod."), path)
    other = build_generator(apply_overrides(recipe, ["seed=9"]))
    convert_foreign(other, read_foreign(path).state, str(path))
    assert torch.equal(next(other.parameters()), next(network.parameters()))


def test_the_choice_is_said_and_key_chooses_another(tmp_path, network):
    path = tmp_path / "both.pth"
    state = network.state_dict()
    torch.save({"params": changed(state), "params_ema": state}, path)
    found = read_foreign(path)
    assert found.choice == "'params_ema' (averaged weights) was taken; the file also holds 'params'"
    name = next(iter(state))
    assert torch.equal(read_foreign(path, "params").state[name], state[name] + 1)
    with pytest.raises(WeightsError, match=r"holds no state under 'param'\. Did you mean 'params'"):
        read_foreign(path, "param")


def test_import_says_what_it_took(tmp_path, network):
    path, target = tmp_path / "both.pth", tmp_path / "mine.safetensors"
    torch.save({"params": network.state_dict(), "params_ema": network.state_dict()}, path)
    sets = [word for text in SMALL for word in ("--set", text)]
    result = CliRunner().invoke(command, ["import", MODEL, str(path), "-o", str(target), *sets], catch_exceptions=False)
    assert "'params_ema' (averaged weights) was taken" in result.output
    assert target.is_file()
    unnamed = CliRunner().invoke(command, ["import", MODEL, str(path), *sets, "--name", ""])
    assert isinstance(unnamed.exception, WeightsError)


def test_weights_take_a_foreign_checkpoint(tmp_path, caplog):
    network = build_generator(model_recipe(registry(), MODEL))
    path = tmp_path / "both.pth"
    torch.save({"params": changed(network.state_dict()), "params_ema": network.state_dict()}, path)
    restorer = restorekit.load(MODEL, path, device="cpu", precision="fp32")
    assert torch.equal(next(restorer.generator.parameters()), next(network.parameters()))
    assert "--key" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.double() * 0 + 1e300, "not finite"),
        (lambda v: v.to(torch.complex64), "is of type complex64"),
        (lambda v: v.to(torch.int32), "is of type int32"),
    ],
)
def test_numbers_that_the_network_cannot_hold_are_refused(network, change, message):
    name = next(iter(dict(network.named_parameters())))
    state = {**network.state_dict(), name: change(network.state_dict()[name])}
    with pytest.raises(WeightsError, match=message):
        fit(network, state, "x.pth")


def test_float8_is_read(network):
    name = next(iter(dict(network.named_parameters())))
    small = network.state_dict()[name].to(torch.float8_e4m3fn)
    fit(network, {**network.state_dict(), name: small}, "x.pth")
    assert torch.equal(network.state_dict()[name], small.float())


def test_a_pickle_called_safetensors_is_no_state(tmp_path):
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_foreign(path)


class _Evil:
    def __reduce__(self):
        return (print, ("code was run",))


def test_a_damaged_foreign_file_is_refused(tmp_path, file):
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_foreign(foreign)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"weight": _Evil()}))
    with pytest.raises(WeightsError, match="need code to be run are refused"):
        read_foreign(path)
    assert "code was run" not in capsys.readouterr().out


def test_keys_that_no_format_knows_are_listed(network):
    with pytest.raises(WeightsError, match=r"its keys \(strange"):
        convert_foreign(network, {"strange": torch.zeros(1)}, "x.pth")
