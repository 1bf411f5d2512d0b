"""AttentiveGAN for restorekit: raindrop removal guided by a learned map of the drops. Declares only."""

from __future__ import annotations

from restorekit.plugin import Entry, hookimpl

PAPER = (
    "Qian, Tan, Yang, Su, Liu: Attentive Generative Adversarial Network for Raindrop Removal from a"
    " Single Image. CVPR 2018. arXiv:1711.10098"
)

_GENERATOR_DEVIATIONS = (
    "Peephole terms of the paper's gate equations are off by default, as in the authors' released code.",
    "With peepholes, their weights are one number per channel, so that any image size can be restored.",
    "Weights start so that every output is the input image at its size (the paper states no"
    " initialisation): three channels carry the colours. The rest is He (Xavier in the recurrent"
    " network's linear layers), residual branches at a tenth.",
)
_DISCRIMINATOR_DEVIATIONS = (
    "Features are averaged to 14x14 before the dense layers, so that crops need not be 224x224.",
    "The released code applies one layer twice and cannot run; the evident meaning is built instead.",
)
_MODEL_DEVIATIONS = (
    "Optimizer, learning rate, schedule, batch size and length are ours; the paper states none of them.",
    "The drop mask takes the largest difference over the three colour channels, which the paper leaves open.",
)


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the model and its parts."""
    return [*_networks(), *_losses(), _stages(), _model()]


def _networks() -> list[Entry]:
    return [
        Entry(
            name="attngan",
            kind="generator",
            target="restorekit_attngan.generator:AttentiveGenerator",
            summary="Attentive-recurrent network and contextual autoencoder",
            gives={"attention", "scales"},
            tasks=("raindrop",),
            paper=PAPER,
            deviations=_GENERATOR_DEVIATIONS,
        ),
        Entry(
            name="attngan",
            kind="discriminator",
            target="restorekit_attngan.discriminator:AttentiveDiscriminator",
            summary="Discriminator that weights its features by an attention map of its own",
            gives={"logits", "attention_map"},
            paper=PAPER,
            deviations=_DISCRIMINATOR_DEVIATIONS,
        ),
    ]


def _losses() -> list[Entry]:
    return [
        Entry(
            name="attention",
            kind="loss",
            target="restorekit_attngan.losses:AttentionLoss",
            summary="Attention maps against the drop mask, later maps counting more",
            needs={"mask", "attention"},
            paper=PAPER,
        ),
        Entry(
            name="multi-scale",
            kind="loss",
            target="restorekit_attngan.losses:MultiScaleLoss",
            summary="Squared error at a quarter, half and full size",
            needs={"clean", "scales"},
            paper=PAPER,
            deviations=("The clean image is reduced by the mean over areas, because the paper does not say how.",),
        ),
        Entry(
            name="attention-critic",
            kind="loss",
            target="restorekit_attngan.losses:AttentionCriticLoss",
            summary="The discriminator's map: the generator's on restored images, 0 on clean ones",
            needs={"attention_map", "attention", "clean"},
            paper=PAPER,
        ),
    ]


def _stages() -> Entry:
    return Entry(
        name="attngan-stage",
        kind="procedure",
        target="restorekit_attngan.stages:Stage",
        summary="One part of AttentiveGAN learns alone: the attention map, or the autoencoder under a true mask",
        needs={"clean", "mask"},
    )


def _model() -> Entry:
    return Entry(
        name="attngan",
        kind="model",
        target="restorekit_attngan.models:attngan",
        summary="AttentiveGAN: find the drops, then restore under their guidance",
        tasks=("raindrop",),
        paper=PAPER,
        deviations=(*_MODEL_DEVIATIONS, *_GENERATOR_DEVIATIONS, *_DISCRIMINATOR_DEVIATIONS),
        weights="restorekit_attngan:weights",
    )
