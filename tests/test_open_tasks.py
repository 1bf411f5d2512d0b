"""A plugin's own task and synthesizer: training data, built-in pictures and written pairs come from them."""

from __future__ import annotations

import itertools

import pytest
import torch
from fakes import declared, installed

from restorekit.data.augment import augment
from restorekit.data.imageset import builtin_set
from restorekit.data.sets import resolve
from restorekit.data.synthesis import presets, synthesize
from restorekit.data.synthetic_files import write_pairs
from restorekit.data.tasks import TaskCard
from restorekit.errors import PluginError, RecipeError, UnknownNameError
from restorekit.interface import Batch
from restorekit.keyed import uniform
from restorekit.plugin import Entry
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, from_toml, to_toml
from restorekit.recipe.check import check_recipe
from restorekit.recipe.parts import Data


class Veil:
    """Mixes the image with grey, by an amount that the key decides."""

    presets = ("thin", "thick")

    def __init__(self, grey: float = 0.5) -> None:
        self.grey = grey

    def __call__(self, clean, keys, preset=None):
        share = 0.3 * uniform(keys, "veil").to(clean).view(-1, 1, 1, 1) + (0.5 if preset == "thick" else 0.1)
        return clean + share * (self.grey - clean), None


TASK = declared("task", "veil", TaskCard("a grey veil", "no veil"))
VEIL = declared("synthesizer", "veil", Veil, tasks=("veil",))


@pytest.fixture
def veil():
    with installed(TASK, VEIL):
        yield


def recipe(**fields):
    base = {"name": "m", "task": "veil", "generator": "unet", "losses": {"l1": {}}}
    return Recipe.read(base | fields)


def test_a_task_that_nobody_declares_is_named_when_the_recipe_is_checked(veil):
    check_recipe(recipe(), registry())
    with pytest.raises(UnknownNameError, match=r"no task called 'vail'\. Did you mean 'veil'"):
        check_recipe(recipe(task="vail"), registry())
    with pytest.raises(RecipeError, match="rain-streak; `restorekit tasks` lists"):
        recipe(task="Rain Streak")


def test_a_task_needs_a_name_in_an_entry():
    with pytest.raises(PluginError, match="'Veil!' is no name of a task"):
        Entry(name="x", kind="model", target="a:b", summary="s", tasks=("Veil!",))


def test_a_synthesizer_is_built_with_the_recipes_settings(veil):
    made = recipe(data={"synthesis": {"task": "veil", "preset": "thick", "grey": 1.0}})
    assert from_toml(to_toml(made)) == made
    batch = Batch(degraded=torch.zeros(2, 3, 4, 4, dtype=torch.uint8), key=torch.tensor([1, 2]))
    brighter = augment(batch, made.data)
    assert brighter.degraded.min() >= 0.5
    assert brighter.mask is None
    with pytest.raises(RecipeError, match="no setting 'gray'"):
        augment(batch, Data.model_validate({"synthesis": {"task": "veil", "gray": 1.0}}))


def test_needs_that_a_synthesizer_does_not_give_are_refused(veil):
    synthetic = {"synthesis": {"task": "veil"}}
    with pytest.raises(RecipeError, match="'masked-l1' needs 'mask'"):
        check_recipe(recipe(data=synthetic, losses={"masked-l1": {}}), registry(), paired=False)
    check_recipe(recipe(data={"synthesis": {"task": "raindrop"}}, losses={"masked-l1": {}}), registry(), paired=False)
    with pytest.raises(UnknownNameError, match="no synthesizer called 'fog'"):
        check_recipe(recipe(data={"synthesis": {"task": "fog"}}), registry())


def test_the_builtin_photographs_are_degraded_for_a_plugins_task(veil):
    images = builtin_set("veils", "veil")
    assert images.label == "veils@builtin"
    assert "restorekit-fake-1.0" in images.fingerprint
    first = images.read(0)
    assert first.name == images.names[0]
    assert first.mask is None
    assert (first.degraded != first.clean).any()


def test_pairs_without_masks_are_written_without_a_folder_for_them(veil, tmp_path):
    small = resolve("raindrop@builtin").subset([0])
    list(write_pairs([small], tmp_path / "pairs", "veil", "thin", resize=32))
    assert sorted(p.name for p in (tmp_path / "pairs").iterdir()) == ["clean", "degraded"]


_NUMBERS = itertools.count()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda clean: clean, "gave a Tensor; it must give"),
        (lambda clean: (clean[..., 1:], None), r"gave degraded images of \(1, 3, 8, 7\)"),
        (lambda clean: (clean.double(), None), "torch.float64; it must be"),
        (lambda clean: (clean, clean), r"gave a mask of \(1, 3, 8, 8\)"),
        (lambda clean: (None, None), "gave degraded images of a NoneType"),
    ],
)
def test_what_a_synthesizer_gives_is_checked(given, message):
    class Wrong:
        def __call__(self, clean, keys, preset=None):
            return given(clean)

    name = f"wrong-{next(_NUMBERS)}"  # one that is built already is kept
    with installed(declared("synthesizer", name, Wrong)), pytest.raises(PluginError, match=message):
        synthesize(torch.zeros(1, 3, 8, 8), torch.tensor([1]), name)


def test_a_synthesizer_without_presets_takes_none():
    class Plain:
        def __call__(self, clean, keys, preset=None):
            return clean, None

    with installed(declared("synthesizer", "plain", Plain)):
        assert presets("plain") == ()
        with pytest.raises(UnknownNameError, match="No preset 'x' of the synthesizer 'plain'; there are none"):
            synthesize(torch.zeros(1, 3, 8, 8), torch.tensor([1]), "plain", "x")
