"""The card beside an exported file: what it is, how to feed it, what was checked."""

from __future__ import annotations

from collections.abc import Mapping

from restorekit.export.graph import OPSET
from restorekit.export.parity import Cost
from restorekit.runtime.facts import INPUT, OUTPUT, PREPROCESSING, Facts

_WORDS = {
    "fp32": "float32",
    "fp16": "float16 inside, float32 in and out",
    "int8": "convolutions in 8-bit integers, the rest float32",
}


def card(name: str, facts: Facts, found: Mapping[str, float], cost: Cost | None, of_weights: str) -> str:
    """Return the card in Markdown. `found`: see `differences`. `of_weights`: the card of the weights, or empty."""
    rows = {
        "model": facts.model,
        "task": facts.task,
        "weights": facts.weights,
        "recipe": facts.recipe,
        "numbers": _WORDS[facts.precision],
        "opset": str(OPSET),
        "sizes": f"multiples of {facts.multiple} pixels, at least {facts.minimum}; any batch",
        "reach": f"{facts.reach} pixels: tiles that overlap by twice that, and 16 more to fade, have no seams",
        "written by": f"restorekit {facts.version}",
    }
    parts = [
        f"# {name}",
        _table(rows),
        f"## How to feed it\n\n`{INPUT}` -> `{OUTPUT}`. {PREPROCESSING}",
        _checked(found),
    ]
    if cost:
        parts.append(_cost(facts.precision, cost))
    if of_weights:
        parts.append(f"## The weights\n\n{_one_deeper(of_weights)}")
    return "\n\n".join(parts) + "\n"


def _table(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])


def _checked(found: Mapping[str, float]) -> str:
    listed = ", ".join(f"{worst:.1e} at {size}" for size, worst in found.items())
    return f"## Against PyTorch\n\nLargest difference in float32, by onnxruntime, of values in [0, 1]: {listed}."


def _cost(precision: str, cost: Cost) -> str:
    by = f" Calibrated on {cost.calibrated} other images of the set." if cost.calibrated else ""
    text = f"## What {precision} costs\n\nOn {cost.images}: results agree with float32's to {cost.agreement:.2f} dB."
    if cost.before is not None and cost.after is not None:
        text += f" PSNR against the clean images: {cost.after:.2f} dB, in float32 {cost.before:.2f}."
    return text + by


def _one_deeper(text: str) -> str:
    """Return Markdown with its headings two levels deeper."""
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in text.strip().splitlines())
