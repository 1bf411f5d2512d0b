"""Cases from public bug reports, each built here: what lies beside the pixels never costs the pixels, nor the reverse."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from restorekit.data.decode import image_size, read_rgb8
from restorekit.data.images import Picture, WriteOptions, read_header, read_picture, to_srgb, write_picture, xmp
from restorekit.data.images.exif import without_gps, without_thumbnail
from restorekit.data.images.writing import losses
from restorekit.errors import ImageError

ORIENTATION, MAKER, GPS = 0x0112, 0x010F, 0x8825
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    b' tiff:Orientation="6" exif:GPSLatitude="48,8N"><exif:GPSLongitude>11,5E</exif:GPSLongitude></rdf:Description>'
    b"</rdf:RDF></x:xmpmeta>"
)


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(path, *chunks, before=b"IDAT", pixels=None):
    """Write a PNG with further chunks in front of the pixels, or of the end."""
    file = io.BytesIO()
    Image.fromarray(noise(6, 9, 3) if pixels is None else pixels).save(file, "PNG")
    data = file.getvalue()
    at = data.index(before) - 4
    path.write_bytes(data[:at] + b"".join(chunks) + data[at:])
    return path


def exif(**tags):
    block = Image.Exif()
    block[MAKER] = "Maker"
    for tag, value in tags.items():
        block[int(tag[1:], 16)] = value
    return block.tobytes()


def exif_with_thumbnail():
    """Append a second directory with a small picture, as cameras do."""
    block = bytearray(exif(_0112=6).removeprefix(b"Exif\0\0"))
    order = "<" if block[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", block, 4)[0]
    pointer = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    small = b"\xff\xd8 the rainy picture \xff\xd9"
    second = len(block)
    struct.pack_into(order + "I", block, pointer, second)
    at = second + 2 + 24 + 4
    entries = struct.pack(order + "HHIIHHII", 0x201, 4, 1, at, 0x202, 4, 1, len(small))
    return b"Exif\0\0" + bytes(block) + struct.pack(order + "H", 2) + entries + bytes(4) + small


# ---- reading ----


def test_a_png_with_megabytes_of_text_is_no_truncated_one(tmp_path):
    text = chunk(b"zTXt", b"Parameters\0\0" + zlib.compress(b"x" * (3 << 20)))
    picture = read_picture(png_with(tmp_path / "a.png", text))
    np.testing.assert_array_equal(picture.pixels, noise(6, 9, 3))
    assert len(dict(picture.texts)["Parameters"]) == 3 << 20
    assert not picture.notes


def test_a_large_profile_is_kept_and_a_bomb_left_out_with_a_note(tmp_path):
    profile = os.urandom(2 << 20)
    path = png_with(tmp_path / "a.png", chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)))
    assert read_picture(path).icc == profile
    bomb = zlib.compress(bytes(64 << 20), 9)
    picture = read_picture(png_with(tmp_path / "b.png", chunk(b"iCCP", b"p\0\0" + bomb)))
    assert picture.icc is None
    assert "colour profile cannot be read and was left out" in picture.notes[0]


@pytest.mark.parametrize("damage", [b"", b"\0", b"garbage"])
def test_damaged_side_chunks_do_not_cost_the_pixels(tmp_path, damage):
    kinds = (b"iCCP", b"eXIf", b"pHYs", b"tEXt", b"zTXt", b"iTXt")
    picture = read_picture(png_with(tmp_path / "a.png", *(chunk(kind, damage) for kind in kinds)))
    np.testing.assert_array_equal(picture.pixels, noise(6, 9, 3))


def test_a_wrong_checksum_of_pixels_is_told_and_one_of_side_data_is_not(tmp_path):
    path = png_with(tmp_path / "a.png", chunk(b"tEXt", b"a\0b")[:-4] + b"????")
    read_picture(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.png: truncated or damaged: the checksum of its IDAT"):
        read_picture(path)


@pytest.mark.parametrize("carrier", ["eXIf", "eXIf at the end", "raw profile", "xmp"])
def test_header_and_pixels_agree_whatever_carries_the_orientation(tmp_path, carrier):
    block = exif(_0112=6).removeprefix(b"Exif\0\0")
    lines = b"\nexif\n%8d\n%s\n" % (len(block) + 6, (b"Exif\0\0" + block).hex().encode())
    found = {
        "raw profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines)),
        "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET),
    }.get(carrier, chunk(b"eXIf", block))
    path = png_with(tmp_path / "a.png", found, before=b"IEND" if "end" in carrier else b"IDAT")
    picture = read_picture(path)
    assert (picture.height, picture.width) == image_size(path) == (9, 6)
    assert read_header(path).orientation == 6
    np.testing.assert_array_equal(picture.pixels, np.rot90(noise(6, 9, 3), -1))
    write_picture(tmp_path / "b.png", picture)
    assert image_size(tmp_path / "b.png") == (9, 6)


def test_a_pillow_without_avif_reads_everything_else(tmp_path, monkeypatch):
    for suffix in ("jpg", "avif"):
        Image.fromarray(noise(8, 8, 3)).save(tmp_path / f"a.{suffix}")
    for table in (Image.OPEN, Image.SAVE):
        monkeypatch.delitem(table, "AVIF")
    assert read_picture(tmp_path / "a.jpg").pixels.shape[:2] == (8, 8)
    with pytest.raises(ImageError, match="built without AVIF; install its wheel"):
        read_picture(tmp_path / "a.avif")


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "tif", "bmp", "gif", "jp2", "ppm", "tga", "jfif"])
def test_header_and_pixels_agree_in_every_format(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    turned = {} if suffix in ("bmp", "gif", "jp2", "ppm", "tga") else {"exif": exif(_0112=8)}
    Image.fromarray(noise(6, 9, 3)).save(path, **turned)
    picture = read_picture(path)
    assert image_size(path) == (picture.height, picture.width) == ((9, 6) if turned else (6, 9))


def test_an_odd_exif_tag_does_not_stop_turning(tmp_path):
    block = Image.Exif()
    block[ORIENTATION], block[0x9286] = 6, "x"
    raw = bytearray(block.tobytes())
    at = raw.index(struct.pack("<H" if raw[6:8] == b"II" else ">H", 0x9286), 14)
    raw[at + 2 : at + 4] = b"\xff\xff"  # a type that does not exist
    Image.fromarray(noise(6, 9, 3)).save(tmp_path / "a.jpg", exif=bytes(raw))
    assert image_size(tmp_path / "a.jpg") == read_rgb8(tmp_path / "a.jpg").shape[:2] == (9, 6)
    for suffix in ("jpg", "png", "tif", "webp", "avif"):
        write_picture(tmp_path / f"b.{suffix}", read_picture(tmp_path / "a.jpg"))


@pytest.mark.parametrize("colours", [1, 2, 3, 4])
def test_16_bit_png_is_read_alike_for_restoring_and_training(tmp_path, colours):
    pixels = noise(7, 5, colours, dtype=np.uint16)
    write_picture(tmp_path / "a.png", Picture.from_stored(pixels))
    write_picture(tmp_path / "a.tif", Picture.from_stored(pixels))
    found = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(found.stored().reshape(pixels.shape), pixels)
    np.testing.assert_array_equal(read_rgb8(tmp_path / "a.png"), read_rgb8(tmp_path / "a.tif"))
    np.testing.assert_array_equal(read_rgb8(tmp_path / "a.png"), found.to_8_bit().pixels)


def test_16_bit_png_with_a_colour_for_transparency_keeps_it(tmp_path):
    pixels = noise(4, 5, 3, dtype=np.uint16)
    write_picture(tmp_path / "a.png", Picture.from_stored(pixels))
    data = (tmp_path / "a.png").read_bytes()
    key = chunk(b"tRNS", pixels[1, 2].astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(data.replace(data[33:37] + b"IDAT", key + data[33:37] + b"IDAT", 1))
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.alpha == 0, (pixels == pixels[1, 2]).all(axis=2))
    assert picture.bits == 16


def test_interlaced_16_bit_png(tmp_path):
    # the rows of Adam7's seven passes, without filters: PNG specification, section 8.2
    pixels = noise(5, 6, 3, dtype=np.uint16)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes() for y, x, dy, dx in passes for row in pixels[y::dy, x::dx] if row.size
    )
    header = struct.pack(">IIBBBBB", 6, 5, 16, 2, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("kind", ["planes", "planes of 8 bits", "depth", "imagej", "shaped", "colours"])
def test_a_volume_is_no_picture(tmp_path, kind):
    path, volume = tmp_path / "a.tif", noise(8, 12, 10, dtype=np.uint16)
    if kind == "planes":
        tifffile.imwrite(path, volume, planarconfig="separate", photometric="minisblack")
    elif kind == "planes of 8 bits":
        tifffile.imwrite(path, volume.astype(np.uint8), planarconfig="separate", photometric="minisblack")
    elif kind == "colours":
        colours = noise(8, 12, 10, 3)
        tifffile.imwrite(path, colours, truncate=True, photometric="rgb", planarconfig="contig")
    elif kind == "depth":
        tifffile.imwrite(path, volume.astype(np.uint8), volumetric=True, photometric="minisblack", tile=(8, 16, 16))
    elif kind == "imagej":
        tifffile.imwrite(path, volume, imagej=True, truncate=True)
    else:
        tifffile.imwrite(path, volume.astype(np.uint8), truncate=True, photometric="minisblack")
    with pytest.raises(ImageError, match=r"a\.tif: a TIFF volume of 8 planes, not a picture"):
        read_picture(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(3, 12, 10), (4, 12, 10), (12, 10, 5), (12, 10, 4), (12, 10, 3)])
def test_a_plane_for_each_channel_is_no_volume(tmp_path, shape, dtype):
    """tifffile writes the array's shape into the description: three planes of RGB are one picture."""
    pixels, planar = noise(*shape, dtype=dtype), shape[0] < 5
    extra = ["unspecified"] * (min(shape) - 3) if planar else ["unspecified"] * (shape[-1] - 3)
    layout = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=layout, extrasamples=extra)
    picture = read_picture(tmp_path / "a.tif")
    expected = np.moveaxis(pixels, 0, -1) if planar else pixels
    np.testing.assert_array_equal(picture.pixels, expected[..., :3])
    assert picture.alpha is None
    assert read_header(tmp_path / "a.tif").width == 10


