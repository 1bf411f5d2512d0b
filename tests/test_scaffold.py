"""`restorekit plugin new`: what it writes installs, trains and passes the checks unedited."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from restorekit.cli.main import cli
from restorekit.devices import pick_precision
from restorekit.errors import PluginError
from restorekit.plugin.scaffold import TEMPLATE_KINDS, new_plugin

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("kind", TEMPLATE_KINDS)
def test_package_is_complete(tmp_path, kind):
    folder = new_plugin("two-words", kind, tmp_path / "new")
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "restorekit-two-words"
    assert project["project"]["entry-points"] == {"restorekit.v1": {"two-words": "restorekit_two_words"}}
    assert (folder / "restorekit_two_words" / "py.typed").exists()
    assert (folder / "tests" / "test_restorekit_two_words.py").exists()
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert not [p for p in files if p.suffix == ".tmpl"]
    for file in files:
        text = file.read_text()
        assert "$" not in text, file
        if file.suffix == ".py":
            ast.parse(text)


@pytest.mark.parametrize("name", ["fresh", "a-rather-long-name-of-a-plugin"])
def test_sources_pass_ruff_and_its_formatter_unedited(tmp_path, name):
    for kind in TEMPLATE_KINDS:
        new_plugin(name, kind, tmp_path / kind)
    for command in (["check", "--extend-select", "E,F,W,UP,B"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_distributions_prefix_is_not_doubled(tmp_path):
    folder = new_plugin("restorekit-fresh", "loss", tmp_path / "new")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["license"], project["license-files"]) == ("restorekit-fresh", "MIT", ["LICENSE"])
    assert {".gitignore", "LICENSE", "CHANGELOG.md", ".github"} <= {path.name for path in folder.iterdir()}
    assert (folder / ".github" / "workflows" / "ci.yml").is_file()


@pytest.mark.parametrize("kind", [k for k in TEMPLATE_KINDS if k != "model"])
def test_component_passes_its_checks(tmp_path, fake_site, kind):
    _passes(tmp_path, fake_site, kind)


@pytest.mark.slow
def test_model_trains_and_passes_its_checks(tmp_path, fake_site):
    _passes(tmp_path, fake_site, "model")


def _passes(tmp_path, fake_site, kind):
    folder = new_plugin("fresh", kind, tmp_path / "new")
    points = "[restorekit.v1]\nfresh = restorekit_fresh\n"
    fake_site.add("restorekit-fresh", points)
    (fake_site.folder / "restorekit_fresh").symlink_to(folder / "restorekit_fresh")
    done = fake_site.restorekit("plugins", "check", "fresh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plugin 'fresh' conforms" in done.stdout
    assert "FAILED" not in done.stdout
    assert _skipped(done.stdout) == _skipped_here(kind)


def _skipped(report):
    return [line.split()[1] for line in report.splitlines() if line.startswith("skipped ")]


def _skipped_here(kind):
    """A whole model's bf16 check is skipped on CPUs that only emulate bf16."""
    emulated = pick_precision("auto", torch.device("cpu")) != "bf16"
    return ["model:fresh:losses-finite-under-bfloat16"] if kind == "model" and emulated else []


@pytest.mark.parametrize("name", ["", "Big", "two words", "under_score", "-x", "x-", "9lives", "../up", "a--b"])
def test_bad_names_are_refused(tmp_path, name):
    with pytest.raises(PluginError, match="not valid; use lower-case letters"):
        new_plugin(name, "model", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_taken_names_are_refused(tmp_path):
    with pytest.raises(PluginError, match="a plugin called 'core' is installed already"):
        new_plugin("core", "model", tmp_path / "new")


def test_unknown_kinds_are_refused(tmp_path):
    with pytest.raises(PluginError, match="no template for kind 'optimizer'; use one of model, generator"):
        new_plugin("fresh", "optimizer", tmp_path / "new")


def test_existing_folders_are_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(PluginError, match="is not an empty folder"):
        new_plugin("fresh", "loss", tmp_path)
    with pytest.raises(PluginError, match="is not an empty folder"):
        new_plugin("fresh", "loss", tmp_path / "mine.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="cannot be written"):
        new_plugin("fresh", "loss", tmp_path / "file" / "below")


def test_command(tmp_path):
    target = tmp_path / "new"
    result = CliRunner().invoke(cli, ["plugin", "new", "fresh", "--kind", "loss", "-o", str(target)])
    assert result.exit_code == 0, result.output
    assert "pip install -e" in result.output
    assert (target / "restorekit_fresh" / "loss.py").exists()
