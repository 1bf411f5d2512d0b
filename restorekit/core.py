"""The core's own plugin: what restorekit itself offers, declared through the hooks that every plugin uses. No torch."""

from __future__ import annotations

from restorekit.data.known import ALIASES, CARDS
from restorekit.plugin import Entry, hookimpl

_LOSSES = "restorekit.losses"
_CLEAN = frozenset({"clean"})

_PIXEL = (
    Entry(
        name="l1",
        kind="loss",
        target=f"{_LOSSES}.pixel:L1",
        summary="mean absolute difference to the clean image",
        needs=_CLEAN,
    ),
    Entry(
        name="mse",
        kind="loss",
        target=f"{_LOSSES}.pixel:MSE",
        summary="mean squared difference to the clean image",
        needs=_CLEAN,
    ),
    Entry(
        name="charbonnier",
        kind="loss",
        target=f"{_LOSSES}.pixel:Charbonnier",
        summary="smooth L1, sqrt(d^2 + eps^2)",
        needs=_CLEAN,
        paper="Charbonnier et al., Two deterministic half-quadratic regularization algorithms, ICIP 1994",
    ),
    Entry(
        name="psnr",
        kind="loss",
        target=f"{_LOSSES}.pixel:PSNRLoss",
        summary="dB of PSNR below a ceiling, image by image",
        needs=_CLEAN,
        paper="Chen et al., HINet: Half instance normalization network, CVPR Workshops 2021",
        deviations=("A floor keeps perfect images finite: the loss is 0 for them, not minus infinity.",),
    ),
    Entry(
        name="masked-l1",
        kind="loss",
        target=f"{_LOSSES}.pixel:MaskedL1",
        summary="L1 that weighs degraded regions more",
        needs={"clean", "mask"},
    ),
    Entry(
        name="references",
        kind="loss",
        target=f"{_LOSSES}.pixel:References",
        summary="mean squared difference to a prior's references, or to their mean",
        needs={"references"},
    ),
)

_STRUCTURE = (
    Entry(
        name="ssim",
        kind="loss",
        target=f"{_LOSSES}.structure:SSIMLoss",
        summary="1 - structural similarity to the clean image",
        needs=_CLEAN,
        paper="Wang et al., Image quality assessment, IEEE TIP 2004",
    ),
    Entry(
        name="edge",
        kind="loss",
        target=f"{_LOSSES}.structure:Edge",
        summary="MSE of the Laplacian edges of the grey images",
        needs=_CLEAN,
        paper="Yang and Lu, Single image deraining via recurrent multi-scale aggregation, ICME 2019",
        deviations=("Border pixels are repeated outwards before the Laplacian; the paper names no padding.",),
    ),
    Entry(
        name="contrastive",
        kind="loss",
        target=f"{_LOSSES}.contrastive:Contrastive",
        summary="near the clean image, far from the degraded one; against white spots",
        needs=_CLEAN,
        paper="Wu et al., Contrastive learning for compact single image dehazing (AECR-Net), CVPR 2021",
        deviations=(
            "The default features are an image pyramid with gradients, which needs no downloaded weights.",
            "The default form is r / (1 + r) of the paper's ratio r, which is bounded at the identity.",
            "With features 'vgg' the network is VGG16, not VGG19.",
        ),
    ),
)

_LEARNED = (
    Entry(
        name="perceptual",
        kind="loss",
        target=f"{_LOSSES}.perceptual:Perceptual",
        summary="MSE of VGG16 activations (ImageNet weights)",
        needs=_CLEAN,
        paper="Johnson et al., Perceptual losses for real-time style transfer, ECCV 2016",
    ),
    Entry(
        name="lpips",
        kind="loss",
        target=f"{_LOSSES}.learned:LPIPSLoss",
        summary="learned perceptual distance to the clean image",
        needs=_CLEAN,
        paper="Zhang et al., The unreasonable effectiveness of deep features, CVPR 2018",
    ),
)