def test_channels_beside_the_colours_are_no_transparency(tmp_path):
    pixels = noise(8, 6, 4, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"], planarconfig="contig")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels, pixels[..., :3])
    assert "left out" in picture.notes[0]


def test_a_tiff_whose_pixels_are_cut_off_is_not_filled_with_black(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(64, 64, 3, dtype=np.uint16), photometric="rgb", rowsperstrip=16)
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="not in the file"):
        read_picture(tmp_path / "a.tif")


def test_tiff_compressions_of_the_extra_are_read_and_named_without_it(tmp_path, monkeypatch):
    pytest.importorskip("imagecodecs")
    pixels = noise(20, 16, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="zstd")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)

    def missing(self, *args, **kwargs):
        raise ValueError("<COMPRESSION.ZSTD: 50000> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", missing)
    with pytest.raises(ImageError, match=r"a\.tif: .*pip install 'restorekit\[tiff\]'"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "error", [AttributeError("'NoneType'"), TypeError("x"), RecursionError(), type("Panic", (BaseException,), {})()]
)
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, error):
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "a.webp")

    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(Image, "open", fails)
    for reader in (read_picture, read_header, read_rgb8):
        with pytest.raises(ImageError, match=r"a\.webp: truncated or damaged .*download it again"):
            reader(tmp_path / "a.webp")


