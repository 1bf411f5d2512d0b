"""Names: unique ones work bare, ambiguous ones are an error, unknown ones name the closest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pytest

from restorekit.errors import PluginError, RecipeError, UnknownNameError
from restorekit.plugin import KINDS, Entry
from restorekit.plugin import registry as registry_module
from restorekit.plugin.discovery import Plugin, new_manager
from restorekit.plugin.registry import PLURALS, Component, Registry, create
from restorekit.plugin.settings import check_settings


def entry(name: str, kind: str = "loss", target: str = "collections:Counter", **fields: object) -> Entry:
    return Entry(name=name, kind=kind, target=target, summary="A thing.", **fields)


def plugin(name: str, *entries: Entry, error: str = "") -> Plugin:
    return Plugin(name, f"module_{name}", f"dist-{name}", "1.0", entries, error)


@pytest.fixture
def two_plugins() -> Registry:
    first = plugin("one", entry("shared"), entry("charbonnier"), entry("shared", "metric"))
    second = plugin("two", entry("shared"), entry("fraction", "generator", "fractions:Fraction"))
    return Registry(new_manager(), (first, second, plugin("bad", error="broke")))


def test_bare_name_works_while_unique(two_plugins):
    assert two_plugins.find("loss", "charbonnier").id == "one/charbonnier"
    assert two_plugins.find("loss", "one/charbonnier").id == "one/charbonnier"
    assert two_plugins.find("metric", "shared").id == "one/shared"  # kinds have names of their own


def test_ambiguous_name_lists_the_ids(two_plugins):
    with pytest.raises(UnknownNameError, match="several plugins; say which: one/shared, two/shared"):
        two_plugins.find("loss", "shared")
    assert two_plugins.find("loss", "two/shared").plugin.name == "two"


def test_unknown_name_names_the_closest_and_failed_plugins(two_plugins):
    with pytest.raises(UnknownNameError) as caught:
        two_plugins.find("loss", "charbonier")
    message = str(caught.value)
    assert "no loss called 'charbonier'. Did you mean 'charbonnier'?" in message
    assert "Installed: charbonnier, shared." in message
    assert "may hold it: bad (see `restorekit plugins check NAME`)" in message


def test_unknown_id_is_compared_with_ids(two_plugins):
    with pytest.raises(UnknownNameError, match="Did you mean 'two/shared'"):
        two_plugins.find("loss", "two/shard")


def test_none_installed(two_plugins):
    with pytest.raises(UnknownNameError, match="Installed: none"):
        two_plugins.find("prior", "anything")


def test_long_lists_name_a_command_that_exists():
    many = Registry(new_manager(), (plugin("many", *(entry(f"loss-{i}") for i in range(30))),))
    with pytest.raises(UnknownNameError, match="`restorekit losses` lists 30"):
        many.find("loss", "x")


def test_components_are_sorted_and_kinds_checked(two_plugins):
    assert [c.id for c in two_plugins.components("loss")] == ["one/charbonnier", "one/shared", "two/shared"]
    with pytest.raises(PluginError, match="kind 'losses' is unknown; use one of"):
        two_plugins.components("losses")


def test_unique_name(two_plugins):
    names = [two_plugins.unique_name(c) for c in two_plugins.components("loss")]
    assert names == ["charbonnier", "one/shared", "two/shared"]


def test_plurals_are_commands():
    from restorekit.commands import COMMANDS

    assert set(PLURALS) == set(KINDS)
    assert set(PLURALS.values()) <= set(COMMANDS)


@pytest.mark.parametrize("target", ["no_such_module_x:Y", "collections:NoSuch", "json:decoder.NoSuch"])
def test_target_that_cannot_be_loaded(target):
    component = Component(entry("x", target=target), plugin("p"))
    with pytest.raises(PluginError, match=r"loss 'p/x': its target .* cannot be loaded .*dist-p"):
        component.load()


def test_nested_target():
    import json

    assert Component(entry("x", target="json:decoder.JSONDecoder"), plugin("p")).load() is json.JSONDecoder


def build(
    *,
    width: int = 8,
    depth: int = 2,
    skips: bool = False,
    rate: float | None = None,
    size: tuple[int, ...] = (),
    norm: Literal["batch", "group"] = "batch",
    scales: Mapping[str, float] | None = None,
    act: Absent = None,  # noqa: F821
    made: Callable[[], int] | str = "relu",
    extra=None,
) -> tuple[int, int]:
    if width < 0:
        raise ValueError("width is negative")
    if width > 99:
        raise ModuleNotFoundError("No module named 'absent'")
    return width, depth


@pytest.fixture
def installed(monkeypatch):
    own = plugin("p", entry("net", "generator", f"{__name__}:build"), entry("card", "dataset", "math:pi"))
    fake = Registry(new_manager(), (own,))
    monkeypatch.setattr(registry_module, "registry", lambda: fake)
    monkeypatch.setattr(Component, "load", lambda self: build if self.entry.name == "net" else 3.14)
    return fake


def test_create_builds_from_settings(installed):
    assert create("generator", "net", width=3) == (3, 2)
    assert create("dataset", "p/card") == 3.14


def test_create_refuses_unknown_settings(installed):
    with pytest.raises(RecipeError) as caught:
        create("generator", "net", widht=3)
    assert (
        "'p/net' has no setting 'widht'. Did you mean 'width'? It has: width, depth, skips, rate, size, norm,"
        in str(caught.value)
    )
    with pytest.raises(RecipeError, match=r"takes no settings; .*size"):
        create("dataset", "card", size=1)


def test_create_explains_refused_values(installed):
    with pytest.raises(RecipeError, match=r"cannot be built with \{'width': -1\}: width is negative"):
        create("generator", "net", width=-1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 4.5}, "setting 'width' is 4.5; give an integer"),
        ({"width": "abc"}, "setting 'width' is 'abc'; give an integer"),
        ({"width": True}, "setting 'width' is True; give an integer"),
        ({"skips": "False"}, "setting 'skips' is 'False'; give true or false"),
        ({"skips": 1}, "give true or false"),
        ({"rate": "fast"}, "give a number or none"),
        ({"norm": "layer"}, "setting 'norm' is 'layer'; give 'batch' or 'group'"),
        ({"size": 3}, r"setting 'size' is 3; give tuple\[int, \.\.\.\]"),
        ({"size": [1, "2"]}, r"setting 'size' is \[1, '2'\]; give tuple"),
        ({"size": [1.5]}, "give tuple"),
        ({"scales": {"a": "b"}}, "setting 'scales' is {'a': 'b'}; give .*Mapping.* or none"),
    ],
)
def test_create_refuses_values_of_another_type(installed, settings, message):
    with pytest.raises(RecipeError, match=message):
        create("generator", "net", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": 1},
        {"rate": None},
        {"rate": 0.5, "skips": True},
        {"width": np.int64(8)},
        {"size": [1]},
        {"size": (1, 2)},
        {"norm": "group"},
        {"scales": {"a": 1}},
        {"act": 3},
        {"made": int},
        {"made": "x"},
        {"extra": object()},
    ],
)
def test_create_takes_values_that_fit(installed, settings):
    assert create("generator", "net", **settings) == (8, 2)


def test_a_plugins_own_failure_names_the_plugin(installed):
    with pytest.raises(PluginError, match=r"generator 'p/net': building it failed \(ModuleNotFoundError: .*dist-p"):
        create("generator", "net", width=100)


def test_open_signatures_judge_their_own_settings():
    check_settings("generator 'p/net'", dict, {"anything": 1})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "optimizer"}, "kind 'optimizer' is unknown; use one of generator"),
        ({"name": "Two Words"}, "such as 'pix2pix-small'"),
        ({"name": "-x"}, "not valid"),
        ({"target": "module.attribute"}, "is not 'package.module:attribute'"),
        ({"needs": "clean"}, r"needs is the string 'clean'; give several, such as \('clean',\)"),
        ({"tasks": "raindrop"}, r"tasks is the string 'raindrop'; give several"),
        ({"deviations": "None known."}, r"deviations is the string"),
        ({"tasks": ("Rain!",)}, r"'Rain!' is no name of a task, such as 'rain-streak'"),
    ],
)
def test_entries_are_checked(fields, message):
    good = {"name": "x", "kind": "loss", "target": "a:b", "summary": "s"}
    with pytest.raises(PluginError, match=message):
        Entry(**{**good, **fields})


def test_entries_take_any_iterable_of_names():
    assert entry("x", needs=["clean", "clean"], gives=("mask",)).needs == frozenset({"clean"})
