"""Packing a run's weights into a plugin, pushing them to a hub, and the licences of both code and weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from click.testing import CliRunner
from fakes import declared, installed
from torch import nn

from restorekit.cli.main import cli
from restorekit.errors import PluginError, WeightsError
from restorekit.networks import build_generator
from restorekit.plugin import Entry
from restorekit.plugin.registry import registry, stated_license
from restorekit.recipe import Recipe
from restorekit.weights import pack as packing
from restorekit.weights.files import read_facts, save_weights
from restorekit.weights.find import find_weights
from restorekit.weights.manifest import read_manifest, verify


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, degraded):
        return degraded + 1e-3 * self.layer(degraded)


RECIPE = Recipe.read({"name": "packed", "task": "raindrop", "generator": "packed-net", "losses": {"l1": {}}})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose best weights differ from its last, and a gain that is measured without rendering pictures."""
    monkeypatch.setattr(packing, "measured_gains", lambda network, task: [1.0, 2.0])
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"data": {"label": "mine@folder", "images": 7}}))
    with installed(declared("generator", "packed-net", Net)):
        for name, step in (("best-psnr-rgb", "4"), ("last", "9")):
            save_weights(
                folder / "weights" / f"{name}.safetensors", build_generator(RECIPE), RECIPE, {"restorekit.step": step}
            )
        yield folder


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "project" / "restorekit_mine"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    return folder


def test_the_best_weights_of_a_run_are_packed(run, package):
    command = ["weights", "pack", str(run), "-o", str(package.parent), "--license", "CC-BY-4.0"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert 'weights="restorekit_mine:weights"' in done.output
    shipped = read_manifest(package / "weights")["packed"]
    verify(shipped)
    assert (shipped.gain, shipped.license) == (1.5, "CC-BY-4.0")
    facts = read_facts(shipped.path)
    assert [facts[f"restorekit.{name}"] for name in ("step", "model", "license")] == ["4", "packed", "CC-BY-4.0"]
    card = shipped.path.with_suffix(".md").read_text()
    for text in ("mine@folder (7 images)", "step 4", "+1.50 dB", "CC-BY-4.0", shipped.sha256, "float16"):
        assert text in card
    again = CliRunner().invoke(cli, command)
    assert "give --force to replace it" in str(again.exception)


def test_float16_is_taken_only_where_it_costs_nothing(run, package, monkeypatch):
    gains = iter([[1.0], [0.985]])
    monkeypatch.setattr(packing, "measured_gains", lambda network, task: next(gains))
    done = packing.pack(str(run), package, "MIT")
    assert not done.half
    from safetensors.torch import load_file

    assert load_file(done.path)["layer.weight"].dtype == torch.float32


def test_weights_beyond_float16_stay_in_float32(run, package):
    path = run / "weights" / "best-psnr-rgb.safetensors"
    network = build_generator(RECIPE)
    torch.nn.init.constant_(network.layer.bias, 1e5)  # float16 ends at 65,504
    save_weights(path, network, RECIPE)
    done = packing.pack(str(run), package, "MIT")
    assert (done.half, done.half_costs, done.gain) == (False, None, 1.5)
    assert "float32" in done.path.with_suffix(".md").read_text()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"license": "free"}, PluginError, "license 'free' is no SPDX expression"),
        ({"run": "nowhere"}, WeightsError, "'nowhere' is neither a run nor a file of weights"),
        ({"package": "."}, WeightsError, "is no Python package, and holds none"),
    ],
)
def test_what_cannot_be_packed_is_refused(run, package, tmp_path, change, error, message):
    given = {"run": str(run), "package": package, "license": "MIT"} | change
    if "package" in change:
        (tmp_path / "empty").mkdir()
        given["package"] = tmp_path / "empty"
    with pytest.raises(error, match=message):
        packing.pack(**given)
    assert not (package / "weights").exists()


class Hub:
    """The calls of `HfApi` that are made, on folders."""

    root = Path()

    def create_repo(self, repository, private, exist_ok):
        (self.root / repository).mkdir(parents=True, exist_ok=exist_ok)

    def create_commit(self, repository, operations, commit_message):
        for operation in operations:
            with operation.as_file() as file:
                (self.root / repository / operation.path_in_repo).write_bytes(file.read())
        return SimpleNamespace(commit_url=f"hub/{repository}/commit/1")


def test_packed_weights_go_to_a_hub_and_come_back(run, package, tmp_path, monkeypatch):
    packing.pack(str(run), package, "CC-BY-4.0")
    Hub.root = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    done = CliRunner().invoke(cli, ["weights", "push", str(package), "hf://me/packed"])
    assert done.output == "hub/me/packed/commit/1\n", done.exception
    readme = (Hub.root / "me/packed/README.md").read_text()
    assert readme.startswith("---\nlibrary_name: restorekit\nlicense: cc-by-4.0\n---\n")
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda repository, file, revision: str(Hub.root / repository / file)
    )
    model = declared("model", "packed", RECIPE)
    assert read_facts(find_weights(model, "hf://me/packed").path)["restorekit.step"] == "4"


@pytest.mark.parametrize("address", ["me/packed", "hf://me", "hf://me/packed/file", "hf:///x"])
def test_addresses_that_are_none_are_refused(run, package, address):
    packing.pack(str(run), package, "MIT")
    with pytest.raises(WeightsError, match="is not of the form hf://owner/repo"):
        packing.push(package, address)


def test_damaged_weights_are_not_pushed(run, package):
    path = packing.pack(str(run), package, "MIT").path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="is damaged"):
        packing.push(package, "hf://me/packed")


# licences


def test_a_licence_is_an_spdx_expression_or_that_of_the_distribution():
    base = {"name": "x", "kind": "loss", "target": "a:b", "summary": "s"}
    assert Entry(**base).license == ""
    assert Entry(**base, license="MIT OR Apache-2.0").license
    with pytest.raises(PluginError, match=r"license 'GPL' is no SPDX expression; give one such as 'Apache-2\.0'"):
        Entry(**base, license="GPL")
    assert stated_license("restorekit") == "Apache-2.0"
    assert stated_license("no-such-distribution-as-this") == ""
    assert registry().find("loss", "l1").license == "Apache-2.0"
    assert declared("loss", "x", Net).license == "none stated"


def test_weights_have_a_licence_of_their_own():
    shown = CliRunner().invoke(cli, ["models", "show", "attngan"]).output
    assert "weights licence: CC-BY-NC-4.0\n" in shown
    assert "\nlicense: Apache-2.0\n" in shown
    values = json.loads(CliRunner().invoke(cli, ["models", "show", "attngan", "--json"]).output)
    assert values["weights_license"] == "CC-BY-NC-4.0"
    assert "CC-BY-NC-4.0" in CliRunner().invoke(cli, ["weights", "list"]).output
    assert "CC-BY-NC-4.0" in find_weights(registry().find("model", "attngan")).source


@pytest.mark.slow
def test_the_benchmark_states_the_licence_of_the_weights(tmp_path):
    options = ["--models", "cgan", "--dataset", "raindrop@builtin", "--limit", "1", "--device", "cpu"]
    done = CliRunner().invoke(cli, ["benchmark", *options, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    [row] = [line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if line.startswith("| cgan")]
    assert "CC-BY-NC-4.0" in row


def test_all_shipped_weights_state_their_licence():
    for component in registry().components("model"):
        if component.entry.weights:
            listed = CliRunner().invoke(cli, ["models", "show", component.id, "--json"]).output
            assert json.loads(listed)["weights_license"] not in ("", "none stated"), component.id
