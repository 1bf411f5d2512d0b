"""Rain2Avoid for restorekit: remove rain streaks without clean images. Declares only."""

from __future__ import annotations

from restorekit.plugin import Entry, hookimpl

PAPER = "Peng, Li: Rain2Avoid: Self-Supervised Single Image Deraining. ICASSP 2023"
_TASKS = ("rain-streak",)

_LDGP = Entry(
    name="ldgp",
    kind="prior",
    target="restorekit_rain2avoid.priors:LDGP",
    summary="rain mask from the locally dominant gradient: thin bright streaks along the rain's angle",
    gives={"mask"},
    tasks=_TASKS,
    paper=PAPER,
    deviations=("An image smaller than one 80x80 patch is continued by reflection to one patch, to have an angle.",),
)

_NSS = Entry(
    name="nss",
    kind="prior",
    target="restorekit_rain2avoid.priors:NSS",
    summary="plausible clean images: rain replaced by rain-free pixels of similar patches nearby",
    gives={"references"},
    tasks=_TASKS,
    paper=PAPER,
    deviations=(
        "Every pixel of every reference is drawn independently; the authors restart their random generator"
        " at each pixel, so that their mean of 50 references differs a little from the exact expectation.",
        "Patches are compared with the image rounded to 8 bits.",
        "By default patches are compared where they are rain-free around the rain pixel; the authors' program"
        " compares them where they are not: compare='rain', which the model rain2avoid sets.",
    ),
)

_LAYER = Entry(
    name="rain-layer",
    kind="prior",
    target="restorekit_rain2avoid.layer:RainLayer",
    summary="a clean image: the input less a layer of colourless light in long streaks",
    gives={"references"},
    tasks=_TASKS,
)

_NETWORK = Entry(
    name="rain-unet",
    kind="generator",
    target="restorekit_rain2avoid.network:RainUNet",
    summary="U-Net with four strided levels and the input as its last skip",
    tasks=_TASKS,
    paper=PAPER,
)

_MODEL = Entry(
    name="rain2avoid",
    kind="model",
    target="restorekit_rain2avoid.models:rain2avoid",
    summary="Rain2Avoid: learns from rainy images alone, a folder of them or the one to restore",
    tasks=_TASKS,
    paper=PAPER,
    deviations=(
        "The training on many images is 6,250 steps, which is 2,000 epochs over 200 images in batches of 64;"
        " the authors count epochs.",
        "On one image of more than a million pixels the network learns from square crops of that many.",
        "The mask is turned back exactly (prior.align); the authors' lies up to a pixel beside its streaks.",
        "Its learning rate is 1e-3, that of the training on one image; the authors' is not stated.",
        "The network starts as the input itself (generator.start='input'), the authors' at random.",
        "On one image, 5 of the 50 references are held out and training ends when they have not come closer for 500"
        " steps (adapt.patience); the authors make 5,000 steps.",
        "A budget that ends within 100 steps (adapt.fallback) gives the mean of the references.",
        "The statistics of the batch norms are measured anew at the end of the training on one image.",
    ),
    weights="restorekit_rain2avoid:weights",
    adapts=True,
)

_PLUS = Entry(
    name="rain2avoid-plus",
    kind="model",
    target="restorekit_rain2avoid.models:rain2avoid_plus",
    summary="better than rain2avoid, in seconds: subtracts the layer of light that runs along the rain's direction",
    tasks=_TASKS,
    adapts=True,
)


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the three priors, the network and the two models."""
    return [_LDGP, _NSS, _LAYER, _NETWORK, _MODEL, _PLUS]
