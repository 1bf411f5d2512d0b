"""A folder with one of every kind, links, odd names and leftovers: all restored or named, and nothing done twice."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from restorekit import leftovers
from restorekit.cli.data import command as data_command
from restorekit.cli.restore import command
from restorekit.data.archives import unpack_images
from restorekit.data.images import Picture, atomic_write, read_picture, write_picture
from restorekit.data.known import rain100l
from restorekit.data.sets import resolve
from restorekit.data.store import import_set
from restorekit.errors import DataError, ImageError, RestorekitError
from restorekit.outofmemory import memory_named
from restorekit.restoring import Restorer, RestorerInfo, plan_jobs, restore_paths
from restorekit.restoring.kinds import take_apart

torch.set_num_threads(1)


class Invert(nn.Module):
    def forward(self, degraded):
        return 1 - degraded


@pytest.fixture
def restorer():
    return Restorer(Invert(), device="cpu", precision="fp32", info=RestorerInfo(model="invert", weights="none"))


@pytest.fixture
def restore(monkeypatch, restorer):
    monkeypatch.setattr("restorekit.cli.restore.chosen_restorer", lambda *args, **settings: restorer)
    return lambda *arguments: CliRunner().invoke(command, [str(part) for part in arguments])


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def photo(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(5, 7, 3) if pixels is None else pixels).save(path, **options)
    return path


def names(folder):
    return sorted(os.fsencode(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---- one of every kind ----

WRITTEN = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "avif")
AS_PNG = ("bmp", "dib", "gif", "jp2", "j2k", "ppm", "pgm", "pbm", "pcx", "tga", "sgi", "qoi", "mpo")
BROKEN = ("jpg", "png", "webp", "tif", "avif", "bmp", "gif", "jp2", "ppm", "tga", "qoi", "psd", "heic", "jxl", "mpo")


def fill(root, elsewhere):
    """Write 38 whole pictures, 15 broken ones, 4 linked folders with one each, and 3 with odd names: 60 files."""
    for suffix in WRITTEN:
        photo(root / f"plain.{suffix}")
    for number, suffix in enumerate(AS_PNG):
        image = Image.fromarray(noise(5, 7, 3)).convert("1" if suffix == "pbm" else "L" if suffix == "pgm" else "RGB")
        image.save(root / f"kind{number}.{suffix}")
    for mode in ("L", "LA", "RGBA", "P", "1", "I;16"):
        Image.new(mode, (7, 5)).save(root / f"mode-{mode.replace(';', '')}.png")
    for mode in ("CMYK", "L", "YCbCr"):
        Image.new(mode, (7, 5)).save(root / f"mode-{mode}.jpg")
    deep = noise(5, 7, 3, dtype=np.uint16)
    for compression in (None, "zlib", "lzw", "packbits"):
        tifffile.imwrite(root / f"deep-{compression}.tif", deep, photometric="rgb", compression=compression)
    write_picture(root / "deep.png", Picture(deep))
    photo(root / "sub" / "turned.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    photo(root / "sub" / "upper.JPG")
    for suffix in BROKEN:
        (root / f"broken-{suffix}.{suffix}").write_bytes(b"no picture at all")
    for number in range(4):
        photo(elsewhere / str(number) / f"linked{number}.png")
        (root / f"link{number}").symlink_to(elsewhere / str(number), target_is_directory=True)
    photo(root / "with space and ümläut.png")
    photo(root / ("n" * 240 + ".png"))
    photo(root / os.fsdecode(b"caf\xe9.png"))


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8, and links")
def test_sixty_files_of_every_kind(tmp_path, restore):
    root, out = tmp_path / "photos", tmp_path / "out"
    fill(root, tmp_path / "elsewhere")
    for name in ("notes.txt", "raw.nef", "raw2.nef"):
        (root / name).write_text("x")
    (root / "link0" / "back").symlink_to(root, target_is_directory=True)
    first = restore(root, "-o", out)
    assert first.exit_code == 1, first.output
    assert first.stdout.strip() == "45 restored, 0 skipped, 15 failed"
    for suffix in BROKEN:
        assert f"Failed: {root}/broken-{suffix}.{suffix}: " in first.stderr
    assert "3 files are left out, as they cannot be read: 2 .nef, 1 .txt" in first.stderr
    assert f"{root}/link0/back: not entered, it leads back" in first.stderr
    assert "written as PNG, since .bmp is not written" in first.stderr
    made = names(out)
    assert len(made) == 45
    assert b"link3/linked3.png" in made
    assert b"caf\xe9.png" in made
    assert Image.open(out / "sub" / "turned.jpg").size == (5, 7)
    np.testing.assert_array_equal(read_picture(out / "deep.png").pixels, 65535 - noise(5, 7, 3, dtype=np.uint16))
    before = {name: (out / os.fsdecode(name)).stat().st_mtime_ns for name in made}
    again = restore(root, "-o", out)
    assert again.exit_code == 1
    assert again.stdout.strip() == "0 restored, 45 skipped, 15 failed"
    assert {name: (out / os.fsdecode(name)).stat().st_mtime_ns for name in names(out)} == before


# ---- links ----


def test_linked_folders_are_followed_and_loops_are_not_run_through(tmp_path, restorer):
    photo(tmp_path / "far" / "a.png")
    photo(tmp_path / "photos" / "b.png")
    (tmp_path / "photos" / "far").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "far" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "far" / "self").symlink_to("self")
    report = restore_paths([tmp_path / "photos"], tmp_path / "out", restorer)
    assert [path.name for path in report.restored].count("a.png") >= 1
    assert len(report.restored) < 10
    assert report.ok


def test_linked_data_is_read(tmp_path):
    for kind in ("rainy", "gt"):
        photo(tmp_path / "far" / kind / "1.png")
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / kind).symlink_to(tmp_path / "far" / kind, target_is_directory=True)
    (tmp_path / "far" / "rainy" / "round").symlink_to(tmp_path / "set", target_is_directory=True)
    found = resolve(tmp_path / "set")
    assert found.paired
    np.testing.assert_array_equal(found.read(0).degraded, noise(5, 7, 3))


# ---- names, targets and options ----


def test_a_result_that_became_a_png_gives_way_to_the_png_beside_it(tmp_path):
    for name in ("a.bmp", "a.png", "b.bmp"):
        photo(tmp_path / "photos" / name)
    jobs = plan_jobs([tmp_path / "photos"], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["a.bmp.png", "a.png", "b.png"]
    asked = plan_jobs([tmp_path / "photos" / "b.bmp"], tmp_path / "out", format="avif")
    assert [(job.target.name, job.note) for job in asked] == [("b.avif", "")]


def test_suffix_names_results_beside_their_sources_once(tmp_path, restore):
    photo(tmp_path / "a.jpg")
    for count in ("1 restored, 0 skipped", "0 restored, 1 skipped"):
        assert count in restore(tmp_path, "-o", tmp_path, "--suffix", "-clean").stdout
    assert names(tmp_path) == [b"a-clean.jpg", b"a.jpg"]
    with pytest.raises(DataError, match="leave one of them out"):
        plan_jobs([tmp_path / "a.jpg"], tmp_path / "x.jpg", suffix="-clean")
    with pytest.raises(DataError, match="cannot be a part of a file name"):
        plan_jobs([tmp_path / "a.jpg"], tmp_path / "out", suffix="/x")


def test_what_cannot_be_written_is_refused_before_it_is_computed(tmp_path):
    class Never(nn.Module):
        def forward(self, degraded):
            raise AssertionError("computed")

    photo(tmp_path / "a.png", noise(5, 7, 4))
    never = Restorer(Never(), device="cpu", precision="fp32", tile=0)
    report = restore_paths([tmp_path / "a.png"], tmp_path / "out", never, format="jpg")
    assert "JPEG has no transparency" in report.failed[0][1]


def test_options_reach_the_files(tmp_path, restore):
    photo(
        tmp_path / "a.jpg", noise(64, 64, 3), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x04abc\0\0\0\0\0"
    )
    assert restore(tmp_path / "a.jpg", "-o", tmp_path / "b.jpg", "--note", "--quality", "30").exit_code == 0
    assert restore(tmp_path / "a.jpg", "-o", tmp_path / "c.jpg", "--metadata", "none", "--to-srgb").exit_code == 0
    noted, bare = read_picture(tmp_path / "b.jpg"), read_picture(tmp_path / "c.jpg")
    assert b'restorekit:Model="invert" restorekit:Weights="none" restorekit:Version="restorekit ' in noted.xmp
    assert (bare.exif, bare.xmp) == (None, None)
    assert noted.exif
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "c.jpg").stat().st_size / 2


def test_a_lack_of_memory_is_not_the_model_s_fault(tmp_path):
    class Hungry(nn.Module):
        def forward(self, degraded):
            raise MemoryError

    photo(tmp_path / "a.png")
    report = restore_paths([tmp_path / "a.png"], tmp_path / "out", Restorer(Hungry(), device="cpu", precision="fp32"))
    assert "not enough memory" in report.failed[0][1]
    assert "the model failed" not in report.failed[0][1]
    words = "not enough memory to train; close other programs, or shrink"
    with pytest.raises(RestorekitError, match=words), memory_named("to train", "shrink"):
        raise RuntimeError("could not create a primitive")
    with pytest.raises(RuntimeError, match="shapes"), memory_named("to train", "shrink"):
        raise RuntimeError("shapes differ")


# ---- leftovers ----


def old(path):
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def test_stale_unfinished_files_are_swept_and_others_are_not(tmp_path, restorer):
    photo(tmp_path / "photos" / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    stale, fresh, mine = (out / name for name in (".a.png.0123abcd.part", ".b.png.0123abcd.part", ".mine.part"))
    for path in (stale, fresh, mine):
        path.write_bytes(b"half")
    old(stale)
    old(mine)
    restore_paths([tmp_path / "photos"], out, restorer)
    assert sorted(path.name for path in out.iterdir()) == [".b.png.0123abcd.part", ".mine.part", "a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file cannot be removed anyway")
def test_a_file_that_somebody_writes_is_not_stale(tmp_path):
    def write(file):
        (beside,) = tmp_path.iterdir()
        leftovers.remove_stale(tmp_path)
        assert old(beside).exists()
        leftovers.remove_stale(tmp_path)
        assert beside.exists()
        file.write(b"whole")

    atomic_write(tmp_path / "a.bin", write)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def pairs(folder, count=3):
    for number in range(1, count + 1):
        for kind, stem in (("rainy", "rain"), ("gt", "norain")):
            photo(folder / kind / f"{stem}-{number:03}.png", noise(6, 8, 3) // 3 + 20 * number)
    return folder


def test_a_killed_import_is_swept_by_the_next(tmp_path, monkeypatch):
    root = tmp_path / "root"
    monkeypatch.setenv("RESTOREKIT_DATA", str(root))
    for name in (".incoming-rain100l-dead", ".incoming-rain100l-alive"):
        (root / name / "unpacked").mkdir(parents=True)
        old(root / name)
    with leftovers.held(root / ".incoming-rain100l-alive"):
        old(root / ".incoming-rain100l-alive")
        import_set(rain100l, pairs(tmp_path / "source"))
    assert sorted(path.name for path in root.iterdir()) == [".incoming-rain100l-alive", "rain100l"]


# ---- archives ----


@pytest.mark.parametrize("suffix", ["tgz", "tar.bz2", "tar.xz"])
def test_an_archive_with_a_wrong_checksum_is_not_imported(tmp_path, suffix):
    archive = tmp_path / f"set.{suffix}"
    with tarfile.open(archive, f"w:{suffix.replace('tar.', '').replace('tgz', 'gz')}") as pack:
        pack.add(pairs(tmp_path / "source"), "set")
    unpack_images(archive, tmp_path / "whole")
    data = bytearray(archive.read_bytes())
    at = {"tgz": -6, "tar.bz2": -6, "tar.xz": -6}[suffix]
    data[at] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DataError, match=rf"set\.{suffix}: the archive is damaged or incomplete"):
        unpack_images(archive, tmp_path / "out")


def test_messages_name_the_archive_and_not_where_it_was_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path / "root"))
    buffer = io.BytesIO(b"no picture")
    with tarfile.open(tmp_path / "set.tar", "w") as pack:
        for name in ("rainy/rain-001.png", "gt/norain-001.png"):
            info = tarfile.TarInfo(name)
            info.size = len(buffer.getvalue())
            pack.addfile(info, io.BytesIO(buffer.getvalue()))
    with pytest.raises(ImageError) as caught:
        import_set(rain100l, tmp_path / "set.tar")
    assert f"{tmp_path / 'set.tar'}/rainy/rain-001.png" in str(caught.value)
    assert ".incoming" not in str(caught.value)


# ---- data check ----


def test_check_reads_every_part_of_a_folder(tmp_path):
    pairs(tmp_path / "set" / "train")
    pairs(tmp_path / "set" / "test")
    run = lambda: CliRunner().invoke(data_command, ["check", str(tmp_path / "set"), "--json"])  # noqa: E731
    whole = json.loads(run().stdout)
    assert [entry["label"] for entry in whole["sets"]] == ["set@folder/train", "set@folder/test"]
    assert len(whole["leaks"][0]["pairs"]) >= 3
    broken = tmp_path / "set" / "train" / "rainy" / "rain-002.png"
    broken.write_bytes(broken.read_bytes()[:60])
    result = run()
    assert result.exit_code == 1
    assert "rain-002.png" in json.dumps(json.loads(result.stdout)["sets"][0]["unreadable"])
    broken.write_bytes(b"none")
    result = run()
    assert result.exit_code == 1
    assert "rain-002.png" in json.dumps(json.loads(result.stdout)["sets"][0]["unreadable"])
    (tmp_path / "set" / "train" / "gt" / "norain-002.png").unlink()
    assert "have no partner" in json.loads(run().stdout)["unusable"][0]


# ---- scores, and names that are no UTF-8 ----


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8")
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_scored_against_themselves_are_equal_under_any_name(tmp_path, suffix):
    from restorekit.benchmark.foreign import score

    stem = os.fsdecode(b"caf\xe9")
    for number in range(2):
        pixels = noise(32, 32, 3, dtype=np.uint16) // (number + 1)
        for kind in ("rainy", "gt", "outputs"):
            folder = tmp_path / ("set" if kind != "outputs" else "") / kind
            folder.mkdir(parents=True, exist_ok=True)
            write_picture(folder / f"{stem}-{number}.{suffix}", Picture(pixels))
    report = score(tmp_path / "outputs", str(tmp_path / "set"), tmp_path / "report")
    for row in report.summary.rows:
        assert [record.scores["psnr-rgb"] for record in row.row.images] == [float("inf")] * 2
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "caf" in page
    assert (tmp_path / "report" / "table.csv").read_text(encoding="utf-8")


# ---- arrays and tensors ----

ODD = {
    "meta": lambda: torch.zeros(3, 4, 4, device="meta"),
    "sparse": lambda: torch.zeros(3, 4, 4).to_sparse(),
    "complex": lambda: torch.zeros(3, 4, 4, dtype=torch.complex64),
    "not .H, W. or": lambda: np.zeros((8, 4, 4, 3), np.uint8),
    "complex128": lambda: np.zeros((4, 4, 3), complex),
    "closed": lambda: closed(),
    "'F' have no fixed range": lambda: Image.new("F", (3, 3)),
}


def closed():
    image = Image.new("RGB", (4, 4))
    image.close()
    return image


@pytest.mark.parametrize("words", ODD)
def test_images_without_plain_pixels_are_named(words, restorer):
    with pytest.raises(ImageError, match=words):
        take_apart(ODD[words]())
    with pytest.raises(ImageError, match=words):
        restorer.restore(ODD[words]())


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no owner's number there")
def test_another_users_leftovers_are_not_touched(tmp_path, monkeypatch):
    """In a folder for temporary files that all share, a lock may be a link to something of one's own."""
    left = tmp_path / "restorekit-serve-abc"
    left.mkdir()
    (left / "lock").touch()
    os.utime(left, (0, 0))
    uid = os.getuid()
    for user, kept in ((uid + 1, True), (uid, False)):
        monkeypatch.setattr(os, "getuid", lambda user=user: user)
        leftovers.remove_stale_folders(tmp_path, "restorekit-serve-*")
        assert left.is_dir() is kept
