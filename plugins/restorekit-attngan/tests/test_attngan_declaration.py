from __future__ import annotations

import subprocess
import sys

import restorekit_attngan
from restorekit_attngan.models import attngan


def test_declaring_and_the_recipe_import_no_torch():
    code = (
        "import sys, restorekit_attngan as p; from restorekit_attngan.models import attngan;"
        " p.restorekit_entries(); attngan(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_entries():
    entries = {(e.kind, e.name): e for e in restorekit_attngan.restorekit_entries()}
    assert set(entries) == {
        ("generator", "attngan"),
        ("discriminator", "attngan"),
        ("model", "attngan"),
        ("loss", "attention"),
        ("loss", "multi-scale"),
        ("loss", "attention-critic"),
        ("procedure", "attngan-stage"),
    }
    # training in stages is this plugin's own
    assert all("1711.10098" in e.paper for (kind, _), e in entries.items() if kind != "procedure")
    assert all(d.endswith(".") for e in entries.values() for d in e.deviations)


def test_recipe_weights_are_the_papers():
    recipe = attngan()
    assert {k: t.weight for k, t in recipe.losses.items()} == {
        "adversarial": 0.01,
        "attention": 1.0,
        "multi-scale": 1.0,
        "perceptual": 1.0,
    }
    assert {k: t.weight for k, t in recipe.critic_losses.items()} == {"critic": 1.0, "attention-critic": 0.05}
    assert recipe.data.crop == 224
    assert recipe.prior is not None
    assert recipe.prior.name == "mask-from-pair"
