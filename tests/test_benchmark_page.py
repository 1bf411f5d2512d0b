"""The benchmark's page in a browser: sliders, sorting, keyboard, phone, print, and names that try to break out."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from jinja2 import UndefinedError

from restorekit.benchmark import document, plot
from restorekit.benchmark.extra_metrics import ExtraMetric, composed_protocols
from restorekit.benchmark.intervals import Interval
from restorekit.benchmark.page import page
from restorekit.benchmark.records import Cost, ImageRecord, ModelFacts, Row
from restorekit.benchmark.samples import Samples
from restorekit.benchmark.summary import summarize
from restorekit.benchmark.views import seen as maps
from restorekit.data.imageset import ImageSet, RawSample
from restorekit.pages import render

NASTY = (
    "<!--<script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "${alert(4)}",
    "$heading",
    "<svg onload=alert(5)>",
    "]]>--!>",
    "\u2028\u2029\udcff",
    "&lt;b&gt;",
    "$\\frac{1}{0$",
    "_hidden",
)


def cost(latency):
    return Cost(20, 24, 1000, 2000, latency, 1 / latency, 1, 5 * 2**20, "cpu", "fp32")


class Grey:
    """A metric that shows what it sees."""

    higher_is_better = True
    unit = ""

    def __call__(self, restored, clean):
        return 1 - (restored - clean).abs().mean((1, 2, 3)).double()

    def seen(self, image):
        return image.mean(1, keepdim=True).expand_as(image)


def made(names=("a", "b", "c"), images=("one", "two", "three", "four"), extra=(), latencies=(0.01, 0.1, 7.0)):
    """A summary of three models on four images, with its samples and pictures."""
    clean = np.full((20, 24, 3), 200, np.uint8)
    raw = [RawSample(name, clean - 40, clean) for name in images]
    samples = Samples(ImageSet("set@test", "raindrop", True, tuple(images), "f", raw.__getitem__))
    ids = [m.id for m in extra]

    def row(model, state, start):
        facts = ModelFacts(model, task="raindrop", weights=f"weights of {model}")
        records = [
            ImageRecord(model, n, 20, 24, {"psnr-rgb": start + i, "ssim-rgb": 0.9, **dict.fromkeys(ids, 0.5)})
            for i, n in enumerate(images)
        ]
        return Row(facts, state, images=records)

    rows = [row("degraded input", "input", 20.0)]
    rows += [
        replace(row(name, "done", 25.0 - 3 * k), cost=cost(seconds))
        for k, (name, seconds) in enumerate(zip(names, latencies, strict=True))
    ]
    return summarize(samples, rows, extra, ["Checked."]), samples, lambda model, image: clean - 10


def write(path, *parts, seen=()):
    path.write_text(page(*parts, seen), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "index.html", *made())


def titles(opened):
    return opened.page.locator("table.sortable tbody th").all_inner_texts()


def test_columns_sort_by_mouse_and_keyboard(file, open_page):
    opened = open_page(file)
    heads = opened.page.locator("table.sortable thead th")
    names = heads.all_inner_texts()
    latency = next(i for i, name in enumerate(names) if name.startswith("latency"))
    heads.nth(latency).locator("button").click()
    assert titles(opened) == ["degraded input", "c", "b", "a"]
    assert heads.nth(latency).get_attribute("aria-sort") == "descending"
    heads.nth(latency).locator("button").press("Enter")
    assert titles(opened) == ["degraded input", "a", "b", "c"]
    assert heads.nth(latency).get_attribute("aria-sort") == "ascending"
    heads.nth(0).locator("button").press("Space")
    assert titles(opened) == ["degraded input", "c", "b", "a"]
    assert heads.nth(latency).get_attribute("aria-sort") == "none"


def test_the_slider_moves_and_shows_what_is_chosen(file, open_page):
    opened = open_page(file)
    slider = opened.page.locator(".slider")
    split = lambda: slider.evaluate("e => e.style.getPropertyValue('--split')")  # noqa: E731
    opened.page.locator(".slider input").fill("20")
    assert split() == "20%"
    opened.page.locator(".slider input").press("ArrowRight")
    assert split() == "21%"
    opened.page.locator("#model").select_option(label="clean")
    opened.page.locator("#image").select_option(index=1)
    assert opened.page.locator(".slider .r").inner_text() == "clean"
    assert opened.page.locator(".slider .after").get_attribute("alt").endswith(": clean")
    assert opened.page.locator(".slider .after").evaluate("e => e.naturalWidth") == 24
    assert opened.errors == []


@pytest.mark.parametrize("width", [1280, 420])
def test_no_serious_faults_and_nothing_wider_than_the_screen(file, open_page, width):
    opened = open_page(file, width=width)
    assert opened.serious() == []
    assert opened.wider_than_screen() == []


def test_on_a_phone_texts_can_be_read(file, open_page):
    opened = open_page(file, width=420)
    for select in opened.page.locator("select").all():
        assert select.bounding_box()["width"] <= 396
    charts = opened.page.locator(".scroll svg").all()
    assert len(charts) == 2
    for chart in charts:
        assert chart.bounding_box()["width"] >= 600  # drawn at that size: 8 pt stay 8 pt


def test_in_print_controls_are_left_out_and_the_table_is_whole(file, open_page):
    opened = open_page(file)
    opened.page.emulate_media(media="print")
    assert not opened.page.locator(".controls").is_visible()
    assert opened.page.locator(".scroll").first.evaluate("e => getComputedStyle(e).overflowX") == "visible"
    assert opened.page.pdf(format="A4").startswith(b"%PDF")


def test_names_stay_names(tmp_path, open_page):
    count, times = len(NASTY), tuple(0.01 * 2**k for k in range(len(NASTY)))
    opened = open_page(write(tmp_path / "index.html", *made(NASTY, NASTY, latencies=times)))
    harmless = [f"n{k}" for k in range(count)]
    plain = open_page(write(tmp_path / "plain.html", *made(harmless, harmless, latencies=times)))
    elements = "() => document.querySelectorAll('*:not(svg *)').length"  # letters are drawn as elements there
    assert opened.dialogs == opened.errors == []
    assert opened.page.evaluate(elements) == plain.page.evaluate(elements)
    shown = opened.page.locator("table.sortable tbody th").evaluate_all("t => t.map(e => e.textContent)")
    assert shown[1:] == [name.replace("\udcff", "\ufffd") for name in NASTY]


def test_no_less_than_sign_is_left_in_a_script():
    text = document.document("", "", "", [], [{"name": name, "pictures": []} for name in NASTY])
    (script,) = re.findall(r"const pictures = (.*);\n", text)
    assert "<" not in script
    assert [one["name"] for one in json.loads(script)] == list(NASTY)


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError, match="heading"):
        render("restorekit.benchmark", "page.html", title="", parts=[], pictures=[])


def test_gains_stand_one_below_the_other_in_colours_of_their_sign():
    def gain(title, low, mean, high):
        return plot.Gain(title, Interval(mean, low, high, 9), f"{mean:+.2f} dB")

    figure = plot.gains([gain("$better$", 0.5, 1, 1.5), gain("_open", -1, 0.1, 1), gain("worse", -3, -2, -1)])
    figure.canvas.draw()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$better$", " _open", "worse"]
    assert [text.get_text() for text in axes.texts] == ["+1.00 dB", "+0.10 dB", "-2.00 dB"]
    means = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in means] == [(1, 0), (0.1, 1), (-2, 2)]
    assert len({line.get_color() for line in means}) == 3
    low, high = axes.get_ylim()
    assert low > high  # the first line on top
    assert plot.svg(figure, 'a "label"').startswith('<svg role="img" aria-label="a &#34;label&#34;" ')


def test_a_metrics_view_is_shown(tmp_path):
    parts = made(extra=[ExtraMetric("grey", Grey())])
    shown = maps(*parts)
    assert [(metric, image) for metric, image, _ in shown] == [("grey", n) for n in ("one", "three", "four")]
    assert [tile.title for tile in shown[0][2]] == ["degraded", "a", "b", "c", "clean"]
    assert "What metrics see" in page(*parts, shown)
    assert "What metrics see" not in page(*made())


def test_conditions_stand_under_the_table():
    assert "Checked." in page(*made())


@pytest.mark.parametrize("latencies", [(0.0101, 0.012, 0.0199), (0.01, 0.1, 7.0), (0.001, 1.0, 900.0), (3.0, 3.0, 3.0)])
def test_tick_labels_do_not_overlap(latencies):
    figure = plot.quality_cost(made(latencies=latencies)[0])
    figure.canvas.draw()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    labels = [t for t in axes.get_xticklabels(which="both") if t.get_text() and low <= t.get_position()[0] <= high]
    boxes = sorted((t.get_window_extent() for t in labels), key=lambda box: box.x0)
    assert len(boxes) >= 1
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_composed_protocols_are_columns():
    extra = composed_protocols(["rgb+crop2", "rgb"])
    assert [m.id for m in extra] == ["psnr-rgb+crop2", "ssim-rgb+crop2"]
    summary, *_ = made(extra=extra)
    assert summary.protocols == ("rgb", "rgb+crop2")
    assert summary.extra == ()
