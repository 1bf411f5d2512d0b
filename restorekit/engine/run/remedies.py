"""What to do about updates that were masked because a loss or gradient was not finite, and what to say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from restorekit.engine.step.nonfinite import MaskedUpdates

MASKED_IN_A_ROW = 20  # skipping, or fp16 overflows that backing the scale off cannot explain
SKIPS = 100  # masked updates in all, after which `skip` stops
ROLLBACKS = 3

Action = Literal["ignore", "skip", "rollback", "stop"]


def action_for(policy: str, masked: MaskedUpdates, *, fp16: bool, rollbacks: int) -> Action:
    """Return what `policy` asks for; overflow of fp16 is ordinary until it happens many times in a row."""
    endless = masked.streak >= MASKED_IN_A_ROW
    if fp16 and not endless:
        return "ignore"
    if policy == "skip" and not endless and masked.count <= SKIPS:
        return "skip"
    return "rollback" if policy == "rollback" and rollbacks < ROLLBACKS else "stop"


def describe(masked: MaskedUpdates, culprit: str) -> str:
    """Return one sentence with step, phase, terms and, if it was found, the module."""
    terms = ", ".join(masked.terms) or "no single term: the gradient"
    where = culprit or "it did not recur when the step was replayed"
    plural = "update was" if masked.count == 1 else "updates were"
    return (
        f"values that are not finite in phase {masked.phase!r} at step {masked.step} ({terms}; {where});"
        f" {masked.count} {plural} masked and the weights are those from before"
    )


def remedy(policy: str, checkpoints: Path) -> str:
    """Return what the user can do once the run has stopped."""
    bounds = {
        "stop": "--on-nan skip or rollback goes on, a bounded number of times",
        "skip": f"--on-nan skip goes on at most {MASKED_IN_A_ROW} times in a row and {SKIPS} times in all",
        "rollback": f"--on-nan rollback goes back at most {ROLLBACKS} times",
    }
    return (
        f"The last checkpoint in {checkpoints} is good; try a lower rate, clip_norm=1 or precision=fp32"
        f" ({bounds[policy]})"
    )
