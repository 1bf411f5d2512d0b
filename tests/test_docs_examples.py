"""The examples of the documentation run: shell lines and Python blocks, page by page, in order."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest
import stand_ins
import torch
from examples import NOT_RUN, Stage, blocks, shell_lines

import restorekit.runtime.restorer
from restorekit.cli.main import cli
from restorekit.recipe import from_toml

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    page
    for page in (*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("plugins/*/README.md"))
    if any(blocks(page.read_text(encoding="utf-8")))
)
# All are run whole, but for these, with why not.
ELSEWHERE = {
    "docs/plugins/examples.md": "test_plugin_examples.py runs it, and lets the models of the page learn something",
    "docs/plugins/tutorial.md": "test_publishing.py walks it, with a package that changes on the way",
    "docs/plugins/publishing.md": "test_publishing.py runs it, with an index of its own",
    "docs/performance.md": "takes from minutes to days; a test below tries its scripts and options",
}
RUN = [page for page in PAGES if page.relative_to(REPOSITORY).as_posix() not in ELSEWHERE]
CLIENT = "gradio_client"  # an example that uses it needs the running page; tests of the page run it
LANGUAGES = {"sh", "python", "toml", "json", "text"}  # text is for reading


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """An empty folder as working directory, with its own data sets and weights."""
    monkeypatch.chdir(tmp_path)
    for name, value in stand_ins.environment(tmp_path, None).items():
        monkeypatch.setenv(name, value)
    stand_ins.fake_hub(monkeypatch)
    monkeypatch.setitem(sys.modules, "restorekit_runtime", restorekit.runtime.restorer)  # the runtime under its name
    return Stage(tmp_path)


def names_of_examples() -> dict[str, object]:
    """Return what the Python examples take for given."""
    image = torch.rand(1, 3, 64, 64)
    return {
        "array": np.zeros((64, 64, 3), np.uint8),
        "pixels": np.zeros((64, 64, 3), np.uint8),
        **dict.fromkeys(("image", "degraded", "restored", "clean"), image),
    }


def run_python(stage: Stage, code: str, names: dict[str, object], page: Path) -> None:
    """Run a Python block. Those of the plugin guide are files of a package, or need it: test_docs.py runs them."""
    if page.parent.name == "plugins" or CLIENT in code:
        return
    for file in stand_ins.FILES:
        if f'"{file}"' in code:
            stand_ins.provide(stage.folder, [file])
    exec(compile(code, str(page), "exec"), names)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUN, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_examples_of_a_page_run(page, stage):
    names = names_of_examples()
    for language, code in blocks(page.read_text(encoding="utf-8")):
        assert language in LANGUAGES, f"no test knows how to run {language}"
        if language == "sh":
            for line in shell_lines(code):
                stage.run_line(line)
        if language == "python":
            run_python(stage, code, names, page)
        if language == "json":
            assert json.loads(code)
        if language == "toml" and "project" not in tomllib.loads(code):
            assert from_toml(code).name


@pytest.mark.slow
def test_the_page_on_performance_names_what_there_is(stage):
    """Its scripts start and have the options; its benchmarks are parsed to the last option."""
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    lines = [line for language, code in blocks(page) if language == "sh" for line in shell_lines(code)]
    assert len(lines) > 8
    for line in lines:
        if line.startswith("restorekit "):
            stage.parse(shlex.split(line, comments=True)[1:])
        else:
            stage.run_line(line)


@pytest.mark.slow
def test_what_a_run_logs_is_what_the_guide_says(stage):
    stage.run_line(
        "restorekit train pix2pix-small --data my-pairs/ --val my-pairs/ -o run --log-every 1 --set eval_every=1"
    )
    logs = ((stage.folder / "run" / name).read_text(encoding="utf-8") for name in ("log.csv", "validation.csv"))
    columns = {column for log in logs for column in log.splitlines()[0].split(",")} - {"step"}
    guide = (DOCS / "plugins" / "hooks.md").read_text(encoding="utf-8").partition("## What is logged")[2]
    first_cells = re.findall(r"^\| (`.+?) \|", guide, re.MULTILINE)
    names = [name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)]
    patterns = {name: re.sub("[A-Z]+", r"[a-z0-9-]+", name) for name in names}
    assert [c for c in sorted(columns) if not any(re.fullmatch(p, c) for p in patterns.values())] == []
    assert [n for n, p in patterns.items() if not any(re.fullmatch(p, c) for c in columns)] == []


@pytest.mark.parametrize("name", ["restore", "export", "compare", "serve"])
def test_every_option_is_in_an_example_that_is_run(name):
    code = [code for page in RUN for kind, code in blocks(page.read_text(encoding="utf-8")) if kind == "sh"]
    lines = [line for block in code for line in shell_lines(block) if f"restorekit {name} " in line]
    used = {word.partition("=")[0] for line in lines for word in shlex.split(line, comments=True)}
    command = cli.get_command(click.Context(cli), name)
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not used & {*option.opts, *option.secondary_opts, option.envvar}] == []


def test_every_exception_is_still_needed():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [begin for begin in NOT_RUN if f"restorekit {begin}" not in text] == []


def test_an_unknown_kind_of_line_fails(stage):
    with pytest.raises(pytest.fail.Exception, match="no rule"):
        stage.run_line("curl https://example.org")


def test_a_wrong_option_fails(stage):
    with pytest.raises(AssertionError, match="No such option"):
        stage.run_line("restorekit models --colour")
