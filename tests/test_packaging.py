"""The five packages build, hold what they must, and work when they are installed from their wheels alone.

The empty environment of the last tests sees third-party packages through links to those of this environment, so that
gigabytes need not be fetched again: exactly the packages that restorekit depends on, directly or not, and none of the
developers' tools. restorekit itself comes from the wheels.
"""

from __future__ import annotations

import configparser
import email
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECTS = {"restorekit": REPOSITORY} | {p.name: p for p in sorted((REPOSITORY / "plugins").glob("restorekit-*"))}
PLUGINS = [name for name in PROJECTS if name != "restorekit"]
MODELS = {
    "attngan", "cgan", "pix2pix", "pix2pix-balanced", "pix2pix-both", "pix2pix-channel", "pix2pix-small",
    "pix2pix-spatial", "rain2avoid", "remaen", "derain",
}  # fmt: skip
MEGABYTE = 1_000_000

# One process runs all of them, so that the wheels are built once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def run(*command, **options):
    """Run a command and return its standard output; fail with everything that it said."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Source packages of all five projects, and wheels made of those: distribution -> wheel."""
    folder = tmp_path_factory.mktemp("dist")
    for project in PROJECTS.values():
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project)
    built = {path.name.split("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}
    assert set(built) == set(PROJECTS)
    return built


def names_in(wheel: Path) -> set[str]:
    """Return the names of all files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def read(wheel: Path, ending: str) -> str:
    """Return the text of the one file with this ending."""
    [name] = [name for name in names_in(wheel) if name.endswith(ending)]
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name).decode()


def package(name: str) -> str:
    return name.replace("-", "_")


@pytest.mark.parametrize("name", PROJECTS)
def test_wheel_holds_its_package_and_nothing_else(wheels, name):
    source = PROJECTS[name] / package(name)
    files = (p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    expected = {p.relative_to(PROJECTS[name]).as_posix() for p in files}
    assert f"{package(name)}/py.typed" in expected
    found = names_in(wheels[name])
    assert {n for n in found if ".dist-info/" not in n} == expected
    assert [n for n in found if n.endswith("/licenses/LICENSE")]
    assert not [n for n in found if re.search(r"(^|/)(tests?_|tests/|conftest)", n) and "/templates/" not in n]


def test_core_brings_templates_photographs_and_the_page(wheels):
    found = names_in(wheels["restorekit"])
    for kind in ("model", "loss", "metric", "prior"):
        assert f"restorekit/plugin/templates/{kind}/package/__init__.py.tmpl" in found
    assert "restorekit/plugin/templates/common/tests/test_plugin.py.tmpl" in found
    assert len([n for n in found if n.startswith("restorekit/data/builtin/photos/") and n.endswith(".jpg")]) >= 9
    assert "restorekit/data/builtin/photos/ATTRIBUTION.md" in found
    assert {"restorekit/benchmark/page.html", "restorekit/benchmark/parts.html"} <= set(found)


@pytest.mark.parametrize("name", PROJECTS)
def test_metadata(wheels, name):
    metadata = email.message_from_string(read(wheels[name], ".dist-info/METADATA"))
    project = tomllib.loads((PROJECTS[name] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Name"] == name
    assert metadata["Version"] == project["version"] == core["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().startswith(f"# {name}")
    needed = {Requirement(line).name for line in metadata.get_all("Requires-Dist", [])}
    if name != "restorekit":
        assert "restorekit" in needed
        assert not needed & set(PLUGINS), "plugins depend on nothing of each other"


def test_changelog_names_the_version():
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## {version}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROJECTS)
def test_entry_points(wheels, name):
    points = configparser.ConfigParser()
    points.read_string(read(wheels[name], ".dist-info/entry_points.txt"))
    if name == "restorekit":
        assert dict(points["console_scripts"]) == {"restorekit": "restorekit.__main__:main"}
    else:
        assert dict(points["restorekit.v1"]) == {name.removeprefix("restorekit-"): package(name)}


@pytest.mark.parametrize("name", PLUGINS)
def test_wheel_holds_its_weights(wheels, name):
    manifest = PROJECTS[name] / package(name) / "weights" / "manifest.json"
    listed = json.loads(manifest.read_text(encoding="utf-8"))
    assert listed
    with zipfile.ZipFile(wheels[name]) as archive:
        for item in listed.values():
            content = archive.read(f"{package(name)}/weights/{item['file']}")
            assert hashlib.sha256(content).hexdigest() == item["sha256"], item["file"]


def test_wheels_are_not_too_large(wheels):
    sizes = {name: path.stat().st_size / MEGABYTE for name, path in wheels.items()}
    assert all(size <= 26 for size in sizes.values()), sizes
    assert sum(sizes.values()) <= 50, sizes


def runtime_distributions():
    """Return the installed distributions that the five projects need, directly or not, themselves left out."""
    waiting = [Requirement(line) for name in PROJECTS for line in distribution(name).requires or []]
    found = {}
    while waiting:
        requirement = waiting.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        key = (requirement.name.lower().replace("_", "-"), frozenset(extras))
        if key in found or key[0] in PROJECTS:
            continue
        try:
            found[key] = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # an optional part of another system, or one that a test of the environment below would miss
        for line in found[key].requires or []:
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in {*extras, ""}):
                inner.marker = None
                waiting.append(inner)
    return list(found.values())


def link_third_party(shelf: Path) -> None:
    """Fill a folder with links to what `runtime_distributions` consist of."""
    shelf.mkdir()
    for found in runtime_distributions():
        for file in found.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (shelf / top).exists():
                (shelf / top).symlink_to(Path(str(found.locate_file(top))).resolve())


class Environment:
    """A virtual environment that knows nothing of this repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=False, symlinks=os.name != "nt")
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.bin = folder / "venv" / scripts
        (folder / "home").mkdir()
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RESTOREKIT", "PIP_"))}
        kept.pop("VIRTUAL_ENV", None)
        self.variables = kept | {
            "HOME": str(folder / "home"), "XDG_DATA_HOME": str(folder / "home/data"), "NO_COLOR": "1", "COLUMNS": "200"
        }  # fmt: skip

    def python(self, program: str) -> str:
        return run(self.bin / "python", "-c", program, cwd=self.folder, env=self.variables)

    def restorekit(self, *arguments: object) -> str:
        return run(self.bin / "restorekit", *arguments, cwd=self.folder, env=self.variables)


@pytest.fixture(scope="session")
def installed(wheels, tmp_path_factory):
    """An environment with the five wheels, installed by pip with their dependencies checked, without an index."""
    environment = Environment(tmp_path_factory.mktemp("environment"))
    site = Path(environment.python("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    shelf = environment.folder / "third-party"
    link_third_party(shelf)
    (site / "third_party.pth").write_text(f"{shelf}\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--python", environment.bin / "python", "--disable-pip-version-check")
    run(*pip, "install", "--no-index", *wheels.values(), cwd=environment.folder, env=environment.variables)
    return environment


def test_installed_from_the_wheels_alone(installed):
    places = installed.python(
        "import restorekit, restorekit_pix2pix, restorekit_attngan, restorekit_remaen, restorekit_rain2avoid as r\n"
        "print(restorekit.__file__, restorekit_pix2pix.__file__, restorekit_attngan.__file__,"
        " restorekit_remaen.__file__, r.__file__, sep='\\n')"
    )
    assert all(Path(place).is_relative_to(installed.folder / "venv") for place in places.split())
    missing = installed.python(
        "import importlib.util; print([n for n in ('skimage', 'pytest', 'hypothesis') if importlib.util.find_spec(n)])"
    )
    assert missing.strip() == "[]", "developers' tools must not be there: restorekit has to do without"


def test_installed_models_are_listed(installed):
    rows = json.loads(installed.restorekit("models", "--json"))
    assert {row["name"] for row in rows} >= MODELS
    assert {row["distribution"] for row in rows} == set(PLUGINS)


def test_installed_core_and_plugins_work(installed):
    assert "18 pairs" in installed.restorekit("data", "check", "raindrop@builtin")
    assert "verified" in installed.restorekit("weights", "verify")
    installed.restorekit("plugin", "new", "fresh", "-o", installed.folder / "fresh")
    assert (installed.folder / "fresh" / "restorekit_fresh" / "network.py").exists()
    built = installed.python(
        "import restorekit\n"
        "for kind in ('generator', 'discriminator', 'prior'):\n"
        "    for component in restorekit.entries(kind):\n"
        "        restorekit.create(kind, component.id)\n"
        "        print(component.id)"
    )
    assert len(built.split()) >= 12
