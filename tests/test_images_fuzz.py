"""Mutated files: a picture, or an `ImageError` that names the file; never another exception, from no decoder.

2,000 mutations by default; RESTOREKIT_FUZZ=100000 tries more.
"""

from __future__ import annotations

import io
import os
import random
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from restorekit.data.images import Picture, read_header, read_picture, write_picture
from restorekit.errors import ImageError

COUNT = int(os.environ.get("RESTOREKIT_FUZZ", "2000"))
PARTS = 8
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _seeds(folder):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (24, 18, 3), dtype=np.uint8)
    deep = rng.integers(0, 65536, (12, 9, 3), dtype=np.uint16)
    tags = Image.Exif()
    tags[0x010F], tags[0x0112], tags[0x8769], tags[0x8825] = "Maker", 6, {0xA434: "Lens"}, {1: "N"}
    found = {}

    def pillow(name, image, **options):
        file = io.BytesIO()
        Image.fromarray(image).save(file, name, **options)
        found[f"{name}-{len(found)}"] = file.getvalue()

    for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP"):
        pillow(name, rgb, **({} if name == "BMP" else {"exif": tags.tobytes()}))
        pillow(name, rgb[..., 0])
    pillow("WEBP", rgb, lossless=True)
    pillow("JPEG", rgb, progressive=True)
    pillow("TIFF", rgb, compression="tiff_lzw")
    pillow("TIFF", rgb, compression="jpeg")
    for name, options in (("plain", {}), ("zlib", {"compression": "zlib"}), ("tiles", {"tile": (16, 16)})):
        file = io.BytesIO()
        tifffile.imwrite(file, deep, photometric="rgb", **options)
        found[f"TIFF-{name}"] = file.getvalue()
    for suffix in ("png", "tif"):
        write_picture(folder / f"seed.{suffix}", Picture(deep, exif=tags.tobytes(), dpi=(300.0, 300.0)))
        found[f"deep-{suffix}"] = (folder / f"seed.{suffix}").read_bytes()
    return list(found.items())


def _mutated(data: bytes, rng: random.Random) -> bytes:
    block = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        # headers and directories are where decoders trip
        reach = len(block) if rng.random() < 0.5 else min(len(block), 256)
        at = rng.randrange(max(1, reach))
        kind = rng.randrange(6)
        if kind == 0:
            block[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            block[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(_EXTREMES))
        elif kind == 2:
            block[at : at + 2] = struct.pack(rng.choice("<>") + "H", rng.choice(_EXTREMES) & 0xFFFF)
        elif kind == 3:
            del block[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            block[at:at] = block[at : at + rng.randrange(1, 40)]
        else:
            block = block[: max(8, rng.randrange(len(block) + 1))]
    return _with_checksums(bytes(block)) if rng.random() < 0.7 else bytes(block)


def _with_checksums(data: bytes) -> bytes:
    """Mend a PNG's checksums, so that more than these are tried."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    block, at = bytearray(data), 8
    while at + 12 <= len(block):
        end = at + 8 + int.from_bytes(block[at : at + 4], "big")
        if end + 4 > len(block):
            break
        block[end : end + 4] = zlib.crc32(block[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(block)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_exception_of_a_decoder_escapes(tmp_path, monkeypatch, part):
    monkeypatch.setenv("RESTOREKIT_MAX_PIXELS", "200000")
    rng, seeds = random.Random(part), _seeds(tmp_path)
    read = refused = unnamed = 0
    slowest = 0.0
    for number in range(COUNT // PARTS):
        name, data = seeds[number % len(seeds)]
        path = tmp_path / f"{name}.img"
        path.write_bytes(_mutated(data, rng))
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # what libraries warn of is a note, and nobody else's
            for reader in (read_picture, read_header) if number % 4 == 0 else (read_picture,):
                try:
                    reader(path)
                    read += 1
                except ImageError as error:
                    refused += 1
                    unnamed += str(path) not in str(error)
        slowest = max(slowest, time.perf_counter() - start)
    assert not unnamed
    assert read > COUNT // PARTS // 20
    assert refused > COUNT // PARTS // 20
    assert slowest < 20
