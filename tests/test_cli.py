"""The command line: fast listings, stable JSON, plugins' own commands in isolation, errors without traceback."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from restorekit.cli.main import cli
from restorekit.commands import COMMANDS

HEAVY = ("torch", "torchvision", "kornia", "timm", "accelerate", "matplotlib", "scipy", "numpy", "pydantic", "rich")
LISTINGS = ("generators", "discriminators", "losses", "metrics", "datasets", "models", "plugins", "priors")
FIELDS = ["id", "name", "kind", "summary", "plugin", "distribution", "version", "tasks", "needs", "gives",
          "paper", "license", "deviations", "target"]  # fmt: skip

PLUGIN = """
from restorekit.plugin import Entry, hookimpl
@hookimpl
def restorekit_entries():
    return [
        Entry(name="net", kind="generator", target="no_such_module:Net", summary="A net.", gives={"attention"}),
        Entry(name="mine", kind="model", target="fake_recipes:RECIPE", summary="A model.", tasks=("raindrop",),
              deviations=("Smaller.",), paper="A paper."),
        Entry(name="lazy", kind="model", target="no_such_module:RECIPE", summary="A model.", tasks=("raindrop",)),
        Entry(name="l1", kind="loss", target="no_such_module:Loss", summary="Another L1."),
    ]
"""
RECIPES = """
from restorekit.recipe import Recipe
RECIPE = Recipe.read({"name": "mine", "task": "raindrop", "generator": "net", "losses": {"core/l1": {"weight": 2}}})
"""
COMMAND = """
import click
from restorekit.plugin import hookimpl
@hookimpl
def restorekit_commands(cli):
    @cli.command("NAME", help="Says hello.")
    def command():
        click.echo("hello from NAME")
    RAISE
"""


@pytest.fixture
def site(fake_site):
    fake_site.add("restorekit-fake", "[restorekit.v1]\nfake = fake_plugin\n", fake_plugin=PLUGIN, fake_recipes=RECIPES)
    return fake_site


PROGRAM = """
import sys
sys.argv = ["restorekit", *{arguments!r}]
from restorekit.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("HEAVY:", [name for name in {heavy!r} if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name] for name in LISTINGS)])
def test_listings_import_nothing_heavy(site, arguments):
    done = site.python(PROGRAM.format(arguments=arguments, heavy=HEAVY))
    assert done.stdout.splitlines()[-1:] == ["HEAVY: []"], done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["models"]])
def test_listings_are_fast(site, arguments):
    """By the modules that they import, 222 and 243 of them in 0.15 s of a core, as time depends on what else the machine does."""
    done = site.python(PROGRAM.format(arguments=arguments, heavy=HEAVY) + "\nprint('COUNT:', len(sys.modules))")
    count = int(done.stdout.splitlines()[-1].removeprefix("COUNT:"))
    assert count < 300, done.stderr


