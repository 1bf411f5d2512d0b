"""A plugin goes the way of docs/plugins/publishing.md: built, checked, uploaded, installed by others from an index."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from examples import blocks, shell_lines
from own_env import OwnEnvironment
from package_index import running_index

from restorekit.plugin.scaffold import new_plugin

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plugins" / "publishing.md"
LINES = [line for kind, code in blocks(PAGE.read_text(encoding="utf-8")) if kind == "sh" for line in shell_lines(code)]
NO_TWINE = "twine is not installed (pip install twine)"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("twine") is None, reason=NO_TWINE),
]


def run(line: str, environment: OwnEnvironment, variables: dict[str, str]) -> str:
    """Run one line of the page; what it builds with comes from this environment, and not from the network."""
    words = [
        str(path) for word in shlex.split(line) for path in (environment.place.glob(word) if "*" in word else [word])
    ]
    words = words[2:] if words[:2] == ["python", "-m"] else words
    if words[0] == "build":
        words[1:1] = ["--no-isolation"]
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
