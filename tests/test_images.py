"""Image files: what is read is what was written, and nothing that a photograph carries is lost."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from torchvision.io import ImageReadMode, decode_png

from restorekit.data import images
from restorekit.data.images.exif import reset_orientation
from restorekit.errors import ImageError

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKER, LENS, GPS_NORTH = 0x010F, 0xA434, 1
SHAPES = [(1, 1), (3, 5), (37, 20)]


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def exif(orientation=None):
    tags = Image.Exif()
    tags[MAKER] = "Maker"
    tags[0x8769] = {LENS: "Lens 50mm"}
    tags[0x8825] = {GPS_NORTH: "N"}
    if orientation:
        tags[0x0112] = orientation
    return tags.tobytes()


def kept(path):
    tags = Image.open(path).getexif()
    return tags.get(MAKER), tags.get_ifd(0x8769).get(LENS), tags.get_ifd(0x8825).get(GPS_NORTH)


def through(source, target):
    picture = images.read_picture(source)
    images.write_picture(target, picture.with_image(picture.tensor()))
    return picture


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_8_bit_lossless_round_trip_keeps_every_level_and_all_metadata(tmp_path, suffix, channels, shape):
    if suffix == "webp" and channels in ((), (2,)):
        pytest.skip("WebP has no grey")
    pixels = noise(*shape, *channels)
    options = {"lossless": True, "exact": True} if suffix == "webp" else {"dpi": (300, 300)}
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    Image.fromarray(pixels).save(source, exif=exif(), icc_profile=ICC, **options)
    picture = through(source, target)
    again = Image.open(target)
    visible = pixels[..., -1:] > 0 if suffix == "webp" and channels == (4,) else True
    np.testing.assert_array_equal(np.asarray(again) * visible, pixels * visible)
    assert again.mode == Image.fromarray(pixels).mode
    assert (again.size, picture.width, picture.height) == (shape[::-1], *shape[::-1])
    assert again.info["icc_profile"] == ICC
    assert kept(target) == ("Maker", "Lens 50mm", "N")
    if suffix != "webp":
        assert np.allclose(np.array(again.info["dpi"], float), 300, atol=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["L", "LA", "RGB", "RGBA"])
def test_16_bit_tiff_round_trip(tmp_path, channels, shape):
    pixels = noise(*shape, *channels, dtype=np.uint16)
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(
        source,
        pixels,
        photometric="rgb" if channels in ((3,), (4,)) else "minisblack",
        planarconfig="contig" if channels else None,
        extrasamples=["unassalpha"] if channels in ((2,), (4,)) else None,
        iccprofile=ICC,
        resolution=(240, 240),
        extratags=[(MAKER, 2, 0, "Maker", True)],
    )
    through(source, target)
    with tifffile.TiffFile(target) as file:
        np.testing.assert_array_equal(file.pages[0].asarray(), pixels)
        assert file.pages[0].tags[34675].value == ICC
        assert file.pages[0].tags[MAKER].value == "Maker"
    assert images.read_picture(target).dpi == (240, 240)


@pytest.mark.parametrize("shape", [*SHAPES, (200, 3)])
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)], ids=["L", "LA", "RGB", "RGBA"])
def test_16_bit_png_round_trip(tmp_path, channels, shape):
    pixels = noise(*shape, *channels, dtype=np.uint16)
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    picture = images.Picture.from_stored(pixels, exif=exif(), icc=ICC, dpi=(300.0, 300.0))
    images.write_picture(first, picture)
    through(first, second)
    data = torch.frombuffer(bytearray(second.read_bytes()), dtype=torch.uint8)
    planes = decode_png(data, mode=ImageReadMode.UNCHANGED).numpy()  # libpng is the reference
    np.testing.assert_array_equal(planes.transpose(1, 2, 0).reshape(pixels.shape), pixels)
    again = Image.open(second)
    again.load()  # Pillow checks every chunk's CRC
    assert again.info["icc_profile"] == ICC
    assert again.info["dpi"] == pytest.approx((300, 300), abs=0.02)
    assert kept(second) == ("Maker", "Lens 50mm", "N")


def test_16_bit_grey_png_written_by_pillow(tmp_path):
    pixels = noise(9, 11, dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = through(tmp_path / "a.png", tmp_path / "b.png")
    assert picture.bits == 16
    assert picture.grey
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)


def test_16_bit_tiff_keeps_the_inner_exif_directories(tmp_path):
    picture = images.Picture(noise(4, 6, 3, dtype=np.uint16), exif=exif())
    images.write_picture(tmp_path / "a.tif", picture)
    through(tmp_path / "a.tif", tmp_path / "b.tif")
    assert kept(tmp_path / "b.tif") == ("Maker", "Lens 50mm", "N")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), picture.pixels)


TEXTS = {270: "Grün".encode(), 305: b"Lightroom 6", 315: "Jürgen".encode("latin-1"), 33432: "© 雨".encode()}


@pytest.mark.parametrize("suffix", ["tif", "jpg", "png", "webp", "deep.tif"])
def test_texts_keep_their_bytes_into_and_out_of_tiff(tmp_path, suffix, caplog):
    source, tags = tmp_path / f"a.{suffix}", Image.Exif()
    for tag, text in TEXTS.items():
        tags[tag] = text
    if suffix == "deep.tif":
        extra = [(tag, 2, 0, text, True) for tag, text in TEXTS.items() if tag != 305]
        pixels = noise(4, 5, 3, dtype=np.uint16)
        tifffile.imwrite(source, pixels, photometric="rgb", metadata=None, software=TEXTS[305], extratags=extra)
    else:
        Image.fromarray(noise(4, 5, 3)).save(source, exif=tags)
    for target in (tmp_path / "b.tif", tmp_path / "b.png"):
        through(source, target)
        found = Image.open(target).getexif()
        assert {tag: found[tag].encode("latin-1") for tag in TEXTS} == TEXTS
    assert not caplog.records


def test_a_tiff_does_not_name_a_program_that_its_source_did_not(tmp_path):
    images.write_picture(tmp_path / "a.tif", images.Picture(noise(4, 5, 3)))
    assert 305 not in Image.open(tmp_path / "a.tif").getexif()


def test_premultiplied_16_bit_tiff_is_straightened(tmp_path):
    premultiplied = np.array([[[10000, 20000, 0, 32768]]], np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        premultiplied,
        photometric="rgb",
        extrasamples=["assocalpha"],
        planarconfig="contig",
    )
    picture = images.read_picture(tmp_path / "a.tif")
    expected = np.rint(np.array([10000, 20000, 0]) * 65535 / 32768)
    np.testing.assert_array_equal(picture.pixels[0, 0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "deep.png", "deep.tif"])
def test_orientation_is_applied_to_the_pixels_and_reset_in_the_tag(tmp_path, suffix, orientation):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255  # the upper left corner is white
    # How a viewer's eight turns are undone (EXIF 2.32, figure 16): what the camera stores.
    undone = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    stored = np.ascontiguousarray(undone[orientation])
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    tags = exif(orientation)
    if suffix == "deep.png":
        deep = images.Picture(stored.astype(np.uint16) * 257, exif=tags)
        images.write_picture(source, deep)
    elif suffix == "deep.tif":
        extra = [(0x0112, 3, 1, orientation, True), (MAKER, 2, 0, "Maker", True)]
        tifffile.imwrite(source, stored.astype(np.uint16) * 257, photometric="rgb", extratags=extra)
    else:
        Image.fromarray(stored).save(source, exif=tags)
    picture = through(source, target)
    assert picture.pixels.shape == upright.shape
    assert np.abs(picture.to_8_bit().pixels.astype(int) - upright).mean() < 6
    written = Image.open(target)
    assert written.getexif().get(0x0112, 1) == 1
    assert written.size == (24, 16)
    assert kept(target)[0] == "Maker"


def test_reset_orientation_changes_two_bytes_only():
    block = exif(6)
    changed = reset_orientation(block)
    assert sum(a != b for a, b in zip(block, changed, strict=True)) == 1
    assert reset_orientation(b"Exif\0\0garbage") == b"Exif\0\0garbage"
    assert reset_orientation(b"II*\0" + struct.pack("<I", 9999)) == b"II*\0" + struct.pack("<I", 9999)


def test_jpeg_is_close_keeps_metadata_and_full_chroma(tmp_path):
    row = np.linspace(0, 255, 64)
    pixels = np.stack(np.broadcast_arrays(row[None], row[:, None], 255 - row[None]), -1).astype(np.uint8)
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Image.fromarray(pixels).save(source, exif=exif(), icc_profile=ICC, dpi=(72, 72), quality=95)
    picture = through(source, target)
    again = Image.open(target)
    assert np.abs(np.asarray(again).astype(int) - picture.pixels).mean() < 1
    assert [part[1:3] for part in again.layer] == [(1, 1)] * 3
    assert again.info["icc_profile"] == ICC
    assert kept(target) == ("Maker", "Lens 50mm", "N")


def test_grey_jpeg_stays_grey(tmp_path):
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.jpg")
    assert through(tmp_path / "a.jpg", tmp_path / "b.jpg").grey
    assert Image.open(tmp_path / "b.jpg").mode == "L"


def test_grey_is_averaged_by_luma():
    picture = images.Picture.from_stored(noise(2, 2))
    image = torch.zeros(1, 3, 2, 2)
    image[:, 1] = 1
    assert (picture.with_image(image).stored() == round(0.587 * 255)).all()


def test_palette_and_cmyk_become_rgb_and_say_so(tmp_path):
    colours = Image.fromarray(noise(16, 16, 3)).quantize(16)
    colours.save(tmp_path / "a.png")
    picture = through(tmp_path / "a.png", tmp_path / "b.png")
    assert "palette" in picture.notes[0]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(colours.convert("RGB")))
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=100)
    picture = through(tmp_path / "c.jpg", tmp_path / "d.jpg")
    assert "CMYK" in picture.notes[0]
    assert np.abs(picture.pixels[0, 0].astype(int) - [255, 0, 0]).max() <= 3
    assert Image.open(tmp_path / "d.jpg").mode == "RGB"


def test_transparent_palette_and_colour_key_keep_their_alpha(tmp_path):
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    indexed.putpixel((1, 0), 1)
    indexed.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(images.read_picture(tmp_path / "a.png").alpha, [[0, 255]])
    Image.fromarray(np.array([[7, 9]], np.uint8)).save(tmp_path / "b.png", transparency=9)
    picture = images.read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(picture.alpha, [[255, 0]])
    assert picture.grey


def test_lossy_webp_stays_lossy(tmp_path):
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "a.webp", quality=50)
    assert not images.read_picture(tmp_path / "a.webp").lossless
    Image.fromarray(noise(32, 32, 3)).save(tmp_path / "b.webp", lossless=True, exif=exif())
    assert images.read_picture(tmp_path / "b.webp").lossless


def test_frames_after_the_first_are_noted(tmp_path):
    pages = [Image.fromarray(noise(4, 4, 3, seed=seed)) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    picture = images.read_picture(tmp_path / "a.tif")
    assert "3 frames" in picture.notes[0]
    np.testing.assert_array_equal(picture.pixels, np.asarray(pages[0]))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "deep.png", "deep.tif"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if "deep" in suffix:
        images.write_picture(path, images.Picture(noise(64, 64, 3, dtype=np.uint16)))
    else:
        Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="damaged"):
        images.read_picture(path)


def test_other_unreadable_files_are_refused_with_a_remedy(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "a.xyz").write_bytes(b"?")
    for name, words in {
        "text.png": "not an image",
        "empty.jpg": "not an image",
        "a.xyz": "convert it",
        "absent.png": "no such file",
        ".": "a folder",
    }.items():
        with pytest.raises(ImageError, match=words):
            images.read_picture(tmp_path / name)
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4, 3), np.float32), photometric="rgb")
    with pytest.raises(ImageError, match="float32 is not supported"):
        images.read_picture(tmp_path / "float.tif")


def test_enormous_images_are_refused_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("L", (1, 1)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60000, 60000)
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(ImageError, match="RESTOREKIT_MAX_PIXELS=3600000000"):
        images.read_picture(path)
    Image.new("L", (10, 10)).save(path)
    monkeypatch.setenv("RESTOREKIT_MAX_PIXELS", "99")
    with pytest.raises(ImageError, match="RESTOREKIT_MAX_PIXELS=100"):
        images.read_picture(path)
    monkeypatch.setenv("RESTOREKIT_MAX_PIXELS", "many")
    with pytest.raises(ImageError, match="whole number"):
        images.read_picture(path)


def test_pillow_keeps_its_own_limit(tmp_path):
    limit = Image.MAX_IMAGE_PIXELS
    Image.new("L", (1, 1)).save(tmp_path / "a.png")
    images.read_picture(tmp_path / "a.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fails(error):
        def write(file):
            file.write(b"half")
            raise error

        return write

    with pytest.raises(ImageError, match="disk is full"):
        images.atomic_write(path, fails(OSError(errno.ENOSPC, "full")))
    with pytest.raises(KeyboardInterrupt):
        images.atomic_write(path, fails(KeyboardInterrupt()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_a_real_full_disk_is_reported(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    picture = images.Picture(noise(64, 64, 3))

    def full(file):
        with Path("/dev/full").open("wb", buffering=0) as sink:
            sink.write(picture.pixels.tobytes())

    with pytest.raises(ImageError, match="disk is full"):
        images.atomic_write(tmp_path / "a.png", full)
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold(tmp_path):
    clear = images.Picture.from_stored(noise(4, 4, 4))
    with pytest.raises(ImageError, match="no transparency"):
        images.write_picture(tmp_path / "a.jpg", clear)
    with pytest.raises(ImageError, match="use one of"):
        images.write_picture(tmp_path / "a.gif", clear)
    with pytest.raises(ImageError, match="write PNG or TIFF"):
        images.write_picture(tmp_path / "a.webp", images.Picture(noise(1, 17000, 3)))
    with pytest.raises(ImageError, match="its folder does not exist"):
        images.write_picture(tmp_path / "absent" / "a.png", clear)
    assert not list(tmp_path.iterdir())


def test_16_to_8_bits_rounds_to_the_nearest_level():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    eight = images.Picture.from_stored(levels).to_8_bit().stored()
    np.testing.assert_array_equal(eight, np.rint(levels / 257).astype(np.uint8))


def test_with_image_refuses_another_size():
    with pytest.raises(ImageError, match="must be equal"):
        images.Picture(noise(4, 5, 3)).with_image(torch.zeros(1, 3, 5, 4))
