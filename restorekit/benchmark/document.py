"""The frame of every page that compares: one HTML file without others, its tables, charts, sliders and strips.

A page is a list of parts; `parts.html` has a macro for the `kind` of each. Texts are texts: the template escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from restorekit.benchmark.pictures import data_uri
from restorekit.pages import render
from restorekit.pixels import Pixels

THUMBNAIL = 300

Key = str | float | None
"""By what a cell is sorted."""


@dataclass(frozen=True)
class Heading:
    """The heading of what follows."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Notes:
    """Lines that a reader must not miss."""

    kind: ClassVar[str] = "notes"
    texts: Sequence[str]


@dataclass(frozen=True)
class Lines:
    """Small print, a line each."""

    kind: ClassVar[str] = "lines"
    texts: Sequence[str]


@dataclass(frozen=True)
class TableRow:
    """One row: its class (as in CSS), its cells, and by what each of them is sorted."""

    kind: str
    cells: Sequence[str]
    keys: Sequence[Key]

    @property
    def sorted_by(self) -> list[str]:
        """The keys as the page's script reads them: empty where there is none."""
        return [_sort_value(key) for key in self.keys]


@dataclass(frozen=True)
class Table:
    """A table whose columns sort."""

    kind: ClassVar[str] = "table"
    label: str
    header: Sequence[str]
    rows: Sequence[TableRow]


@dataclass(frozen=True)
class Chart:
    """A chart under its heading; `svg` is an SVG element, of type ``Markup``."""

    kind: ClassVar[str] = "chart"
    heading: str
    label: str
    svg: str


class Picture(TypedDict):
    """One side of the slider; `src` is an address."""

    title: str
    detail: str
    src: str


class PictureSet(TypedDict):
    """The pictures of one image."""

    name: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Slider:
    """The slider for sets of pictures: ``{"name": ..., "pictures": [{"title", "detail", "src"}, ...]}``."""

    kind: ClassVar[str] = "slider"
    sets: Sequence[PictureSet]
    heading: str = "Before and after"

    @property
    def names(self) -> list[str]:
        """What can be chosen as the image."""
        return [one["name"] for one in self.sets]

    @property
    def titles(self) -> list[str]:
        """What can be chosen on either side."""
        return [picture["title"] for picture in self.sets[0]["pictures"]] if self.sets else []


@dataclass(frozen=True)
class Strip:
    """Pictures side by side over a caption: (title for those who cannot see it, address)."""

    pictures: Sequence[tuple[str, str]]
    caption: str

    @classmethod
    def of(cls, pictures: Sequence[tuple[str, Pixels]], caption: str) -> Strip:
        """Put small copies of (title, pixels) into the page itself."""
        return cls([(title, data_uri(pixels, THUMBNAIL, 82)) for title, pixels in pictures], caption)


@dataclass(frozen=True)
class Strips:
    """A section of strips, nothing when there are none."""

    kind: ClassVar[str] = "strips"
    heading: str
    text: str
    figures: Sequence[Strip]


@dataclass(frozen=True)
class Listing:
    """A section with a list, nothing when it is empty."""

    kind: ClassVar[str] = "listing"
    heading: str
    text: str
    texts: Sequence[str]


Part = Heading | Notes | Lines | Table | Chart | Slider | Strips | Listing


def _sort_value(key: Key) -> str:
    if key is None or (isinstance(key, float) and math.isnan(key)):
        return ""
    if isinstance(key, float) and math.isinf(key):
        return "Infinity" if key > 0 else "-Infinity"
    return str(key)


def document(title: str, heading: str, lead: str, parts: Sequence[Part], pictures: Sequence[PictureSet] = ()) -> str:
    """Return the page; `pictures` are the sets that its `Slider` shows."""
    values = {"title": title, "heading": heading, "lead": lead, "parts": parts, "pictures": list(pictures)}
    return render("restorekit.benchmark", "page.html", **values)
