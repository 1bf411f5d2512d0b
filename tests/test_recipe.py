"""Recipes: validated with errors that say what to do, changed by overrides, written as TOML without loss."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.errors import RecipeError, UnknownNameError
from restorekit.plugin import Entry
from restorekit.plugin.discovery import Plugin, new_manager
from restorekit.plugin.registry import Registry
from restorekit.recipe import Recipe, apply_overrides, from_toml, to_toml
from restorekit.recipe.check import check_recipe, components_of
from restorekit.recipe.model import merged
from restorekit.recipe.overrides import parse_value
from restorekit.recipe.toml import read_recipe_file

PLAIN = {
    "name": "tiny",
    "task": "raindrop",
    "generator": {"name": "net", "width": 8},
    "losses": {"l1": {"weight": 100.0}},
}
GAN = {
    **PLAIN,
    "discriminator": "critic-net",
    "losses": {"l1": {"weight": 100.0}, "adversarial": {}},
    "critic_losses": {"adversarial": {"real": 0.9}},
}


def error_of(values: dict[str, object]) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.read(values)
    return str(caught.value)


def test_defaults_and_shorthand():
    recipe = Recipe.read({**GAN, "schedule": "cosine"})
    assert recipe.discriminator.name == "critic-net"
    assert recipe.generator.settings == {"width": 8}
    assert recipe.losses["adversarial"].weight == 1
    assert recipe.critic_losses["adversarial"].settings == {"real": 0.9}
    assert recipe.schedule.name == "cosine"


def test_recipes_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe.read(PLAIN).steps = 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stepz": 3}, "no field 'stepz'. Did you mean 'steps'?"),
        ({"optim": {"generater": {}}}, "no field 'optim.generater'. Did you mean 'generator'?"),
        ({"optim": {"generator": {"learning_rate": 1}}}, "no field 'optim.generator.learning_rate'"),
        ({"data": {"augment": {"flips": True}}}, "Did you mean 'flip'? Allowed here: flip, vertical_flip"),
        ({"steps": 0}, "field 'steps': Input should be greater than or equal to 1 (given: 0)"),
        (
            {"frozen": "body"},
            """field 'frozen': Input should be a list, such as ["a", "b"] or [1, 2] (given: 'body')""",
        ),
        ({"task": "Fog!"}, "a name such as rain-streak; `restorekit tasks` lists the tasks (given: 'Fog!')"),
        ({"losses": {}}, "field 'losses'"),
        ({"generator": {"width": 3}}, "field 'generator.name' is missing; give it a value"),
        ({"ema": 1.5}, "field 'ema'"),
        ({"clip_norm": math.nan}, "field 'clip_norm'"),
        ({"losses": {"l1": {"weight": math.inf}}}, "field 'losses.l1.weight'"),
        ({"generator": {"name": "net", "norm": None}}, "setting 'norm' is None, which a recipe cannot hold; leave it"),
        ({"generator": {"name": "net", "deep": {"x": [1, math.nan]}}}, "setting 'deep.x[1]' is nan"),
        ({"generator": {"name": "net", "layer": object}}, "use text, numbers, lists and tables"),
        ({"critic_losses": {"adversarial": {}}}, "discriminator and critic_losses belong together"),
        ({"discriminator": "critic-net"}, "discriminator and critic_losses belong together"),
        ({"accumulate": 3}, "data.batch (8) must be a multiple of accumulate (3)"),
    ],
)
def test_errors_say_what_and_what_to_do(change, expected):
    message = error_of({**PLAIN, **change})
    assert message.startswith("recipe 'tiny' is not valid: ")
    assert expected in message
    assert "Value error" not in message


def test_all_errors_at_once():
    message = error_of({**PLAIN, "stepz": 1, "seed": -1})
    assert "stepz" in message
    assert "seed" in message


# overrides


def test_overrides_set_single_fields():
    recipe = apply_overrides(
        Recipe.read(PLAIN),
        ["generator.width=16", "losses.l1.weight=10", "losses.ssim.weight=0.5", "optim.generator.lr=1e-3",
         "data.augment.rotate=true", "optim.generator.betas=[0.5, 0.9]", "name=mine", "precision=fp32"],
    )  # fmt: skip
    assert recipe.generator.settings == {"width": 16}
    assert {name: term.weight for name, term in recipe.losses.items()} == {"l1": 10, "ssim": 0.5}
    assert recipe.optim.generator.lr == 0.001
    assert recipe.optim.generator.betas == (0.5, 0.9)
    assert recipe.data.augment.rotate is True
    assert (recipe.name, recipe.precision) == ("mine", "fp32")


def test_replacing_a_component_drops_the_settings_of_the_old_one():
    recipe = apply_overrides(Recipe.read(PLAIN), ["generator=remaen", "generator.channels=4"])
    assert recipe.generator.name == "remaen"
    assert recipe.generator.settings == {"channels": 4}
    assert apply_overrides(Recipe.read(PLAIN), ["prior=mask-from-pair"]).prior.name == "mask-from-pair"


def test_none_removes_optional_fields():
    recipe = apply_overrides(Recipe.read(GAN), ["discriminator=none", "critic_losses=none", "losses.adversarial=none"])
    assert recipe.discriminator is None
    assert list(recipe.losses) == ["l1"]
    with pytest.raises(RecipeError, match="belong together"):
        apply_overrides(Recipe.read(GAN), ["discriminator=none"])


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_truth_may_be_written_in_any_case(text):
    assert apply_overrides(Recipe.read(PLAIN), [f"generator.flag={text}"]).generator.settings["flag"] is True
    assert parse_value("False") is False
    assert parse_value('"False"') == "False"


def test_none_may_be_said_twice():
    recipe = apply_overrides(Recipe.read(PLAIN), ["prior=none", "discriminator=none", "data.synthesis=none"])
    assert recipe == Recipe.read(PLAIN)


def test_overrides_leave_the_recipe_alone():
    recipe = Recipe.read(PLAIN)
    before = recipe.plain()
    apply_overrides(recipe, ["generator.width=99"])
    assert recipe.plain() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps", "'steps' is not of the form field=value"),
        ("=3", "not of the form field=value"),
        ("a..b=3", "not of the form field=value"),
        ("optim.generator.rl=1", "no field 'optim.generator.rl'. Did you mean 'lr'?"),
        ("steps=many", "field 'steps'"),
        ("steps.more=3", "'steps.more' cannot be set: 'steps' is 10000, which has no fields"),
        ("generator=none", "field 'generator' is missing"),
        ("losses=none", "field 'losses' is missing"),
        ("priorr=none", "'priorr' cannot be set to none: it is not there"),
        ("losses.l2=none", "'losses.l2' cannot be set to none: it is not there. Did you mean 'l1'? There are: l1."),
        ("generator.widht=none", "'generator.widht' cannot be set to none"),
    ],
)
def test_bad_overrides(text, expected):
    with pytest.raises(RecipeError) as caught:
        apply_overrides(Recipe.read(PLAIN), [text])
    assert expected in str(caught.value)


# TOML

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
KEYS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
SETTINGS = st.dictionaries(KEYS.filter(lambda k: k not in ("name", "weight")), VALUES, max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    SETTINGS, SETTINGS, st.floats(1e-12, 10), st.floats(-1e12, 1e12),
    st.lists(st.integers(1, 10**9), max_size=4), TEXT,
)  # fmt: skip
def test_toml_round_trip(generator, term, rate, weight, milestones, name):
    recipe = Recipe.read(
        {
            **GAN,
            "name": name,
            "generator": {"name": "net", **generator},
            "losses": {"l1": {"weight": weight, **term}},
            "optim": {"generator": {"lr": rate}},
            "schedule": {"name": "step", "milestones": milestones},
        }
    )
    again = from_toml(to_toml(recipe))
    assert again.plain() == recipe.plain()
    assert again.digest() == recipe.digest()
    assert recipe.difference(again) == []


def test_tuples_survive():
    recipe = Recipe.read({**PLAIN, "generator": {"name": "net", "widths": (1, (2, 3))}})
    assert from_toml(to_toml(recipe)).generator.settings == {"widths": [1, [2, 3]]}
    assert from_toml(to_toml(recipe)).digest() == recipe.digest()


class Later(Recipe):
    """The recipe of a later version, with one field more."""

    sharpen: float = 0.5


def test_a_field_that_comes_later_changes_no_recipe_without_it():
    for values in (PLAIN, GAN):
        assert Later.read(values).digest() == Recipe.read(values).digest()
    assert Later.read({**PLAIN, "sharpen": 1.0}).digest() != Later.read(PLAIN).digest()
    assert Later.read({**PLAIN, "sharpen": 0.5}).digest() == Later.read(PLAIN).digest()


def test_every_field_that_is_used_counts():
    recipe = Recipe.read(PLAIN)
    changes = ["seed=1", "data.crop=64", "optim.generator.lr=1e-3", "data.augment.flip=false", "generator.width=9"]
    assert len({recipe.digest(), *(apply_overrides(recipe, [change]).digest() for change in changes)}) == 6
    assert apply_overrides(recipe, ["seed=0", "steps=10000"]).digest() == recipe.digest()


def test_difference_names_each_field():
    other = apply_overrides(Recipe.read(PLAIN), ["generator.width=16", "prior=mask-from-pair"])
    assert Recipe.read(PLAIN).difference(other) == [
        "generator.width: 8 -> 16",
        "prior.name: 'absent' -> 'mask-from-pair'",
    ]
    assert Recipe.read(PLAIN).digest() != other.digest()


def test_files(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(Recipe.read(GAN)), encoding="utf-8")
    assert read_recipe_file(file) == Recipe.read(GAN)
    for bad in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(RecipeError, match="cannot be read"):
            read_recipe_file(bad)
    file.write_text("name = ", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"recipe.toml is not valid TOML"):
        read_recipe_file(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe_file(file)


def test_merged_leaves_its_arguments_alone():
    one = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(one, {"a": {"b": 5}, "d": {"e": 1}}) == {"a": {"b": 5, "c": 2}, "d": {"e": 1}}
    assert one == {"a": {"b": 1, "c": 2}, "d": 3}


# needs and gives


def entry(kind: str, name: str, needs: set[str] = frozenset(), gives: set[str] = frozenset()) -> Entry:
    target = "module_that_must_not_be_imported:Thing"
    return Entry(name=name, kind=kind, target=target, summary="s", needs=needs, gives=gives)


@pytest.fixture
def parts() -> Registry:
    entries = (
        entry("task", "raindrop"),
        entry("synthesizer", "raindrop", gives={"mask"}),
        entry("generator", "net"),
        entry("generator", "attentive", gives={"attention"}),
        entry("discriminator", "critic-net", gives={"logits"}),
        entry("prior", "mask-from-pair", needs={"clean"}, gives={"mask"}),
        entry("loss", "l1", needs={"clean"}),
        entry("loss", "attention", needs={"attention", "mask"}),
        entry("loss", "adversarial", needs={"logits"}),
    )
    return Registry(new_manager(), (Plugin("p", "m", "d", "1", entries),))


def test_sound_recipes_pass(parts):
    check_recipe(Recipe.read(PLAIN), parts)
    check_recipe(Recipe.read(GAN), parts)
    names = [c.entry.name for c in components_of(Recipe.read(GAN), parts)]
    assert names == ["net", "critic-net", "l1", "adversarial", "adversarial"]


def refusal(values: dict[str, object], parts: Registry, **data: bool) -> str:
    with pytest.raises(RecipeError) as caught:
        check_recipe(Recipe.read(values), parts, **data)
    return str(caught.value)


def test_needs_that_nobody_gives_are_refused_with_who_would(parts):
    attention = {**PLAIN, "losses": {"attention": {}}}
    message = refusal(attention, parts)
    assert (
        "loss 'attention' needs 'attention', which nothing in the recipe gives; generator 'attentive' would" in message
    )
    assert (
        "needs 'mask', which nothing in the recipe gives; prior 'mask-from-pair' or synthesizer 'raindrop' would give it"
        in message
    )
    check_recipe(Recipe.read({**attention, "generator": "attentive", "prior": "mask-from-pair"}), parts)
    check_recipe(Recipe.read({**attention, "generator": "attentive"}), parts, masks=True)


def test_unpaired_data(parts):
    assert "loss 'l1' needs 'clean', which nothing in the recipe gives; a paired data set would give it" in refusal(
        PLAIN, parts, paired=False
    )
    check_recipe(Recipe.read({**PLAIN, "data": {"synthesis": {"task": "raindrop"}}}), parts, paired=False)


def test_judgements_need_a_discriminator(parts):
    assert "discriminator 'critic-net' would give it" in refusal({**PLAIN, "losses": {"adversarial": {}}}, parts)


def test_nobody_installed_gives_it(parts):
    orphan = Registry(
        new_manager(),
        (
            Plugin(
                "p",
                "m",
                "d",
                "1",
                (entry("task", "raindrop"), entry("generator", "net"), entry("loss", "l1", {"depth"})),
            ),
        ),
    )
    assert "nothing that is installed would give it" in refusal(PLAIN, orphan)


def test_unknown_components_name_the_closest(parts):
    with pytest.raises(UnknownNameError, match=r"no loss called 'l2'\. Did you mean 'l1'\?"):
        check_recipe(Recipe.read({**PLAIN, "losses": {"l2": {}}}), parts)


def test_a_shorthand_takes_further_fields():
    recipe = Recipe.read({"name": "a", "task": "raindrop", "generator": "unet", "losses": {"l1": {"weight": 1.0}}})
    changed = apply_overrides(recipe, ["schedule=cosine", "schedule.warmup=3"])
    assert (changed.schedule.name, changed.schedule.warmup) == ("cosine", 3)


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ("seed=9223372036854775808", "seed"),
        ("seed=" + "9" * 5000, "seed"),
        ("steps=1000000000000000", "steps"),
        ("data.batch=1000000000000", "data.batch"),
        ("data.crop=1000000", "data.crop"),
        ("data.workers=100000", "data.workers"),
        ("optim.generator.betas=[0.9, 1.0]", "optim.generator.betas.1"),
        ("optim.generator.lr=1e300", "optim.generator.lr"),
        ("ema=1.0", "ema"),
        ("losses.l1.weight=1e300", "losses.l1.weight"),
        ("generator.width=9223372036854775808", "width"),
        ("generator.width=" + "[" * 100 + "]" * 100, "width"),
    ],
)
def test_every_number_has_a_range(assignment, field):
    recipe = Recipe.read({"name": "x", "task": "raindrop", "generator": "unet", "losses": {"l1": {}}})
    with pytest.raises(RecipeError) as error:
        apply_overrides(recipe, [assignment])
    assert field in str(error.value)
    assert len(str(error.value)) < 500


def test_brackets_without_end_are_a_named_error():
    with pytest.raises(RecipeError, match="nested too deeply"):
        parse_value("[" * 100_000)


@pytest.mark.parametrize("value", [2**63 - 1, 0])
def test_the_ends_of_the_range_are_in_it(value):
    recipe = Recipe.read({"name": "x", "task": "raindrop", "generator": "unet", "losses": {"l1": {}}, "seed": value})
    assert recipe.seed == value
