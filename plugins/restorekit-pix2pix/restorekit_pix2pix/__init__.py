"""pix2pix and its relatives for restorekit: raindrop removal by conditional GANs. Declares only."""

from __future__ import annotations

from restorekit.plugin import Entry, hookimpl

PAPER = (
    "Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks. CVPR 2017."
    " arXiv:1611.07004"
)

_EVAL_MODE = (
    "Restores in eval mode (running batch statistics, no dropout), so that a result is deterministic;"
    " generator.batch_statistics=true restores as the source does."
)
_LENGTH = "Trains for 200 epochs of the Raindrop set at batch 8, a length that the source does not state."
_LAYERS = "Layers of the encoder, decoder and discriminator are ours, because the source shows drawings only."
_CROPS = "Crops and augmentation are those of pix2pix, because the source does not state its own."

_L1 = "The weight of L1, 100, is that of pix2pix, because the source does not state its own."


EXPECTED_FAILURES = {
    "metric:segmentation-agreement:says-what-is-better": "The check's images are coloured noise, in which a network"
    " that knows streets sees void, or what more noise does not change in one direction; on photographs it does fall.",
}


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the models and their parts."""
    return [*_networks(), *_models(), _segmentation()]


def _networks() -> list[Entry]:
    package = "restorekit_pix2pix"
    return [
        Entry(
            name="pix2pix",
            kind="generator",
            target=f"{package}.unet:UNetGenerator",
            summary="U-Net of pix2pix, with channel or spatial attention on request",
            paper=PAPER,
            deviations=(_EVAL_MODE,),
        ),
        Entry(
            name="encoder-decoder",
            kind="generator",
            target=f"{package}.encoder_decoder:EncoderDecoder",
            summary="Small encoder and decoder, with skips on request",
            deviations=(_LAYERS,),
        ),
        Entry(
            name="patchgan",
            kind="discriminator",
            target=f"{package}.patch:PatchDiscriminator",
            summary="PatchGAN: a logit for every 70x70 patch, conditional",
            gives={"logits"},
            paper=PAPER,
        ),
        Entry(
            name="encoder",
            kind="discriminator",
            target=f"{package}.encoder_decoder:EncoderDiscriminator",
            summary="One logit for the whole image, conditional",
            gives={"logits"},
            deviations=(_LAYERS,),
        ),
    ]


def _models() -> list[Entry]:
    attention = "with {} attention behind every encoder convolution"
    return [
        _model("pix2pix", "pix2pix: U-Net 256 and PatchGAN, BCE + 100 L1", PAPER, _EVAL_MODE, _LENGTH),
        *(
            _model(f"pix2pix-{kind}", f"pix2pix {attention.format(words)}", PAPER, _EVAL_MODE, _LENGTH)
            for kind, words in (("channel", "channel"), ("spatial", "spatial"), ("both", "channel + spatial"))
        ),
        _model("pix2pix-small", "Small encoder and decoder with skips, PatchGAN", PAPER, _LAYERS, _CROPS, _L1),
        _model(
            "pix2pix-balanced",
            "pix2pix-small, stabilised: unequal rates and soft labels",
            PAPER,
            _LAYERS,
            _CROPS,
            _L1,
        ),
        _model("cgan", "Conditional GAN of encoder and decoder without skips", "", _LAYERS, _CROPS),
    ]


def _model(name: str, summary: str, paper: str, *deviations: str) -> Entry:
    return Entry(
        name=name,
        kind="model",
        target=f"restorekit_pix2pix.models:{name.replace('-', '_')}",
        summary=summary,
        tasks=("raindrop",),
        paper=paper,
        deviations=deviations,
        weights="restorekit_pix2pix:weights",
    )


def _segmentation() -> Entry:
    return Entry(
        name="segmentation-agreement",
        kind="metric",
        target="restorekit_pix2pix.segmentation:SegmentationAgreement",
        summary="Does a segmentation network see in the restored image what it sees in the clean one?",
        paper="Mehta, Rastegari, Caspi, Shapiro, Hajishirzi: ESPNet. ECCV 2018, arXiv:1803.06815; Chen, Papandreou,"
        " Schroff, Adam: Rethinking Atrous Convolution (DeepLabv3). arXiv:1706.05587",
    )
