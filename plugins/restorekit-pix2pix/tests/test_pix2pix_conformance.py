"""The plugin passes the checks that every plugin has to pass; those of the engine are in the core's tests."""

from __future__ import annotations

from restorekit.testing import Check, parametrize_with_checks

MODELS = ("pix2pix", "pix2pix-channel", "pix2pix-spatial", "pix2pix-both")
SMALL = {
    "generator:pix2pix": {"width": 8, "levels": 5},
    "generator:encoder-decoder": {"width": 8, "latent": 16},
    "discriminator:patchgan": {"width": 8},
    "discriminator:encoder": {"width": 8, "latent": 16},
    **{f"model:{name}": {"width": 8, "levels": 5} for name in MODELS},
    **{f"model:{name}": {"width": 8, "latent": 16} for name in ("pix2pix-small", "pix2pix-balanced", "cgan")},
}


@parametrize_with_checks("pix2pix", settings=SMALL, engine=False)
def test_conforms(check: Check) -> None:
    check()
