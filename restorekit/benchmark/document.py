"""The frame of every page that compares: one HTML file without others, its tables, sliders and strips of pictures."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from restorekit.benchmark.intervals import Interval
from restorekit.benchmark.pictures import data_uri
from restorekit.benchmark.samples import Pixels, shown

THUMBNAIL = 300


def escape(text: str) -> str:
    """Return text for HTML; what no encoding can write, as in names of files, is replaced."""
    return html.escape(shown(text))


def for_script(value: Any) -> str:
    """Return JSON for a script element: no ``<`` is left in it that could end the element or open a comment."""
    return json.dumps(value).replace("<", "\\u003c")


def document(title: str, heading: str, lead: str, parts: Sequence[str], pictures: Sequence[dict[str, Any]]) -> str:
    """Return the page; `parts` are HTML, the rest is text."""
    template = Template((files("restorekit.benchmark") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        heading=escape(heading),
        lead=escape(lead),
        body="\n".join(part for part in parts if part),
        pictures=for_script(list(pictures)),
    )


def notes(lines: Sequence[str]) -> str:
    """Return lines that a reader must not miss."""
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines)


def lines(texts: Sequence[str]) -> str:
    """Return small print, a line each."""
    return f'<p class="soft">{"<br>".join(map(escape, texts))}</p>' if texts else ""


def scrolling(label: str, content: str) -> str:
    """Return content in a box of its own that scrolls sideways, by the keyboard too."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{content}</div>'


Key = str | float | None


def _sort_value(key: Key) -> str:
    if key is None or (isinstance(key, float) and math.isnan(key)):
        return ""
    if isinstance(key, float) and math.isinf(key):
        return "Infinity" if key > 0 else "-Infinity"
    return escape(str(key))


def table(label: str, header: Sequence[str], rows: Sequence[tuple[str, Sequence[str], Sequence[Key]]]) -> str:
    """Return a table whose columns sort; each row is its class, its cells, and by what each cell is sorted."""
    head = "".join(f'<th scope="col" aria-sort="none"><button type="button">{escape(n)}</button></th>' for n in header)
    body = "".join(_row(*row) for row in rows)
    text = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return scrolling(label, text)


def _row(kind: str, cells: Sequence[str], keys: Sequence[Key]) -> str:
    marked = [f'data-sort="{_sort_value(key)}"' for key in keys]
    first = f'<th scope="row" {marked[0]}>{escape(cells[0])}</th>'
    rest = (f"<td {mark}>{escape(cell)}</td>" for mark, cell in zip(marked[1:], cells[1:], strict=True))
    return f'<tr class="{kind}">{first}{"".join(rest)}</tr>'


def bars(rows: Sequence[tuple[str, Interval, str]]) -> str:
    """Return a chart of intervals about 0: title, interval, text. HTML, so that it fits a narrow screen."""
    low = min(0.0, *(i.low for _, i, _ in rows))
    scale = 100 / ((max(0.0, *(i.high for _, i, _ in rows)) - low) or 1)

    def at(value: float) -> str:
        return f"{(value - low) * scale:.2f}%"

    parts = []
    for title, i, text in rows:
        kind = "worse" if i.high < 0 else "better" if i.low > 0 else "open"
        parts.append(
            f'<div class="gain"><span>{escape(title)}</span>'
            f'<span class="bar {kind}" aria-hidden="true"><span class="zero" style="left:{at(0)}"></span>'
            f'<span class="range" style="left:{at(i.low)};width:{(i.high - i.low) * scale:.2f}%"></span>'
            f'<span class="mean" style="left:{at(i.mean)}"></span></span><span>{escape(text)}</span></div>'
        )
    return "".join(parts)


def _options(names: Sequence[str], selected: int) -> str:
    return "".join(
        f'<option value="{i}"{" selected" if i == selected else ""}>{escape(name)}</option>'
        for i, name in enumerate(names)
    )


def slider(sets: Sequence[dict[str, Any]], heading: str = "Before and after") -> str:
    """Return the slider for sets of pictures: ``{"name": ..., "pictures": [{"title", "detail", "src"}, ...]}``."""
    titles = [picture["title"] for picture in sets[0]["pictures"]] if sets else []
    if len(titles) < 2:
        return ""
    return (
        f'<h2>{escape(heading)}</h2><div class="controls">'
        f'<label>image <select id="image">{_options([s["name"] for s in sets], 0)}</select></label>'
        f'<label>left <select id="other">{_options(titles, 0)}</select></label>'
        f'<label>right <select id="model">{_options(titles, 1)}</select></label></div>'
        '<div class="slider"><img class="after" alt="right"><img class="before" alt="left">'
        '<div class="edge"></div><span class="l"></span><span class="r"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="where the left picture ends"></div>'
        '<p class="soft" id="detail" aria-live="polite"></p>'
    )


def strip(pictures: Sequence[tuple[str, Pixels]], caption: str) -> str:
    """Return pictures side by side over a caption; each has a title for those who cannot see it."""
    images = "".join(f'<img src="{data_uri(p, THUMBNAIL, 82)}" alt="{escape(title)}">' for title, p in pictures)
    return f"<figure><div>{images}</div><figcaption>{escape(caption)}</figcaption></figure>"


def strips(heading: str, text: str, figures: Sequence[str]) -> str:
    """Return a section of `strip` figures, nothing when there are none."""
    if not figures:
        return ""
    return f'<h2>{escape(heading)}</h2><p class="soft">{escape(text)}</p><div class="strips">{"".join(figures)}</div>'


def listing(heading: str, text: str, items: Sequence[str]) -> str:
    """Return a section with a list, nothing when it is empty."""
    if not items:
        return ""
    rows = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<h2>{escape(heading)}</h2><p class="soft">{escape(text)}</p><ul>{rows}</ul>'
