"""One self-contained HTML page: table, intervals, quality against cost, sliders, worst cases."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from string import Template

from restorekit.benchmark import plot, table
from restorekit.benchmark.pictures import chosen_images, data_uri, detail
from restorekit.benchmark.samples import Pixels, Samples
from restorekit.benchmark.scoring import HEADLINE
from restorekit.benchmark.summary import RowSummary, Summary
from restorekit.version import __version__

ImageOf = Callable[[str, str], "Pixels | None"]

SLIDER_IMAGES = 3
SLIDER_WIDTH = 860
THUMBNAIL = 300

_escape = html.escape


def page(summary: Summary, samples: Samples, images: ImageOf) -> str:
    """Return the page; `images` gives the restored pixels of (model, image name)."""
    template = Template((files("restorekit.benchmark") / "page.html").read_text(encoding="utf-8"))
    sets = _slider_sets(summary, samples, images)
    figure = plot.quality_cost(summary)
    return template.substitute(
        title=_escape(f"restorekit: {summary.label}"),
        heading=_escape(table.heading(summary)),
        version=_escape(__version__),
        notes="".join(f'<p class="note">{_escape(note)}</p>' for note in summary.notes),
        table=_table(summary),
        conditions="<br>".join(_escape(line) for line in table.conditions(summary)),
        gains=_gains(summary),
        plot=f"<h2>Quality against cost</h2>{plot.svg(figure)}" if figure else "",
        sliders=_slider(sets),
        worst=_worst(summary, samples, images),
        tests=_tests(summary),
        # "</" would end the script element
        pictures=json.dumps(sets).replace("</", "<\\/"),
    )


def _table(summary: Summary) -> str:
    head = "".join(f"<th>{_escape(name)}</th>" for name in table.header(summary))
    body = "".join(_table_row(row, summary) for row in summary.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_row(row: RowSummary, summary: Summary) -> str:
    kinds = [row.row.state.replace(" ", "-")] + (["other"] if row.other_task else [])
    cells = "".join(f"<td>{_escape(cell)}</td>" for cell in table.cells(row, summary))
    return f'<tr class="{" ".join(kinds)}">{cells}</tr>'


def _gains(summary: Summary) -> str:
    """Return a chart of each model's paired gain and its interval, as SVG."""
    rows = [r for r in summary.rows if HEADLINE in r.gains and math.isfinite(r.gains[HEADLINE].low)]
    if not rows:
        return ""
    intervals = [row.gains[HEADLINE] for row in rows]
    low, high = min(0.0, *(i.low for i in intervals)), max(0.0, *(i.high for i in intervals))
    scale = 520 / ((high - low) or 1)
    at = 330 - low * scale  # where the gain is 0
    bottom = 26 * len(rows)
    parts = [f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{bottom}" stroke="#888" stroke-dasharray="4 3"/>']
    for index, (row, i) in enumerate(zip(rows, intervals, strict=True)):
        a, b, middle = (330 + (value - low) * scale for value in (i.low, i.high, i.mean))
        y = 26 * index + 15
        colour = "#b3261e" if i.high < 0 else "#0b66c3" if i.low > 0 else "#777"
        parts.append(
            f'<text x="0" y="{y + 4}" font-size="13">{_escape(row.title)}</text>'
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"/>'
            f'<text x="865" y="{y + 4}" font-size="13">{_escape(table.gain(row))}</text>'
        )
    chart = (
        f'<svg viewBox="0 0 1040 {bottom + 4}" width="1040" role="img" aria-label="paired gains">{"".join(parts)}</svg>'
    )
    return f"<h2>Gain over the degraded input, dB ({HEADLINE}), mean and 95 % interval</h2>{chart}"


def _slider_sets(summary: Summary, samples: Samples, images: ImageOf) -> list[dict[str, object]]:
    sets: list[dict[str, object]] = []
    for name in chosen_images(summary.rows[0].row, SLIDER_IMAGES):
        sample = samples.named(name)
        shown: list[tuple[str, str, Pixels]] = [("degraded", detail(summary.rows[0].row, name), sample.degraded)]
        for row in summary.rows[1:]:
            pixels = images(row.model, name) if row.row.state == "done" else None
            if pixels is not None:
                shown.append((row.title, detail(row.row, name), pixels))
        if sample.clean is not None:
            shown.append(("clean", "", sample.clean))
        pictures = [{"title": t, "detail": d, "src": data_uri(p, SLIDER_WIDTH)} for t, d, p in shown]
        sets.append({"name": name, "pictures": pictures})
    return sets


def _options(names: Sequence[str], selected: int) -> str:
    return "".join(
        f'<option value="{i}"{" selected" if i == selected else ""}>{_escape(name)}</option>'
        for i, name in enumerate(names)
    )


def _slider(sets: list[dict[str, object]]) -> str:
    pictures = sets[0]["pictures"] if sets else []
    assert isinstance(pictures, list)
    if len(pictures) < 2:
        return ""
    titles = [picture["title"] for picture in pictures]
    names = [str(s["name"]) for s in sets]
    return (
        '<h2>Before and after</h2><div class="controls">'
        f'<label>image <select id="image">{_options(names, 0)}</select></label>'
        f'<label>left <select id="other">{_options(titles, 0)}</select></label>'
        f'<label>right <select id="model">{_options(titles, 1)}</select></label></div>'
        '<div class="slider"><img class="after" alt="right"><img class="before" alt="left">'
        '<div class="bar"></div><span class="l"></span><span class="r"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="where the left picture ends"></div>'
        '<p class="soft" id="detail"></p>'
    )


def _worst(summary: Summary, samples: Samples, images: ImageOf) -> str:
    figures = []
    for row in summary.rows[1:]:
        for name, delta in row.worst:
            restored, sample = images(row.model, name), samples.named(name)
            if restored is None or sample.clean is None:
                continue
            strip = "".join(
                f'<img src="{data_uri(pixels, THUMBNAIL, 82)}" alt="{alt}">'
                for alt, pixels in (
                    ("degraded", sample.degraded),
                    ("restored", restored),
                    ("clean", sample.clean),
                )
            )
            caption = f"{_escape(row.title)}, {_escape(name)}: {delta:+.2f} dB"
            figures.append(f"<figure><div>{strip}</div><figcaption>{caption}</figcaption></figure>")
    if not figures:
        return ""
    text = "Each model's smallest gains over the input. From left to right: degraded, restored, clean."
    return f'<h2>Worst cases</h2><p class="soft">{text}</p><div class="worst">{"".join(figures)}</div>'


def _tests(summary: Summary) -> str:
    if not summary.tests:
        return ""
    items = "".join(f"<li>{_escape(line)}</li>" for line in table.tests_lines(summary))
    text = f"Wilcoxon signed-rank on {HEADLINE}, Holm over all pairs."
    return f'<h2>Paired tests</h2><p class="soft">{text}</p><ul>{items}</ul>'
