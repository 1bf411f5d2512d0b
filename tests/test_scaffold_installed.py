"""What `plugin new` writes, as its author meets it: all kinds installed by pip outside of the repository, unedited."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from packaging.metadata import Metadata

from restorekit.devices import pick_precision
from restorekit.plugin.scaffold import TEMPLATE_KINDS, new_plugin

REPOSITORY = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("scaffold")]


@dataclass(frozen=True)
class Authored:
    """Projects by kind, and a Python that sees what pip installed of them, and this one's packages behind."""

    projects: dict[str, Path]
    python: Path
    installed: Path

    def run(self, kind: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a module in the folder of a project, with nothing of the repository on the path but the core."""
        return _run(self.python, *command, folder=self.projects[kind])


def _run(python: Path, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    variables |= {"OMP_NUM_THREADS": "1", "MYPY_CACHE_DIR": str(python.parents[2] / "mypy")}  # what all import, once
    return subprocess.run(
        [str(python), "-m", *command], capture_output=True, text=True, check=False, cwd=folder, env=variables
    )


@pytest.fixture(scope="module")
def authored(tmp_path_factory: pytest.TempPathFactory) -> Authored:
    """One project of each kind, installed together into an environment of their own, without network."""
    folder = tmp_path_factory.mktemp("authors")
    projects = {kind: new_plugin(f"fresh-{kind}", kind, folder / kind) for kind in TEMPLATE_KINDS}
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    inner = next((environment / "lib").glob("python*")) / "site-packages"
    outer = [path for path in sys.path if path.endswith("site-packages")]
    (inner / "outer.pth").write_text("\n".join([*outer, str(REPOSITORY)]) + "\n")
    python = environment / "bin" / "python"
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir"]
    done = _run(python, "pip", "install", *options, *map(str, projects.values()), folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return Authored(projects, python, inner)


@pytest.mark.parametrize("kind", TEMPLATE_KINDS)
def test_its_own_tests_pass(authored, kind):
    done = authored.run(kind, "pytest", "-q", "-rs", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    emulated = pick_precision("auto", torch.device("cpu")) != "bf16"
    assert ("SKIPPED" in done.stdout) == (kind == "model" and emulated), done.stdout


@pytest.mark.parametrize("kind", TEMPLATE_KINDS)
@pytest.mark.parametrize("command", [["ruff", "check", "."], ["ruff", "format", "--check", "."]], ids=" ".join)
def test_ruff_has_nothing_to_say(authored, kind, command):
    """By the project's own settings and, beyond them, by more rules."""
    more = ["--extend-select", "E,F,W,I,UP,B"] if command[1] == "check" else []
    done = authored.run(kind, *command, *more)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", TEMPLATE_KINDS)
def test_mypy_strict_has_nothing_to_say(authored, kind):
    """Called as the CI file of the project calls it; the project asks for `strict`."""
    assert "strict = true" in (authored.projects[kind] / "pyproject.toml").read_text()
    done = authored.run(kind, "mypy", "--python-executable", str(authored.python))
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_are_listed_from_where_pip_put_them(authored):
    done = authored.run("model", "restorekit", "plugins", "--json")
    assert done.returncode == 0, done.stderr
    for kind in TEMPLATE_KINDS:
        assert f"fresh-{kind}" in done.stdout
        assert (authored.installed / f"restorekit_fresh_{kind}" / "py.typed").is_file()


def test_a_wheel_holds_the_whole_package(authored, tmp_path):
    """As docs/plugins/publishing.md has it: with metadata that an index takes, and nothing of the tests inside."""
    built = authored.run("model", "build", "--no-isolation", "--outdir", str(tmp_path))
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel] = tmp_path.glob("*.whl")
    assert [path.suffixes[-1] for path in sorted(tmp_path.iterdir())] == [".whl", ".gz"]
    with ZipFile(wheel) as file:
        names = file.namelist()
        [described] = [file.read(name) for name in names if name.endswith("/METADATA")]
    about = Metadata.from_email(described, validate=True)  # what an index refuses, raises
    assert (about.name, about.license_expression) == ("restorekit-fresh-model", "MIT")
    assert about.description
    for name in ("__init__.py", "network.py", "recipes.py", "py.typed"):
        assert f"restorekit_fresh_model/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "test" in name]
