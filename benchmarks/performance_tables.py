"""The Markdown tables of `performance.py`."""

from __future__ import annotations

from typing import Any


def _cells(row: dict[str, Any], rate: float) -> tuple[str, ...]:
    """Return the cells of one model's line; a dash for what was not measured."""
    training = inference = ("-",) * 3
    compiled = data = "-"
    if t := row.get("training"):
        share = t["flop"] / t["seconds"] / rate
        training = f"{t['engine']:.2f} ({t['plain']:.2f})", f"{t['ratio']:.2f}", f"{share:.0%}"
    if i := row.get("inference"):
        share = i["flop"] * i.get("compiled", i["engine"]) / rate
        compiled = f"{i['compiled'] / i['plain']:.2f}" if "compiled" in i else "-"
        inference = f"{i['engine']:.3f} ({i['plain']:.3f})", f"{i['engine'] / i['plain']:.2f}", f"{share:.0%}"
    if "feed" in row:
        data = f"{row['feed']:.0f}" + (f" ({row['feed'] / t['engine']:.1f})" if t else "")
    memory = f"{row['memory'] / 2**20:.0f} MiB"
    return row["model"], *training, *inference[:2], compiled, inference[2], data, memory


def table(report: dict[str, Any]) -> str:
    """Return the report as Markdown, a line for each recipe."""
    head = (
        "| model | training samples/s (plain) | ratio | share of matrix rate | inference images/s (plain) | ratio |"
        " compiled ratio | share of matrix rate | data samples/s (over training) | memory |\n" + "|---" * 10 + "|"
    )
    rows = (_cells(row, report["matrix_rate"][row["precision"]]) for row in report["models"])
    return "\n".join([head, *("| " + " | ".join(cells) + " |" for cells in rows)])


def quality_table(report: dict[str, Any]) -> str:
    """Return the PSNR of both precisions as Markdown."""
    lines = [
        "| model | images | PSNR in fp32 | in the fast precision | largest difference of one image |\n"
        + "|---" * 5
        + "|"
    ]
    for row in report["models"]:
        if q := row.get("quality"):
            cells = (
                row["model"],
                q["images"],
                f"{q['fp32']:.3f}",
                f"{q['fast']:.3f} ({q['precision']})",
                f"{q['largest']:.4f} dB",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
