"""A plugin goes the way of docs/plugins/tutorial.md and publishing.md: from the scaffold to others' environments."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
import stand_ins
from examples import blocks, shell_lines
from own_env import OwnEnvironment
from package_index import running_index

from restorekit.plugin.scaffold import new_plugin

PAGES = Path(__file__).resolve().parents[1] / "docs" / "plugins"
SHORT = ["steps=4", "data.crop=64", "data.batch=2", "precision=fp32"]
NO_TWINE = "twine is not installed (pip install twine)"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("twine") is None, reason=NO_TWINE),
]


def steps_of(page: str) -> list[tuple[str, str]]:
    """Return (kind, text) of a page: each line of its shell blocks, each Python block."""
    found = blocks((PAGES / page).read_text(encoding="utf-8"))
    return [(kind, part) for kind, code in found for part in (shell_lines(code) if kind == "sh" else [code])]


LINES = [line for _, line in steps_of("publishing.md")]


def run(line: str, environment: OwnEnvironment, variables: dict[str, str]) -> str:
    """Run one line of the page; what it builds with comes from this environment, and not from the network."""
    place = environment.place
    words = [str(path) for word in shlex.split(line) for path in ("*" in word and [*place.glob(word)]) or [word]]
    words = words[2:] if words[:2] == ["python", "-m"] else words
    if words[0] == "build":
        words[1:1] = ["--no-isolation"]
    if words[:2] == ["pip", "install"] and "-e" in words:
        words += ["--no-build-isolation", "--no-deps", "--no-index"]
    if words[:2] == ["restorekit", "train"]:
        words += [word for setting in SHORT for word in ("--set", setting)]
    return environment.run(*words, **variables)


def test_the_page_is_walked_from_build_to_install(tmp_path):
    new_plugin("my-model", "model", tmp_path / "restorekit-my-model")
    upload = next(number for number, line in enumerate(LINES) if line.startswith("twine upload"))
    author = OwnEnvironment(tmp_path / "author", tmp_path, "my-model")
    stranger = OwnEnvironment(tmp_path / "stranger", tmp_path, "my-model")
    with running_index() as index:
        for line in LINES[: upload + 1]:
            shown = run(line, author, index.environment)
            assert "WARNING" not in shown, f"{line}\n{shown}"
        assert sorted(index.files) == [
            "restorekit_my_model-0.1.0-py3-none-any.whl", "restorekit_my_model-0.1.0.tar.gz"
        ]  # fmt: skip
        assert {form["license_expression"] for form in index.forms.values()} == {"MIT"}
        assert all(form["description"] and form["requires_python"] for form in index.forms.values())
        for line in LINES[upload + 1 :]:
            run(line, stranger, index.environment)
        assert index.served[0].endswith(".whl")
        with pytest.raises(AssertionError, match="is there already"):
            run(LINES[upload], author, index.environment)
    assert "my-model" in stranger.run("restorekit", "plugins")


def test_a_source_package_alone_installs(tmp_path):
    """For whoever takes no wheels: it holds what it is built from."""
    new_plugin("my-model", "model", tmp_path / "restorekit-my-model")
    author = OwnEnvironment(tmp_path / "author", tmp_path, "my-model")
    author.run("build", "--no-isolation", "--sdist", "restorekit-my-model")
    [archive] = (tmp_path / "restorekit-my-model" / "dist").iterdir()
    author.install(str(archive))
    assert "my-model" in author.run("restorekit", "plugins")


def test_the_tutorial_is_walked_from_the_scaffold_to_a_wheel_with_weights(tmp_path):
    author = OwnEnvironment(tmp_path / "author", tmp_path, "my-model")
    stand_ins.photographs(tmp_path / "photographs")
    shown = {}
    for kind, text in steps_of("tutorial.md"):
        if kind == "python":
            path, _, code = text.removeprefix("# ").partition("\n")
            (tmp_path / path).write_text(code, encoding="utf-8")
            continue
        new = text.startswith("restorekit plugin new")
        shown[text] = run(text, author, {"RESTOREKIT_PLUGINS": ""} if new else {})
        if text.startswith("restorekit weights pack"):
            module = tmp_path / "restorekit-my-model" / "restorekit_my_model" / "__init__.py"
            module.write_text(module.read_text().replace("# weights=", "weights="))
    assert "conforms: 2 passed" in shown["restorekit plugins check my-model --only 'weights-*'"]
    assert "weights licence: CC-BY-4.0" in shown["restorekit models show my-model"]
    author.run("ruff", "check", "restorekit-my-model")
    author.run("ruff", "format", "--check", "restorekit-my-model")
    [wheel] = (tmp_path / "restorekit-my-model" / "dist").glob("*.whl")
    with ZipFile(wheel) as file:
        assert "restorekit_my_model/weights/manifest.json" in file.namelist()