@pytest.mark.parametrize("listing", [name for name in LISTINGS if name not in ("models", "plugins")])
def test_json_of_components_is_stable(site, listing):
    done = site.restorekit(listing, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert rows
    assert all(list(row) == FIELDS for row in rows)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_json_of_models(site):
    rows = {row["id"]: row for row in json.loads(site.restorekit("models", "--json").stdout)}
    mine = rows["fake/mine"]
    assert list(mine) == [*FIELDS, "weights", "weights_license"]
    assert mine["weights"] == "none"
    assert mine["tasks"] == ["raindrop"]
    assert mine["deviations"] == ["Smaller."]
    assert "fake/lazy" in rows  # listed although its recipe cannot be imported


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["m*"], {"mine"}),
        (["fake/*", "--task", "raindrop"], {"mine", "lazy"}),
        (["--task", "raindrop", "m*"], {"mine"}),
        (["list", "mine", "lazy"], {"mine", "lazy"}),
    ],
)
def test_models_are_listed_by_pattern_and_task(site, arguments, names):
    done = site.restorekit("models", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert {row["name"] for row in json.loads(done.stdout)} == names


@pytest.mark.parametrize("arguments", [["mime"], ["mi*", "--ready"], ["--task", "snow"]])
def test_no_model_that_fits_is_an_error(site, arguments):
    done = site.restorekit("models", *arguments)
    assert done.returncode != 0
    assert "no model fits what was asked for." in done.stderr
    assert "mine" in done.stderr


def test_ambiguous_names_are_listed_by_id(site):
    rows = json.loads(site.restorekit("losses", "--json").stdout)
    names = {row["name"] for row in rows if row["id"].endswith("/l1")}
    assert names == {"core/l1", "fake/l1"}


def test_tables(site):
    lines = site.restorekit("generators").stdout.splitlines()
    assert lines[0].split() == ["name", "plugin", "needs", "gives", "summary"]
    assert ["net", "fake", "-", "attention", "A", "net."] in [line.split() for line in lines]
    assert "mine" in site.restorekit("models").stdout
    assert "2 models" in site.restorekit("plugins").stdout


def test_show_model(site):
    done = site.restorekit("models", "show", "mine")
    assert done.returncode == 0, done.stderr
    for text in ("fake/mine: A model.", "paper: A paper.", "deviation: Smaller.", 'name = "mine"'):
        assert text in done.stdout


def test_show_toml_is_the_recipe_and_nothing_else(site, tmp_path):
    from restorekit.recipe import Recipe, from_toml

    done = site.restorekit("models", "show", "mine", "--toml")
    expected = {"name": "mine", "task": "raindrop", "generator": "net", "losses": {"core/l1": {"weight": 2}}}
    assert from_toml(done.stdout) == Recipe.read(expected)
    shown = json.loads(site.restorekit("models", "show", "mine", "--json").stdout)
    assert shown["recipe"] == Recipe.read(expected).plain()
    assert shown["digest"] == Recipe.read(expected).digest()


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["models", "show", "mien"], 1, "no model called 'mien'. Did you mean 'mine'?"),
        (["models", "show", "lazy"], 1, "'no_such_module:RECIPE' cannot be loaded"),
        (["models", "show", "mine", "--toml", "--json"], 2, "exclude each other"),
        (["plugins", "check", "fakee"], 1, "no plugin called 'fakee'. Did you mean 'fake'?"),
        (["trian"], 2, "There is no command 'trian'. Did you mean 'train'?"),
        (["losses", "--jsno"], 2, "--json"),
    ],
)
def test_errors_end_in_one_message(site, arguments, code, expected):
    done = site.restorekit(*arguments)
    assert done.returncode == code
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_plugins_add_commands(fake_site):
    fake_site.plugin("polite", COMMAND.replace("NAME", "hello").replace("RAISE", ""))
    assert "Says hello." in fake_site.restorekit("--help").stdout
    assert fake_site.restorekit("hello").stdout == "hello from hello\n"


@pytest.mark.parametrize("broken", ["raise RuntimeError('no good')", "raise SystemExit(1)"])
def test_commands_hook_that_raises_disturbs_nobody(fake_site, broken):
    fake_site.plugin("good", COMMAND.replace("NAME", "hello").replace("RAISE", ""))
    fake_site.plugin("bad", COMMAND.replace("NAME", "half-added").replace("RAISE", broken))
    done = fake_site.restorekit("hello")
    assert (done.returncode, done.stdout) == (0, "hello from hello\n")
    assert "plugin 'bad': its restorekit_commands hook failed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "half-added" not in fake_site.restorekit("--help").stdout


def test_commands_do_not_replace_each_other(fake_site):
    for name, command in (("first", "hello"), ("second", "hello"), ("third", "train")):
        source = COMMAND.replace("NAME", command).replace("RAISE", "").replace("hello from", f"{name} says")
        fake_site.plugin(name, source)
    done = fake_site.restorekit("hello")
    assert done.stdout == "first says hello\n"
    assert "plugin 'second': command 'hello' is taken" in done.stderr
    assert "plugin 'third': command 'train' is taken" in done.stderr
    assert "Train a model on a data set" in fake_site.restorekit("--help").stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_every_command(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_completion_of_component_names(site, monkeypatch):
    monkeypatch.setitem(os.environ, "_RESTOREKIT_COMPLETE", "bash_complete")
    monkeypatch.setitem(os.environ, "COMP_WORDS", "restorekit models show mi")
    monkeypatch.setitem(os.environ, "COMP_CWORD", "3")
    site.plugin("broken", "raise RuntimeError('no good')")
    done = site.restorekit()
    assert done.stdout.split() == ["plain,mine"]
    assert done.stderr == ""