_ADVERSARIAL = (
    Entry(
        name="adversarial",
        kind="loss",
        target=f"{_LOSSES}.adversarial:Adversarial",
        summary="generator's side of a GAN: bce, lsgan or hinge",
        needs={"logits"},
        paper="Goodfellow et al. 2014; Mao et al. 2017 (lsgan); Lim and Ye 2017 (hinge)",
    ),
    Entry(
        name="critic",
        kind="loss",
        target=f"{_LOSSES}.adversarial:Critic",
        summary="discriminator's side of a GAN: bce, lsgan or hinge; soft and noisy labels",
        needs={"clean", "logits"},
        paper="Goodfellow et al. 2014; Mao et al. 2017 (lsgan); Lim and Ye 2017 (hinge)",
    ),
)

_METRICS = (
    Entry(
        name="psnr",
        kind="metric",
        target="restorekit.metrics.quality:PSNR",
        summary="peak signal-to-noise ratio under a protocol: rgb, y-matlab, y-cv2, qian2018",
        needs=_CLEAN,
    ),
    Entry(
        name="ssim",
        kind="metric",
        target="restorekit.metrics.quality:SSIM",
        summary="structural similarity under a protocol: rgb, y-matlab, y-cv2, qian2018",
        needs=_CLEAN,
        paper="Wang et al., Image quality assessment, IEEE TIP 2004",
    ),
    Entry(
        name="lpips",
        kind="metric",
        target="restorekit.metrics.learned:LPIPS",
        summary="learned perceptual distance, lower is better",
        needs=_CLEAN,
        paper="Zhang et al., The unreasonable effectiveness of deep features, CVPR 2018",
    ),
)

_OTHERS = (
    Entry(
        name="mask-from-pair",
        kind="prior",
        target="restorekit.priors.masks:MaskFromPair",
        summary="mask of the pixels that differ by more than 30 of 255 levels from the clean image",
        needs=_CLEAN,
        gives={"mask"},
        tasks=("raindrop",),
        paper="Qian et al., Attentive generative adversarial network for raindrop removal, CVPR 2018",
    ),
    Entry(
        name="unet",
        kind="generator",
        target="restorekit.generators.unet:UNet",
        summary="U-Net over any timm encoder; adds a residual to its input",
        paper="Ronneberger et al., U-Net, MICCAI 2015",
    ),
)

_TASKS = (
    Entry(
        name="raindrop",
        kind="task",
        target="restorekit.data.tasks:RAINDROP",
        summary="remove raindrops on the glass in front of the lens",
    ),
    Entry(
        name="rain-streak",
        kind="task",
        target="restorekit.data.tasks:RAIN_STREAK",
        summary="remove streaks of rain that falls in front of the scene",
    ),
)

_SYNTHESIZERS = (
    Entry(
        name="raindrop",
        kind="synthesizer",
        target="restorekit.data.synthesis.raindrops:Raindrops",
        summary="drops on the glass: refraction, defocus and what they add; from sharp to soft",
        gives={"mask"},
        tasks=("raindrop",),
        paper="Roser and Geiger, Video-based raindrop detection, 2009",
    ),
    Entry(
        name="rain-streak",
        kind="synthesizer",
        target="restorekit.data.synthesis.streaks:Streaks",
        summary="falling rain; presets light, medium, heavy, real, rain100, mixed",
        gives={"mask"},
        tasks=("rain-streak",),
        paper="Garg and Nayar, Vision and rain, IJCV 2007",
    ),
)


def _dataset(name: str, card_name: str) -> Entry:
    card = next(card for card in CARDS if card.name == card_name)
    return Entry(
        name=name,
        kind="dataset",
        target=f"restorekit.data.known:{card_name.replace('-', '_')}",
        summary=card.title,
        gives={"clean"} if card.paired else (),
        tasks=(card.task,),
        paper=card.paper,
    )


_DATASETS = (
    *(_dataset(card.name, card.name) for card in CARDS),
    *(_dataset(alias, name) for alias, name in ALIASES.items()),
)

CORE_ENTRIES: tuple[Entry, ...] = (
    *_PIXEL,
    *_STRUCTURE,
    *_LEARNED,
    *_ADVERSARIAL,
    *_METRICS,
    *_OTHERS,
    *_TASKS,
    *_SYNTHESIZERS,
    *_DATASETS,
)


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the core's losses, metrics, priors, generators and data sets."""
    return list(CORE_ENTRIES)
