"""ReMAEN for restorekit: rain streak removal in recurrent stages. Declares only."""

from __future__ import annotations

from restorekit.plugin import Entry, hookimpl

PAPER = (
    "Yang, Lu: Single Image Deraining via Recurrent Residual Multi-scale Aggregation and Enhancement Network"
    " (ReMAEN). ICME 2019"
)


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the model and its network."""
    return [
        Entry(
            name="remaen",
            kind="generator",
            target="restorekit_remaen.generator:ReMAEN",
            summary="Recurrent multi-scale aggregation and enhancement network, 3 stages",
            gives={"stages"},
            tasks=("rain-streak",),
            paper=PAPER,
        ),
        Entry(
            name="remaen",
            kind="model",
            target="restorekit_remaen.models:remaen",
            summary="ReMAEN: subtract the rain in three stages with shared weights",
            tasks=("rain-streak",),
            paper=PAPER,
            weights="restorekit_remaen:weights",
        ),
    ]
