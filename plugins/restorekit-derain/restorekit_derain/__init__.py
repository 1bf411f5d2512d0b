"""derain for restorekit: one network for rain streaks, raindrops on glass, and both. Declares only."""

from __future__ import annotations

from restorekit.plugin import Entry, hookimpl

_TASKS = ("rain", "raindrop", "rain-streak")


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the model, its network, the loss of its mask, and the weather that it learns from."""
    return [
        Entry(
            name="rain",
            kind="task",
            target="restorekit_derain.task:RAIN",
            summary="remove rain in the air and drops on the glass, and leave alone what is clean",
        ),
        Entry(
            name="rain",
            kind="synthesizer",
            target="restorekit_derain.weather:Weather",
            summary="streaks, drops, both or neither; with real pairs also their drops on other photographs",
            tasks=("rain",),
        ),
        Entry(
            name="derain",
            kind="generator",
            target="restorekit_derain.generator:Derain",
            summary="U-Net at half resolution; adds a correction where its own mask says so",
            gives={"mask", "mask_logits"},
            tasks=_TASKS,
            paper="Ronneberger et al., U-Net, MICCAI 2015; Chen et al., NAFNet, ECCV 2022 (optional blocks)",
        ),
        Entry(
            name="change-mask",
            kind="loss",
            target="restorekit_derain.losses:ChangeMask",
            summary="cross-entropy of the generator's mask against what the rain has changed",
            needs={"clean", "mask_logits"},
            tasks=_TASKS,
        ),
        Entry(
            name="derain",
            kind="model",
            target="restorekit_derain.models:derain",
            summary="Streaks, drops or both: find what the rain has changed, and mend only that",
            tasks=_TASKS,
            default_for=_TASKS,
            weights="restorekit_derain:weights",
        ),
    ]
