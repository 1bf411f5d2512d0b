from __future__ import annotations

import subprocess
import sys

import pytest
import restorekit_pix2pix
from restorekit_pix2pix import models

NAMES = (
    "pix2pix",
    "pix2pix-channel",
    "pix2pix-spatial",
    "pix2pix-both",
    "pix2pix-small",
    "pix2pix-balanced",
    "cgan",
)


def recipe(name):
    return getattr(models, name.replace("-", "_"))()


def test_all_seven_models_are_declared_without_torch():
    code = (
        "import sys, restorekit_pix2pix as p; from restorekit_pix2pix import models as m;"
        " p.restorekit_entries(); m.pix2pix(); m.cgan(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    entries = [e for e in restorekit_pix2pix.restorekit_entries() if e.kind == "model"]
    assert tuple(e.name for e in entries) == NAMES
    for entry in entries:
        built = getattr(models, entry.target.split(":")[1])()
        assert (built.name, built.task) == (entry.name, "raindrop")


@pytest.mark.parametrize("name", NAMES)
def test_components_are_declared_here(name):
    declared = {(e.kind, e.name) for e in restorekit_pix2pix.restorekit_entries()}
    built = recipe(name)
    assert ("generator", built.generator.name) in declared
    assert ("discriminator", built.discriminator.name) in declared


@pytest.mark.parametrize("kind", ["channel", "spatial", "both"])
def test_attention_variants_have_equal_budgets(kind):
    variant = recipe(f"pix2pix-{kind}")
    differences = variant.difference(recipe("pix2pix"))
    assert {line.split(":")[0] for line in differences} == {"name", "generator.attention"}
    assert variant.generator.settings == {"attention": kind}


def test_pix2pix_settings():
    built = recipe("pix2pix")
    assert {k: t.weight for k, t in built.losses.items()} == {"adversarial": 1.0, "l1": 100.0}
    assert built.optim.generator.betas == built.optim.discriminator.betas == (0.5, 0.999)
    assert built.optim.generator.lr == built.optim.discriminator.lr == 2e-4
    assert (built.data.resize, built.data.crop, built.data.augment.brightness) == (286, 256, 0.3)
    assert built.data.augment.flip
    assert 1 <= built.data.batch <= 8


@pytest.mark.parametrize(
    ("name", "epochs", "rates"),
    [("cgan", 20, (1e-3, 1e-3)), ("pix2pix-small", 50, (2e-4, 2e-4)), ("pix2pix-balanced", 50, (5e-4, 2e-4))],
)
def test_student_project_settings(name, epochs, rates):
    built = recipe(name)
    assert built.data.batch == 8
    assert abs(built.steps - epochs * 861 / 8) < 1
    assert (built.optim.generator.lr, built.optim.discriminator.lr) == rates


def test_losses_and_labels_of_the_family():
    assert set(recipe("cgan").losses) == {"adversarial"}
    assert recipe("pix2pix-balanced").critic_losses["critic"].settings == {
        "mode": "bce",
        "real": 0.9,
        "fake": 0.1,
    }
    assert recipe("pix2pix-small").discriminator.settings == {"width": 32}
    assert recipe("pix2pix-small").generator.settings == {"skips": True}
