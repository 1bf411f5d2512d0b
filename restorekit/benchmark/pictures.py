"""Comparison pictures: degraded, restored and clean side by side, with names and scores."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from restorekit.benchmark.records import Row
from restorekit.benchmark.samples import Samples
from restorekit.benchmark.scoring import HEADLINE
from restorekit.pages import shown
from restorekit.pixels import Pixels

TILE = 400  # width of one picture of a sheet in pixels
CAPTION = 34
GAP = 8
COLUMNS = 4


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet and what is written under it."""

    pixels: Pixels
    title: str
    detail: str = ""


def chosen_images(degraded: Row, count: int) -> list[str]:
    """Return `count` names spread from the most to the least degraded image; the first without scores."""
    records = degraded.images
    if records and records[0].scores:
        records = sorted(records, key=lambda record: record.scores[HEADLINE])
        spots = (np.arange(count) + 0.5) * len(records) / count
        return list(dict.fromkeys(records[int(spot)].image for spot in spots))
    return [record.image for record in records[:count]]


def scaled(pixels: Pixels, width: int, enlarge: bool = False) -> Image.Image:
    """Return the image at most `width` pixels wide, or exactly so wide."""
    image = Image.fromarray(pixels)
    if image.width <= width and not enlarge:
        return image
    size = (width, max(1, round(image.height * width / image.width)))
    return image.resize(size, Image.Resampling.LANCZOS)


def data_uri(pixels: Pixels, width: int, quality: int = 88) -> str:
    """Return the image as an inline JPEG for a page."""
    file = io.BytesIO()
    scaled(pixels, width).save(file, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    text = shown(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def sheet(tiles: Sequence[Tile], heading: str, columns: int = COLUMNS) -> Image.Image:
    """Return the tiles in rows of at most `columns` under a heading, all scaled to one width."""
    images = [scaled(tile.pixels, TILE, enlarge=True) for tile in tiles]
    columns = min(columns, len(tiles))
    tall = max(image.height for image in images) + CAPTION
    rows = -(-len(tiles) // columns)
    size = (columns * (TILE + GAP) + GAP, CAPTION + rows * (tall + GAP) + GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    small, large = ImageFont.load_default(13), ImageFont.load_default(17)
    draw.text((GAP, GAP), _fitted(heading, large, size[0] - 2 * GAP), fill="black", font=large)
    for index, (tile, image) in enumerate(zip(tiles, images, strict=True)):
        x = GAP + index % columns * (TILE + GAP)
        y = CAPTION + index // columns * (tall + GAP)
        canvas.paste(image, (x, y))
        draw.text((x, y + image.height + 2), _fitted(tile.title, small, TILE), fill="black", font=small)
        draw.text((x, y + image.height + 17), _fitted(tile.detail, small, TILE), fill="#555555", font=small)
    return canvas


def detail(row: Row, image: str) -> str:
    """Return the scores of one image in words, empty when there are none."""
    for record in row.images:
        if record.image == image and record.scores:
            protocol = HEADLINE.removeprefix("psnr-")
            psnr, ssim = record.scores[HEADLINE], record.scores[f"ssim-{protocol}"]
            return f"{psnr:.2f} dB / {ssim:.4f} ({protocol})"
    return ""


def clean_tile(samples: Samples, image: str) -> list[Tile]:
    """Return the tile of the clean image, when there is one."""
    clean = samples.named(image).clean
    return [] if clean is None else [Tile(clean, "clean")]