def test_interrupts_pass_the_gate(tmp_path, monkeypatch):
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "a.webp")
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        read_picture(tmp_path / "a.webp")


@pytest.mark.filterwarnings("error")
def test_what_libraries_say_becomes_a_note_of_every_file(tmp_path, caplog):
    for name in ("a", "b"):
        Image.fromarray(noise(4, 4, 3)).save(tmp_path / f"{name}.tif")
        data = bytearray((tmp_path / f"{name}.tif").read_bytes())
        at = struct.unpack_from("<I", data, 4)[0]
        count = struct.unpack_from("<H", data, at)[0]
        for index in range(count):  # a second value where one is allowed
            if struct.unpack_from("<H", data, at + 2 + 12 * index)[0] == 259:
                struct.pack_into("<I", data, at + 2 + 12 * index + 4, 2)
        (tmp_path / f"{name}.tif").write_bytes(data)
        assert "tag 259 had too many entries" in " ".join(read_picture(tmp_path / f"{name}.tif").notes)
    assert not caplog.records


def test_pipes_and_self_looping_links_are_named_and_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, words in (("pipe.png", "a pipe, socket or device"), ("loop.png", "leads to itself")):
        for reader in (read_picture, image_size):
            with pytest.raises(ImageError, match=words):
                reader(tmp_path / name)


