"""Write the results of benchmarks into the README, between its two marks.

    python benchmarks/tools/readme_table.py FOLDER --command "restorekit benchmark ..." [FOLDER --command ...]

`FOLDER` is what `restorekit benchmark -o FOLDER` left; its ``summary.json`` is read. Below each table stands what
made it. `--picture` puts an image above the tables.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restorekit.benchmark.table import ABSENT, percent, seconds, si

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
README = Path(__file__).resolve().parents[2] / "README.md"


def number(value: float | str | None, digits: int, sign: str = "") -> str:
    """Return a value of the summary with so many digits; null and infinities as the summary has them."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else f"{value:{sign}.{digits}f}"


def score(row: Mapping[str, Any], protocol: str) -> str:
    """Return ``PSNR / SSIM`` under one protocol."""
    means = row["means"]
    if f"psnr-{protocol}" not in means:
        return ABSENT
    return f"{number(means[f'psnr-{protocol}']['mean'], 2)} / {number(means[f'ssim-{protocol}']['mean'], 4)}"


def gain(row: Mapping[str, Any], headline: str) -> str:
    """Return the paired gain over the input with its interval."""
    found = row["gains"].get(headline)
    if not found or found["mean"] is None:
        return ABSENT
    low, high = (number(found[bound], 2, "+") for bound in ("low", "high"))
    return f"{number(found['mean'], 2, '+')} [{low}, {high}]"


def cells(row: Mapping[str, Any], protocols: list[str], headline: str) -> list[str]:
    """Return one row of the table; a model without scores says why in its last cell."""
    worse = row["share_worse"]
    cost = row["cost"] or {}
    return [
        row["title"],
        *(score(row, p) for p in protocols),
        gain(row, headline),
        ABSENT if worse is None else percent(worse),
        si(cost.get("parameters")),
        seconds(cost.get("latency")),
        row["note"] or row["source"] or ABSENT,
    ]


def table(summary: Mapping[str, Any], command: str) -> str:
    """Return one benchmark as Markdown: label, notes, table, what it ran on, command."""
    first = summary["rows"][0]["means"]
    protocols = [name.removeprefix("psnr-") for name in first if name.startswith("psnr-")]
    scores = [f"PSNR / SSIM `{p}`" for p in protocols]
    header = ["model", *scores, "gain dB [95 %]", "worse than input", "params", "latency", "weights"]
    rows = [header, ["---"] * len(header), *(cells(row, protocols, summary["headline"]) for row in summary["rows"])]
    lines = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    costs = [row["cost"] for row in summary["rows"] if row["cost"]]
    devices = sorted({f"{c['device']}, {c['precision']}, {c['width']}x{c['height']}" for c in costs})
    label = f"**`{summary['dataset']}`**, {summary['images']} images"
    about = [label + (f"; latency on {'; '.join(devices)}" if devices else "") + ".", *summary["notes"]]
    return "\n\n".join([" ".join(about), "\n".join(lines), f"    {command}"])


def filled(text: str, results: str) -> str:
    """Return the README with `results` between the marks. Raises `SystemExit` when they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the README has no marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{results}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Fill the README's block from the folders that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--command", action="append", required=True, help="what made the folder; one each, in order")
    parser.add_argument("--picture", help="an image's path, relative to the README")
    parser.add_argument("--caption", default="degraded, restored, clean", help="what the picture shows")
    parser.add_argument("--readme", type=Path, default=README)
    given = parser.parse_intermixed_args(arguments)
    if len(given.command) != len(given.folders):
        parser.error(f"{len(given.folders)} folders need as many --command; {len(given.command)} were given")
    summaries = [json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in given.folders]
    parts = [f"![{given.caption}]({given.picture})\n\n*{given.caption}*"] if given.picture else []
    parts += [table(summary, command) for summary, command in zip(summaries, given.command, strict=True)]
    text = given.readme.read_text(encoding="utf-8")
    given.readme.write_text(filled(text, "\n\n".join(parts)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
