"""The recipes of pix2pix, its attention variants and the cGAN family. Imports no torch."""

from __future__ import annotations

from restorekit.recipe import Recipe

TRAINING_PAIRS = 861  # of the Raindrop data set (Qian et al., CVPR 2018)
GAN_BETAS = (0.5, 0.999)
SMALL_WIDTH = 32
# The source resizes to 286, crops 256, mirrors, and adds up to 0.3 to the brightness, or takes it off.
AUGMENTED = {"resize": 286, "crop": 256, "augment": {"flip": True, "brightness": 0.3}}


def steps_for(epochs: int, batch: int) -> int:
    """Return the steps in which `epochs` passes over the Raindrop training pairs are made."""
    return round(epochs * TRAINING_PAIRS / batch)


def _optim(generator: float, discriminator: float, betas: tuple[float, float] = GAN_BETAS) -> dict[str, object]:
    return {
        "generator": {"name": "adam", "lr": generator, "betas": betas},
        "discriminator": {"name": "adam", "lr": discriminator, "betas": betas},
    }


def _recipe(name: str, batch: int, epochs: int, **parts: object) -> Recipe:
    losses = {"adversarial": {"weight": 1.0, "mode": "bce"}, "l1": {"weight": 100.0}}
    common = {
        "losses": losses,
        "critic_losses": {"critic": {"weight": 1.0, "mode": "bce"}},
        "data": {**AUGMENTED, "batch": batch},
        "steps": steps_for(epochs, batch),
    }
    return Recipe.read({"name": name, "task": "raindrop", **common, **parts})


def _pix2pix(name: str, **generator: object) -> Recipe:
    return _recipe(
        name,
        batch=8,
        epochs=200,
        generator={"name": "pix2pix", **generator},
        discriminator={"name": "patchgan"},
        optim=_optim(2e-4, 2e-4),
    )


def pix2pix() -> Recipe:
    """Return the recipe of pix2pix: U-Net 256, PatchGAN, BCE + 100 L1."""
    return _pix2pix("pix2pix")


def pix2pix_channel() -> Recipe:
    """Return pix2pix with channel attention in the encoder, otherwise on an equal budget."""
    return _pix2pix("pix2pix-channel", attention="channel")


def pix2pix_spatial() -> Recipe:
    """Return pix2pix with spatial attention in the encoder, otherwise on an equal budget."""
    return _pix2pix("pix2pix-spatial", attention="spatial")


def pix2pix_both() -> Recipe:
    """Return pix2pix with the sum of both attentions in the encoder, otherwise on an equal budget."""
    return _pix2pix("pix2pix-both", attention="both")


def _small(name: str, **parts: object) -> Recipe:
    return _recipe(
        name,
        batch=8,
        epochs=50,
        generator={"name": "encoder-decoder", "skips": True},
        discriminator={"name": "patchgan", "width": SMALL_WIDTH},
        **parts,
    )


def pix2pix_small() -> Recipe:
    """Return the small pix2pix: encoder, decoder with skips, both rates 2e-4, 50 epochs."""
    return _small("pix2pix-small", optim=_optim(2e-4, 2e-4))


def pix2pix_balanced() -> Recipe:
    """Return the stabilised small pix2pix: generator rate 5e-4, soft labels 0.9 and 0.1."""
    soft = {"critic": {"weight": 1.0, "mode": "bce", "real": 0.9, "fake": 0.1}}
    return _small("pix2pix-balanced", optim=_optim(5e-4, 2e-4), critic_losses=soft)


def cgan() -> Recipe:
    """Return the plain conditional GAN: no skips, BCE alone, rate 1e-3, 20 epochs."""
    return _recipe(
        "cgan",
        batch=8,
        epochs=20,
        generator={"name": "encoder-decoder"},
        discriminator={"name": "encoder"},
        losses={"adversarial": {"weight": 1.0, "mode": "bce"}},
        optim=_optim(1e-3, 1e-3, betas=(0.9, 0.999)),
    )