def test_links_to_what_is_gone_are_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone" / "a.png")
    for reader in (read_picture, image_size):
        with pytest.raises(ImageError, match=r"a\.png: a link to .*gone/a\.png, which is not there"):
            reader(tmp_path / "a.png")


def test_exif_in_two_segments_is_read_as_one(tmp_path):
    block = Image.Exif()
    block[MAKER], block[ORIENTATION], block[0x8769] = "Maker", 6, {0xA434: "Lens 50mm", 0x927C: bytes(100_000)}
    raw, file = block.tobytes().removeprefix(b"Exif\0\0"), io.BytesIO()
    Image.fromarray(noise(6, 9, 3)).save(file, "JPEG")
    parts = [b"Exif\0\0" + raw[at : at + 60_000] for at in range(0, len(raw), 60_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    (tmp_path / "a.jpg").write_bytes(file.getvalue()[:2] + segments + file.getvalue()[2:])
    picture = read_picture(tmp_path / "a.jpg")
    assert (picture.height, picture.width) == image_size(tmp_path / "a.jpg") == (9, 6)
    write_picture(tmp_path / "b.png", picture)
    assert Image.open(tmp_path / "b.png").getexif().get_ifd(0x8769)[0xA434] == "Lens 50mm"
    assert "too long for a JPEG" in write_picture(tmp_path / "b.jpg", picture)[0]


def test_heic_and_jpeg_xl_with_their_extras(tmp_path):
    heif, codecs = pytest.importorskip("pillow_heif"), pytest.importorskip("imagecodecs")
    pixels = np.repeat(np.repeat(noise(4, 6, 3) // 2 + 60, 16, axis=0), 16, axis=1)
    heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "a.heic", quality=95, exif=exif())
    picture = read_picture(tmp_path / "a.heic")
    assert (picture.height, picture.width) == image_size(tmp_path / "a.heic") == (64, 96)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 12
    assert picture.exif
    (tmp_path / "a.jxl").write_bytes(codecs.jpegxl_encode(pixels, lossless=True))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jxl").pixels, pixels)
    assert image_size(tmp_path / "a.jxl") == (64, 96)


# ---- writing ----


def test_exif_in_several_segments_is_shortened_for_jpeg_with_a_note(tmp_path):
    block = Image.Exif()
    block[MAKER], block[0x8769] = "Maker", {0xA434: "Lens 50mm", 0x927C: bytes(80_000)}
    picture = Picture(noise(8, 8, 3), exif=block.tobytes())
    assert (
        "too long for a JPEG: its maker notes and user comments were left out"
        in write_picture(tmp_path / "a.jpg", picture)[0]
    )
    kept = Image.open(tmp_path / "a.jpg").getexif()
    assert (kept[MAKER], kept.get_ifd(0x8769)[0xA434]) == ("Maker", "Lens 50mm")
    assert write_picture(tmp_path / "a.png", picture) == ()
    assert len(Image.open(tmp_path / "a.png").info["exif"]) > 80_000


def test_exif_that_an_encoder_chokes_on_does_not_cost_the_picture(tmp_path, monkeypatch):
    real = Image.Image.save

    def picky(self, file, **options):
        if options.get("exif"):
            raise struct.error("required argument is not an integer")
        real(self, file, **options)

    monkeypatch.setattr(Image.Image, "save", picky)
    notes = write_picture(tmp_path / "a.avif", Picture(noise(8, 8, 3), exif=exif()))
    assert "its EXIF data were left out, because AVIF could not be written with them" in notes[0]
    assert image_size(tmp_path / "a.avif") == (8, 8)


def test_the_thumbnail_of_the_rainy_picture_is_removed(tmp_path):
    Image.fromarray(noise(6, 9, 3)).save(tmp_path / "a.jpg", exif=exif_with_thumbnail())
    assert b"rainy" in (tmp_path / "a.jpg").read_bytes()
    write_picture(tmp_path / "b.jpg", read_picture(tmp_path / "a.jpg"))
    assert b"rainy" not in (tmp_path / "b.jpg").read_bytes()
    tags = Image.open(tmp_path / "b.jpg").getexif()
    assert (tags[MAKER], tags[ORIENTATION], tags.get_ifd(1)) == ("Maker", 1, {})
    assert without_thumbnail(exif()) == exif()


def jpeg_with_everything(path):
    iptc = b"\x1c\x02\x78\x00\x05Title"
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    body = b"Photoshop 3.0\0" + resource
    extra = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    options = {"exif": exif(_8825={1: "N", 2: (48.0, 8.0, 1.0)}), "xmp": PACKET, "comment": "hello", "dpi": (300, 300)}
    Image.fromarray(noise(8, 8, 3)).save(path, extra=extra, **options)
    return iptc


HELD = {
    "jpg": (True, True, True),
    "tif": (True, True, True),
    "png": (False, True, True),
    "webp": (False, False, False),
    "avif": (False, False, False),
}


@pytest.mark.parametrize("suffix", HELD)
def test_xmp_iptc_comments_and_resolution_are_kept_or_noted(tmp_path, suffix):
    iptc = jpeg_with_everything(tmp_path / "a.jpg")
    picture = read_picture(tmp_path / "a.jpg")
    notes = " ".join(write_picture(tmp_path / f"b.{suffix}", picture))
    again = read_picture(tmp_path / f"b.{suffix}")
    holds_iptc, holds_comment, holds_resolution = HELD[suffix]
    assert xmp.orientation_in(again.xmp) == 1
    assert again.xmp == PACKET.replace(b'Orientation="6"', b'Orientation="1"')
    assert (again.iptc == iptc, "IPTC" not in notes) == (holds_iptc, holds_iptc)
    comment = again.comment if suffix != "tif" else Image.open(tmp_path / "b.tif").tag_v2[270]
    assert (comment == "hello", "comment" not in notes) == (holds_comment, holds_comment)
    assert (again.dpi is not None, "dpi" not in notes) == (holds_resolution, holds_resolution)
    assert notes == " ".join(losses(tmp_path / f"b.{suffix}", picture))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_metadata_without_the_place_or_none(tmp_path, suffix):
    jpeg_with_everything(tmp_path / "a.jpg")
    picture = read_picture(tmp_path / "a.jpg")
    write_picture(tmp_path / f"b.{suffix}", picture, WriteOptions(metadata="no-gps"))
    tags = Image.open(tmp_path / f"b.{suffix}").getexif()
    assert (tags[MAKER], dict(tags.get_ifd(GPS))) == ("Maker", {})
    assert b"48,8N" not in (tmp_path / f"b.{suffix}").read_bytes()
    assert b"11,5E" not in (tmp_path / f"b.{suffix}").read_bytes()
    write_picture(tmp_path / f"c.{suffix}", picture, WriteOptions(metadata="none"))
    bare = read_picture(tmp_path / f"c.{suffix}")
    assert (bare.exif, bare.xmp, bare.iptc, bare.comment) == (None, None, None, "")


def test_taking_the_place_out_leaves_no_byte_of_it():
    block = exif(_8825={1: "N", 2: (48.0, 8.0, 1.0), 18: "WGS-84"})
    assert b"WGS-84" in block
    plain = without_gps(block)
    assert b"WGS-84" not in plain
    assert len(plain) == len(block)
    assert without_gps(exif()) == exif()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif", "deep.png"])
def test_a_processing_note_goes_into_xmp_beside_what_is_there(tmp_path, suffix):
    from xml.etree import ElementTree

    pixels = noise(6, 6, 3, dtype=np.uint16 if "deep" in suffix else np.uint8)
    options = WriteOptions(note={"Model": 'a "quoted" <model>', "Version": "restorekit 1"})
    for packet in (None, PACKET):
        write_picture(tmp_path / f"a.{suffix}", Picture(pixels, xmp=packet), options)
        found = read_picture(tmp_path / f"a.{suffix}").xmp
        root = ElementTree.fromstring(found[found.index(b"<x:xmpmeta") : found.index(b"</x:xmpmeta>") + 12])
        values = [node.get(f"{{{xmp.NAMESPACE}}}Model") for node in root.iter()]
        assert 'a "quoted" <model>' in values
        assert (b"GPSLatitude" in found) == (packet is not None)


def test_quality_is_asked_for(tmp_path):
    picture = Picture(noise(64, 64, 3))
    for suffix in ("jpg", "webp", "avif"):
        sizes = []
        for quality in (20, 90):
            write_picture(tmp_path / f"a.{suffix}", picture, WriteOptions(quality=quality))
            sizes.append((tmp_path / f"a.{suffix}").stat().st_size)
        assert sizes[0] < 0.8 * sizes[1]
    with pytest.raises(ImageError, match=r"1 .* to 100"):
        WriteOptions(quality=0)


def test_an_opaque_picture_with_transparency_may_become_a_jpeg(tmp_path):
    pixels = noise(6, 6, 4)
    pixels[..., 3] = 255
    write_picture(tmp_path / "a.jpg", Picture.from_stored(pixels))
    pixels[0, 0, 3] = 254
    with pytest.raises(ImageError, match=r"a\.jpg: JPEG has no transparency.*--format png"):
        losses(tmp_path / "a.jpg", Picture.from_stored(pixels))


def test_colours_are_converted_to_srgb(tmp_path):
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Picture(noise(8, 8, 3), icc=srgb)
    converted = to_srgb(picture)
    assert converted.icc is None
    assert np.abs(converted.pixels.astype(int) - picture.pixels).max() <= 2
    assert to_srgb(Picture(noise(8, 8, 3, dtype=np.uint16), icc=srgb)).notes == (
        "its 16 bits were rounded to 8 to convert it to sRGB",
    )
    wrong = to_srgb(Picture(noise(8, 8, 3), icc=swapped))
    assert wrong.icc == swapped
    assert "not converted to sRGB" in wrong.notes[0]


def test_texts_of_a_png_stay_in_a_png_and_are_noted_elsewhere(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Jürgen")
    Image.fromarray(noise(4, 4, 3)).save(tmp_path / "a.png", pnginfo=info)
    picture = read_picture(tmp_path / "a.png")
    assert write_picture(tmp_path / "b.png", picture) == ()
    assert Image.open(tmp_path / "b.png").text["Author"] == "Jürgen"
    assert "Author" in write_picture(tmp_path / "b.tif", picture)[0]


def test_further_frames_of_an_mpo_are_noted(tmp_path):
    frames = [Image.fromarray(noise(8, 8, 3)), Image.fromarray(noise(8, 8, 3))]
    frames[0].save(tmp_path / "a.mpo", save_all=True, append_images=frames[1:])
    assert "only the first of its 2 frames was read" in read_picture(tmp_path / "a.mpo").notes
