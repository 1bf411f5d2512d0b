"""Data sets: decoding, pairing, importing, resolving, leaks and alignment."""

from __future__ import annotations

import errno
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.core import CORE_ENTRIES
from restorekit.data import store
from restorekit.data.archives import Limits, unpack_images
from restorekit.data.cards import DatasetCard
from restorekit.data.checks import check_set
from restorekit.data.decode import image_size, read_rgb8
from restorekit.data.images import read_picture
from restorekit.data.imageset import builtin_set
from restorekit.data.known import CARDS, ddn_sirr_real, rain100l, rain800, rain1200, rain1400, raindrop
from restorekit.data.leaks import alignment, find_leaks, perceptual_hash
from restorekit.data.pairing import NoPairsError, pair_folder
from restorekit.data.sets import resolve
from restorekit.data.store import ImportOptions, data_root, import_set, installed
from restorekit.errors import DataError, ImageError, UnknownNameError

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"
REAL = SHARED / "data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the development data are not on this machine")


def picture(path: Path, value: int = 0, size: tuple[int, int] = (8, 6)) -> Path:
    """Write an image of one value, `size` as (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def fill(root: Path, *names: str) -> Path:
    """Write an image per name; degraded ones get odd values: the value is the position in `names`."""
    for value, name in enumerate(names):
        picture(root / name, value)
    return root


def scene(seed: int, height: int = 96, width: int = 120) -> np.ndarray:
    """A smooth random picture with structure at many scales, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    grey = np.zeros((height, width))
    for cells in (3, 6, 12, 24, 48):
        patch = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
        grey += np.asarray(patch.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.5
    grey = 255 * (grey - grey.min()) / np.ptp(grey)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty root of data sets."""
    folder = tmp_path / "home" / "datasets"
    monkeypatch.setenv("RESTOREKIT_DATA", str(folder))
    return folder


def pairs_of(path, **options):
    files = pair_folder(path, **options)
    return [
        (p.name, p.degraded.relative_to(path).as_posix(), p.clean.relative_to(path).as_posix()) for p in files.pairs
    ]


# ---- decoding ----


def test_exif_orientation_is_applied_to_pixels_and_to_the_header_size(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255  # orientation 6 turns the picture clockwise: top left goes to top right
    for suffix in ("png", "tif"):
        path = tmp_path / f"turned.{suffix}"
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(path, exif=exif)
        read = read_rgb8(path)
        assert read.shape == (6, 4, 3)
        assert read[0, 3].tolist() == [255, 255, 255]
        assert image_size(path) == (6, 4)


def test_a_turned_jpeg_has_its_turned_size_in_the_header_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert image_size(tmp_path / "a.jpg") == read_rgb8(tmp_path / "a.jpg").shape[:2] == (6, 4)


def test_every_mode_becomes_rgb8_and_16_bit_grey_is_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 257 * 100, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_rgb8(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 100, 255]
    for mode in ("L", "P", "RGBA", "1", "LA"):
        Image.new(mode, (3, 2)).save(tmp_path / "m.png")
        read = read_rgb8(tmp_path / "m.png")
        assert read.shape == (2, 3, 3)
        assert read.dtype == np.uint8
    Image.new("CMYK", (3, 2)).save(tmp_path / "m.jpg")
    assert read_rgb8(tmp_path / "m.jpg").shape == (2, 3, 3)


def test_a_truncated_damaged_or_missing_image_is_named(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("hello")
    for name, word in (("cut.png", "truncated"), ("text.png", "not an image"), ("gone.png", "no such")):
        with pytest.raises(ImageError, match=word) as caught:
            read_rgb8(tmp_path / name)
        assert name in str(caught.value)
    # The size comes from the header, so that pairing a large set decodes nothing.
    assert image_size(tmp_path / "cut.png") == (96, 120)


def test_an_enormous_image_is_refused_with_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit, which the variable could not raise
    Image.new("RGB", (30, 30)).save(tmp_path / "big.png")
    for read in (read_rgb8, image_size):
        read(tmp_path / "big.png")
        monkeypatch.setenv("RESTOREKIT_MAX_PIXELS", "899")
        with pytest.raises(ImageError, match=r"big.png: 30 x 30 .* set RESTOREKIT_MAX_PIXELS=900"):
            read(tmp_path / "big.png")
        monkeypatch.delenv("RESTOREKIT_MAX_PIXELS")


# ---- pairing ----

LAYOUTS = [
    ("data/0_rain.png", "gt/0_clean.png", "0_rain"),
    ("input/a.png", "target/a.png", "a"),
    ("rainy/rain-001.png", "gt/norain-001.png", "rain-001"),
    ("rain/norain-1.png", "norain/norain-1.png", "norain-1"),
    ("rain/X2/norain-001x2.png", "norain/norain-001.png", "norain-001x2"),
    ("rainy/a.png", "clean/a.jpg", "a"),
    ("degraded/a.png", "clean/a.png", "a"),
    ("LQ/a.png", "GT/a.png", "a"),
    ("input/a.png", "groundtruth/a.png", "a"),
    ("input/a.png", "ground_truth/a.png", "a"),
    ("Rain/a.png", "no-rain/a.png", "a"),
    ("train_input/a.png", "train_target/a.png", "a"),
    ("rainy_image/901_1.png", "ground_truth/901.png", "901_1"),
    ("deep/down/test_a/data/0_rain.png", "deep/down/test_a/gt/0_clean.png", "0_rain"),
    ("rainy/train/a.png", "gt/train/a.png", "a"),
    ("rain-001.png", "norain-001.png", "rain-001"),
    ("0_rain.png", "0_clean.png", "0_rain"),
    ("Rain100L/rainy/rain-001.png", "Rain100L/norain-001.png", "rain-001"),
]


@pytest.mark.parametrize(("degraded", "clean", "name"), LAYOUTS, ids=[layout[0] for layout in LAYOUTS])
def test_layouts_found_in_the_wild(tmp_path, degraded, clean, name):
    fill(tmp_path, degraded, clean)
    assert pairs_of(tmp_path) == [(name, degraded, clean)]


def test_many_rainy_images_share_a_clean_one_in_numeric_order(tmp_path):
    rainy = [f"rainy_image/{scene}_{rain}.jpg" for scene in (901, 902) for rain in range(1, 15)]
    fill(tmp_path, *rainy, "ground_truth/901.jpg", "ground_truth/902.jpg")
    found = pairs_of(tmp_path)
    assert [row[1] for row in found] == rainy
    assert [row[2] for row in found] == ["ground_truth/901.jpg"] * 14 + ["ground_truth/902.jpg"] * 14


def test_other_files_of_a_flat_release_are_left_out(tmp_path):
    fill(tmp_path, "rain-1.png", "norain-1.png", "rainstreak-1.png", "rainregion-1.png")
    (tmp_path / "scores.json").write_text("{}")
    assert pairs_of(tmp_path) == [("rain-1", "rain-1.png", "norain-1.png")]


def test_a_mask_folder_is_taken_along(tmp_path):
    fill(tmp_path, "data/a.png", "gt/a.png")
    Image.new("L", (8, 6), 255).save(picture(tmp_path / "mask" / "a.png"))
    sample = resolve(tmp_path).read(0)
    assert sample.mask is not None
    assert sample.mask.dtype == np.uint8
    assert sample.mask.shape == (6, 8)
    assert set(sample.mask.ravel()) == {255}


def test_splits_of_a_folder(tmp_path):
    fill(tmp_path, "train/input/a.png", "train/target/a.png", "test/input/b.png", "test/target/b.png")
    assert [row[0] for row in pairs_of(tmp_path)] == ["b", "a"]
    assert [row[0] for row in pairs_of(tmp_path, split="train")] == ["a"]
    assert resolve(tmp_path).names == ("b",)
    assert resolve(tmp_path).label == f"{tmp_path.name}@folder/test"
    assert resolve(tmp_path, split="train").label == f"{tmp_path.name}@folder/train"
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(DataError, match="no train folder; it has test"):
        resolve(tmp_path, split="train")


def test_equal_stems_of_several_places_stay_apart(tmp_path):
    fill(tmp_path, *(f"{s}/{k}/1.png" for s in ("heavy", "light") for k in ("input", "target")))
    assert [row[0] for row in pairs_of(tmp_path)] == ["heavy-input-1", "light-input-1"]


def test_bad_folders_are_explained(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        pair_folder(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image in it"):
        pair_folder(tmp_path / "empty")
    fill(tmp_path / "odd", "one/a.png", "two/a.png")
    with pytest.raises(NoPairsError, match=r"Looked for .*rainy \+ gt.*found images: 1 in one, 1 in two"):
        pair_folder(tmp_path / "odd")
    fill(tmp_path / "count", "input/a.png", "input/b.png", "target/a.png", "target/c.png")
    with pytest.raises(DataError, match=r"2 images have no partner: input/b.png, target/c.png"):
        pair_folder(tmp_path / "count")


def test_sizes_that_differ_are_named_with_both_sizes(tmp_path):
    fill(tmp_path, "input/a.png", "target/a.png", "input/b.png")
    picture(tmp_path / "target/b.png", size=(9, 6))
    with pytest.raises(DataError, match=r"sizes of 1 pairs differ: .*b.png is 8x6 but b.png is 9x6"):
        pair_folder(tmp_path)


def test_side_by_side_halves_are_read_in_the_declared_order(tmp_path):
    whole = np.zeros((4, 6, 3), np.uint8)
    whole[:, 3:] = 200
    Image.fromarray(whole).save(tmp_path / "1.png")
    with pytest.raises(NoPairsError):
        pair_folder(tmp_path)
    (pair,) = pair_folder(tmp_path, sides="clean-degraded").pairs
    assert pair.sides == "clean-degraded"
    picture(tmp_path / "odd" / "2.png", size=(7, 4))
    with pytest.raises(DataError, match="7 pixels wide"):
        pair_folder(tmp_path / "odd", sides="clean-degraded")


# ---- image sets ----


def test_a_paired_folder(tmp_path):
    fill(tmp_path / "holiday", "input/a.png", "target/a.png")
    images = resolve(tmp_path / "holiday")
    assert (images.label, images.task, images.paired, len(images)) == ("holiday@folder", "", True, 1)
    sample = images.read(0)
    assert (sample.name, sample.degraded.shape, sample.degraded.dtype) == ("a", (6, 8, 3), np.uint8)
    assert sample.degraded[0, 0].tolist() == [0, 0, 0]
    assert sample.clean[0, 0].tolist() == [1, 1, 1]
    assert images.require_paired() is images


def test_an_unpaired_folder_says_why_it_has_no_clean_images(tmp_path):
    fill(tmp_path / "rain", "b.png", "a.jpg")
    images = resolve(tmp_path / "rain")
    assert not images.paired
    assert images.names == ("a", "b")
    assert images.read(0).clean is None
    with pytest.raises(DataError, match="Looked for"):
        images.require_paired()


def test_names_stay_unique_however_alike_the_places_are(tmp_path):
    for day in ("day1", "day2", "day3"):
        fill(tmp_path / "set", f"{day}/train/input/1.png", f"{day}/train/target/1.png")
    names = resolve(tmp_path / "set").names
    assert len(set(names)) == 3
    fill(tmp_path / "photos", "a/05/raw/1.jpg", "b/05/raw/1.jpg")
    assert len(set(resolve(tmp_path / "photos").names)) == 2


def test_images_of_both_kinds_that_do_not_pair_are_an_error(tmp_path):
    fill(tmp_path / "set", "rainy/wet1.png", "rainy/wet2.png", "gt/dry8.png")
    with pytest.raises(
        DataError, match=r"2 degraded images \(rainy.wet1.png.*1 clean ones \(gt.dry8.png\), but no two"
    ):
        resolve(tmp_path / "set")


def test_splits_of_an_unpaired_folder(tmp_path):
    folder = fill(tmp_path / "photos", "train/a.jpg", "train/b.jpg", "test/c.jpg")
    assert resolve(folder, split="train").names == ("a", "b")
    assert resolve(folder).label == "photos@folder/test"
    assert resolve(folder).names == ("c",)
    with pytest.raises(DataError, match="has no val folder; it has test, train"):
        resolve(folder, split="val")
    trips = fill(tmp_path / "trips", "train/a.jpg", "plane/b.jpg")
    assert set(resolve(trips).names) == {"a", "b"}


def test_names_in_any_alphabet_pair(tmp_path):
    names = ("пляж", "море", "è1", "ö1")
    fill(tmp_path / "set", *(f"{role}-{name}.png" for role in ("rain", "norain") for name in names))
    files = pair_folder(tmp_path / "set")
    assert {(p.degraded.stem, p.clean.stem) for p in files.pairs} == {(f"rain-{n}", f"norain-{n}") for n in names}


def test_the_fingerprint_follows_the_files_not_the_place(tmp_path):
    fill(tmp_path / "one", "input/a.png", "target/a.png")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first = resolve(tmp_path / "one").fingerprint
    assert resolve(tmp_path / "two").fingerprint == first
    Image.fromarray(scene(1)[:6, :8]).save(tmp_path / "two/input/a.png")
    assert resolve(tmp_path / "two").fingerprint != first


@pytest.mark.parametrize("suffix", ["bmp", "png"])
def test_the_fingerprint_tells_pictures_of_equal_size_apart(tmp_path, suffix):
    prints = set()
    for value in (10, 20):
        for side in ("input", "target"):
            (tmp_path / side).mkdir(exist_ok=True)
            Image.new("RGB", (64, 48), (value,) * 3).save(tmp_path / side / f"a.{suffix}")
        prints.add((resolve(tmp_path).fingerprint, (tmp_path / f"input/a.{suffix}").stat().st_size))
    assert len({p for p, _ in prints}) == 2
    assert len({size for _, size in prints}) == 1


@pytest.mark.parametrize("name", ["mine@train", "./mine@train"])
def test_a_folder_may_have_its_part_behind_it(tmp_path, monkeypatch, name):
    for part, letter in (("train", "a"), ("test", "b")):
        fill(tmp_path / "mine" / part, f"input/{letter}.png", f"target/{letter}.png")
    monkeypatch.chdir(tmp_path)
    assert resolve(name).names == ("a",)
    assert resolve(Path("mine@test")).names == ("b",)
    assert resolve("mine").names == ("b",)
    fill(tmp_path / "mine@train", "input/c.png", "target/c.png")
    assert resolve(name).names == ("c",)  # a folder of exactly that name comes first


def test_tiffs_are_read_as_restore_reads_them(tmp_path):
    grey = np.linspace(0, 65535, 48, dtype=np.uint16).reshape(6, 8)
    image = Image.fromarray(grey)
    image.save(tmp_path / "white.tif", tiffinfo={262: 0})  # white is zero
    assert np.array_equal(read_rgb8(tmp_path / "white.tif"), read_picture(tmp_path / "white.tif").to_8_bit().pixels)
    Image.fromarray((grey / 65535).astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"float\.tif"):
        read_rgb8(tmp_path / "float.tif")


def test_a_subset_reads_the_chosen_samples(tmp_path):
    fill(tmp_path, *(f"{k}/{n}.png" for k in ("input", "target") for n in "abc"))
    images = resolve(tmp_path)
    part = images.subset([2, 0])
    assert part.names == ("c", "a")
    assert [s.name for s in part] == ["c", "a"]
    assert part.fingerprint != images.fingerprint


def rain100l_part(root: Path, numbers: range) -> Path:
    names = [(f"test/rainy/rain-{n:03}.png", f"test/gt/norain-{n:03}.png") for n in numbers]
    return fill(root / "source", *(name for pair in names for name in pair))


def test_a_partial_import_is_labelled_and_what_is_missing_is_said(root, tmp_path):
    source = rain100l_part(tmp_path, range(1, 98))
    fill(source, "outputs/rain-001.png")
    (source / "scores.json").write_text("{}")
    (record,) = import_set(rain100l, source)
    assert (record.split, len(record.pairs), record.partial) == ("test", 97, True)
    assert record.missing == "3 of 100 samples are missing (numbers 98-100)"
    images = resolve("rain100l")
    assert (images.label, images.task, len(images)) == ("rain100l@test(97/100)", "rain-streak", 97)
    assert images.names[0] == "rain-001"
    assert images.read(0).clean[0, 0, 0] == 1
    assert images.fingerprint == resolve(source / "test").fingerprint
    assert resolve(images.label).label == images.label
    assert sorted(path.name for path in root.iterdir()) == ["rain100l"]


def test_a_complete_import_has_no_remark(root, tmp_path):
    (record,) = import_set(rain100l, rain100l_part(tmp_path, range(1, 101)))
    assert record.missing == ""
    assert resolve("rain100l").label == "rain100l@test"


def test_an_existing_import_stays_unless_forced(root, tmp_path):
    import_set(rain100l, rain100l_part(tmp_path / "a", range(1, 3)))
    smaller = rain100l_part(tmp_path / "b", range(5, 6))
    with pytest.raises(DataError, match=r"already installed .*--force"):
        import_set(rain100l, smaller)
    assert len(resolve("rain100l")) == 2
    import_set(rain100l, smaller, ImportOptions(force=True))
    assert resolve("rain100l").names == ("rain-005",)
    assert sorted(path.name for path in root.iterdir()) == ["rain100l"]


def test_installed_files_are_not_replaced_by_links_to_themselves(root, tmp_path):
    fill(tmp_path / "one", "test/rainy/a.png", "test/gt/a.png")
    (record,) = import_set(rain100l, tmp_path / "one")
    for source in (root / "rain100l", record.folder):
        with pytest.raises(DataError, match=r"installed files of rain100l.*nothing was changed"):
            import_set(rain100l, source, ImportOptions(link=True, force=True))
    assert [image_size(path) for path in (record.pairs[0].degraded, record.pairs[0].clean)] == [(6, 8), (6, 8)]


def test_links_point_to_the_source(root, tmp_path):
    source = rain100l_part(tmp_path, range(1, 3))
    (record,) = import_set(rain100l, source, ImportOptions(link=True))
    assert record.pairs[0].degraded.is_symlink()
    assert record.pairs[0].degraded.resolve() == (source / "test/rainy/rain-001.png").resolve()


def test_splits_are_recognised_by_folder_name(root, tmp_path):
    layout = {"train": 2, "test_a": 1, "test_b": 1}
    for split, count in layout.items():
        for n in range(count):
            fill(tmp_path / "src", f"{split}/data/{n}_rain.png", f"{split}/gt/{n}_clean.png")
    records = {r.split: r for r in import_set(raindrop, tmp_path / "src")}
    assert {name: len(r.pairs) for name, r in records.items()} == {"train": 2, "test-a": 1, "test-b": 1}
    assert "numbers 2-860" in records["train"].missing
    assert resolve("raindrop").label == "raindrop@test-a(1/58)"
    assert resolve("raindrop@test_b").label == "raindrop@test-b(1/239)"
    assert resolve("raindrop", split="train").label == "raindrop@train(2/861)"


def test_the_split_may_be_given_and_an_unknown_one_is_refused(root, tmp_path):
    fill(tmp_path / "src", "data/0_rain.png", "gt/0_clean.png")
    with pytest.raises(UnknownNameError, match=r"no split 'tset-b'. Did you mean 'test-b'"):
        import_set(raindrop, tmp_path / "src", ImportOptions(split="tset-b"))
    (record,) = import_set(raindrop, tmp_path / "src", ImportOptions(split="test_b"))
    assert record.split == "test-b"


def test_files_without_partner_are_left_out_and_said(root, tmp_path):
    source = rain100l_part(tmp_path, range(1, 3))
    picture(source / "test/rainy/rain-009.png")
    (record,) = import_set(rain100l, source)
    assert len(record.pairs) == 2
    assert "left out without partner: test/rainy/rain-009.png" in record.missing


def test_rain1400_keeps_the_shared_clean_image_once(root, tmp_path):
    fill(
        tmp_path / "s",
        "testing/rainy_image/901_1.jpg",
        "testing/rainy_image/901_2.jpg",
        "testing/ground_truth/901.jpg",
    )
    (record,) = import_set(rain1400, tmp_path / "s")
    assert record.split == "test"
    assert [p.name for p in record.pairs] == ["901_1", "901_2"]
    assert record.pairs[0].clean == record.pairs[1].clean
    assert len(list((record.folder / "clean").iterdir())) == 1


@pytest.mark.parametrize(("card", "degraded_left"), [(rain800, False), (rain1200, True)])
def test_side_by_side_sets_follow_their_card(root, tmp_path, card, degraded_left):
    whole = np.zeros((4, 6, 3), np.uint8)
    whole[:, 3:] = 200
    (tmp_path / "src" / "test").mkdir(parents=True)
    Image.fromarray(whole).save(tmp_path / "src/test/1.png")
    import_set(card, tmp_path / "src")
    sample = resolve(card.name).read(0)
    assert sample.degraded.shape == sample.clean.shape == (4, 3, 3)
    assert (sample.degraded.max() == 0) == degraded_left
    assert (sample.clean.max() == 0) != degraded_left


def test_an_unpaired_set(root, tmp_path):
    fill(tmp_path / "src", "a.jpg", "b.jpg")
    (record,) = import_set(ddn_sirr_real, tmp_path / "src", ImportOptions(split="train"))
    assert not record.paired
    images = resolve("ddn-sirr-real", split="train")
    assert images.label == "ddn-sirr-real@train(2/147)"
    with pytest.raises(DataError, match="no clean images"):
        images.require_paired()


# ---- archives ----


def make_archive(path: Path, source: Path) -> Path:
    names = sorted(p for p in source.rglob("*") if p.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as pack:
            for name in names:
                pack.write(name, name.relative_to(source))
    else:
        with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as pack:
            for name in names:
                pack.add(name, str(name.relative_to(source)))
    return path


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tgz"])
def test_archives_are_imported(root, tmp_path, name):
    source = rain100l_part(tmp_path, range(1, 4))
    (record,) = import_set(rain100l, make_archive(tmp_path / name, source))
    assert [p.name for p in record.pairs] == ["rain-001", "rain-002", "rain-003"]
    assert read_rgb8(record.pairs[2].clean)[0, 0, 0] == 5
    assert sorted(path.name for path in root.iterdir()) == ["rain100l"]


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("evil", ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "..\\evil.png", "C:\\evil.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_cannot_leave_the_folder(root, tmp_path, evil, kind):
    archive = tmp_path / f"evil.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as pack:
            pack.writestr(zipfile.ZipInfo(evil), png())
    else:
        with tarfile.open(archive, "w") as pack:
            info = tarfile.TarInfo(evil)
            info.size = len(png())
            pack.addfile(info, io.BytesIO(png()))
    with pytest.raises(DataError, match="outside the target folder"):
        import_set(rain100l, archive)
    assert list(root.iterdir()) == []
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(root, tmp_path, type_):
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as pack:
        info = tarfile.TarInfo("rain-001.png")
        info.type, info.linkname = type_, "/etc/passwd"
        pack.addfile(info)
    with pytest.raises(DataError, match="links or devices are refused"):
        import_set(rain100l, archive)
    assert list(root.iterdir()) == []


def test_links_in_a_zip_are_refused(root, tmp_path):
    info = zipfile.ZipInfo("rain-001.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as pack:
        pack.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        import_set(rain100l, tmp_path / "evil.zip")


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
@pytest.mark.parametrize("member", ["rain-001.png", "readme.txt"])
def test_bombs_are_stopped_while_unpacking(tmp_path, name, member):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / member).write_bytes(bytes(40 << 20))
    archive = tmp_path / name
    if name.endswith("zip"):
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
            pack.write(tmp_path / "src" / member, member)
    else:
        make_archive(archive, tmp_path / "src")
    target = tmp_path / "out"
    if name.endswith("zip") and member == "readme.txt":
        unpack_images(archive, target)  # a zip member that is not wanted is never unpacked
        assert not target.exists()
        return
    with pytest.raises(DataError, match="looks like a bomb"):
        unpack_images(archive, target)
    assert sum(p.stat().st_size for p in target.rglob("*")) < 20 << 20 if target.exists() else True


def test_limits_on_members_and_total(root, tmp_path):
    archive = make_archive(tmp_path / "set.zip", rain100l_part(tmp_path, range(1, 4)))
    with pytest.raises(DataError, match="more than 5 members"):
        import_set(rain100l, archive, ImportOptions(limits=Limits(members=5)))
    with pytest.raises(DataError, match="looks like a bomb"):
        import_set(rain100l, archive, ImportOptions(limits=Limits(total=100)))
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz"])
def test_a_truncated_archive_leaves_nothing(root, tmp_path, name):
    archive = make_archive(tmp_path / name, rain100l_part(tmp_path, range(1, 30)))
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="damaged or incomplete") as caught:
        import_set(rain100l, archive)
    assert "\n" not in str(caught.value)
    assert "not a gzip file" not in str(caught.value)  # what a zip file was then taken for
    assert list(root.iterdir()) == []


def test_a_file_that_is_no_archive_and_a_missing_one(root, tmp_path):
    (tmp_path / "set.rar").write_text("x")
    with pytest.raises(DataError, match="not an archive"):
        import_set(rain100l, tmp_path / "set.rar")
    with pytest.raises(DataError, match="no such file"):
        import_set(rain100l, tmp_path / "gone.zip")


# ---- writing fails ----


def test_a_full_disk_is_said_and_leaves_nothing(root, tmp_path, monkeypatch):
    source = rain100l_part(tmp_path, range(1, 4))
    copied = []

    def copy(src, dst):
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(dst))
        copied.append(dst)
        return Path(dst).write_bytes(Path(src).read_bytes())

    monkeypatch.setattr(store.shutil, "copyfile", copy)
    with pytest.raises(DataError, match="disk is full"):
        import_set(rain100l, source)
    assert list(root.iterdir()) == []


def test_too_little_space_is_seen_before_copying(root, tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match="MiB are needed"):
        import_set(rain100l, rain100l_part(tmp_path, range(1, 4)))
    assert list(root.iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path / "file" / "below"))
    with pytest.raises(DataError, match="set RESTOREKIT_DATA to another folder"):
        import_set(rain100l, rain100l_part(tmp_path, range(1, 2)))


def test_a_failed_replacement_keeps_the_old_set(root, tmp_path, monkeypatch):
    import_set(rain100l, rain100l_part(tmp_path / "a", range(1, 3)))
    rename = Path.rename

    def failing(self, target):
        if self.parent.name.startswith(".incoming") and self.name == "test":
            raise OSError(errno.EIO, "Input/output error", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(DataError, match="Input/output error"):
        import_set(rain100l, rain100l_part(tmp_path / "b", range(5, 6)), ImportOptions(force=True))
    assert resolve("rain100l").names == ("rain-001", "rain-002")


def test_a_damaged_record_or_a_hand_filled_folder_is_explained(root, tmp_path):
    import_set(rain100l, rain100l_part(tmp_path, range(1, 3)))
    (root / "rain100l/test/set.json").write_text("{")
    with pytest.raises(DataError, match=r"damaged .*--force"):
        installed("rain100l")
    fill(root / "rain800", "test/1.png")
    with pytest.raises(DataError, match="not imported"):
        resolve("rain800")


# ---- resolving names ----


def test_the_default_root_is_the_users_data_folder(monkeypatch):
    monkeypatch.delenv("RESTOREKIT_DATA")
    assert data_root().name == "datasets"
    assert "restorekit" in data_root().parts


@pytest.fixture(autouse=True)
def _own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTOREKIT_DATA", str(tmp_path / "home" / "datasets"))


def test_an_unknown_name_names_the_closest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'rain100l'.*Nor is there a folder"):
        resolve("rain10ol")
    with pytest.raises(UnknownNameError, match="no split 'tset'"):
        resolve("rain100l@tset")


def test_a_path_that_does_not_exist():
    with pytest.raises(DataError, match="no such folder"):
        resolve("./nowhere")


def test_training_never_falls_back_to_the_builtin_photographs(root, tmp_path):
    with pytest.raises(DataError, match=r"raindrop@train is asked for.*restorekit data add raindrop"):
        resolve("raindrop", split="train")
    fill(tmp_path / "src", "train/data/0_rain.png", "train/gt/0_clean.png")
    import_set(raindrop, tmp_path / "src")
    with pytest.raises(DataError, match="only train of it is installed"):
        resolve("raindrop")


def test_sets_without_ground_truth_have_no_stand_in():
    with pytest.raises(DataError, match="real-rain@test is asked for"):
        resolve("real-rain")
    with pytest.raises(DataError, match="not installed"):
        resolve("raindrop", builtin=False)
    with pytest.raises(DataError, match="not installed"):
        resolve("raindrop@test-a")


@pytest.mark.parametrize(("name", "label"), [("raindrop", "raindrop@builtin"), ("rain100l", "rain100l@builtin")])
def test_the_builtin_set_stands_in_and_says_so(name, label):
    images = resolve(name)
    assert (images.label, images.paired, images.is_builtin) == (label, True, True)
    assert images.fingerprint.startswith("builtin-")
    assert len(images) == len(set(images.names)) > 0
    sample = images.read(1)
    assert sample.name == images.names[1]
    assert sample.degraded.shape == sample.clean.shape
    assert (sample.degraded != sample.clean).any()
    assert sample.mask.shape == sample.clean.shape[:2]
    assert set(np.unique(sample.mask)) == {0, 255}


@pytest.mark.slow
def test_the_names_of_the_builtin_set_are_those_of_its_samples():
    images = resolve("rain100l@builtin")
    assert tuple(sample.name for sample in images) == images.names


def test_a_task_without_builtin_images_is_refused():
    with pytest.raises(DataError, match="built-in images for rain, rain-streak, raindrop, not for haze"):
        builtin_set("fog", "haze")


def test_the_builtin_set_can_be_asked_for(root, tmp_path):
    import_set(rain100l, rain100l_part(tmp_path, range(1, 3)))
    assert resolve("rain100l@builtin").is_builtin
    assert resolve("rain100l", split="train", builtin=True).is_builtin
    assert not resolve("rain100l").is_builtin


def test_a_name_beats_a_folder_of_that_name_unless_it_is_a_path(tmp_path, monkeypatch):
    fill(tmp_path / "rain100l", "input/a.png", "target/a.png")
    monkeypatch.chdir(tmp_path)
    assert resolve("./rain100l").label == "rain100l@folder"
    assert resolve(Path("rain100l")).label == "rain100l@folder"
    assert resolve("rain100l").is_builtin


# ---- cards ----


def test_every_entry_gives_its_card():
    import importlib

    entries = [entry for entry in CORE_ENTRIES if entry.kind == "dataset"]
    for entry in entries:
        module, _, attribute = entry.target.partition(":")
        card = getattr(importlib.import_module(module), attribute)
        assert isinstance(card, DatasetCard)
        assert card.name == {"ddn": "rain1400"}.get(entry.name, entry.name)
        assert card.benchmark_split in card.splits
        assert entry.tasks == (card.task,)
    assert {entry.name for entry in entries} == {card.name for card in CARDS} | {"ddn"}


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("rain_data_test_Light/rain", "test"),
        ("RainTrainL", "train"),
        ("training/rainy_image", "train"),
        ("Rain_Heavy/train2018new", "train"),
        ("rainy", None),
        ("not_rain/latest", None),
    ],
)
def test_split_names_in_folder_names(path, split):
    assert rain100l.split_in(path) == split


def test_importing_the_data_modules_imports_no_torch():
    code = (
        "import sys; import restorekit.core, restorekit.data.sets, restorekit.data.leaks,"
        " restorekit.data.checks, restorekit.data.store, restorekit.cli.data;"
        " print([m for m in ('torch', 'numpy', 'PIL', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout.replace("'", '"')) == []


# ---- leaks and alignment ----


def reference_hash(image):
    """The hash written out: an explicit DCT-II matrix and a loop over the coefficients."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    k, n = np.mgrid[:32, :32]
    basis = np.cos(np.pi * (2 * n + 1) * k / 64) * np.sqrt(2 / 32)
    basis[0] /= np.sqrt(2)
    spectrum = basis @ grey @ basis.T
    low = [spectrum[i // 9, i % 9] for i in range(1, 65)]
    middle = np.median(low)
    return sum(1 << (63 - i) for i, value in enumerate(low) if value > middle)


def test_the_hash_equals_an_explicit_dct():
    for seed in range(5):
        assert perceptual_hash(scene(seed)) == reference_hash(scene(seed))


def test_leaks_are_seen_through_jpeg_scaling_and_rain_and_not_between_strangers(tmp_path):
    train = [(f"t{seed}", scene(seed)) for seed in range(20)]
    buffer = io.BytesIO()
    Image.fromarray(scene(3)).resize((100, 80)).save(buffer, "jpeg", quality=60)
    rainy = scene(7).copy()
    rainy[:, ::9] = np.minimum(rainy[:, ::9].astype(int) + 60, 255)
    test = [("copy", np.asarray(Image.open(buffer))), ("rainy", rainy), ("new", scene(99))]
    assert {(leak.train, leak.test) for leak in find_leaks(train, test)} == {("t3", "copy"), ("t7", "rainy")}
    assert find_leaks(train, [("t3", scene(3))])[0] == ("t3", "t3", 0)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -1), (3, -5), (-7, 11)])
def test_alignment_finds_the_shift_that_scikit_image_finds(shift):
    registration, filters = (
        pytest.importorskip("skimage.registration"),
        pytest.importorskip("skimage.filters"),
    )
    whole = scene(5, 160, 200)
    clean = whole[20:140, 20:180]
    degraded = whole[20 - shift[0] : 140 - shift[0], 20 - shift[1] : 180 - shift[1]]
    assert alignment(degraded, clean) == shift
    hann = filters.window("hann", clean.shape[:2])  # else the borders, which differ, hide small shifts
    windowed = [(image.mean(2) - image.mean()) * hann for image in (degraded, clean)]
    reference = registration.phase_cross_correlation(*windowed)[0]
    assert alignment(degraded, clean) == tuple(int(v) for v in reference)


def test_alignment_of_flat_pictures_is_zero():
    flat = np.full((20, 30, 3), 7, np.uint8)
    assert alignment(flat, flat) == (0, 0)


def test_check_set_reports_what_is_wrong(tmp_path):
    for name, degraded, clean in (
        ("same", scene(1), scene(1)),
        ("moved", np.roll(scene(2), (2, 3), (0, 1)), scene(2)),
        ("fine", scene(3) // 2 + 60, scene(3)),
        ("cut", scene(4), scene(4) // 2),
    ):
        for folder, image in (("input", degraded), ("target", clean)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{name}.png")
    data = (tmp_path / "target/cut.png").read_bytes()
    (tmp_path / "target/cut.png").write_bytes(data[: len(data) // 2])
    report = check_set(resolve(tmp_path))
    assert report.identical == ("same",)
    assert report.misaligned == (("moved", 2, 3),)
    assert len(report.unreadable) == 1
    assert "cut.png" in report.unreadable[0]
    assert [name for name, _ in report.hashes] == ["fine", "moved", "same"]


# ---- the real sets ----


@needs_real
@pytest.mark.parametrize(
    ("name", "folder", "label", "first"),
    [
        ("rain100l", "rain100l", "rain100l@test(50/100)", "rain-001"),
        ("rain100h", "rain100h", "rain100h@test(50/100)", "1"),
        ("raindrop", "raindrop-sample", "raindrop@test-a(2/58)", "0_rain"),
    ],
)
def test_the_real_sets_import(root, name, folder, label, first):
    card = next(card for card in CARDS if card.name == name)
    import_set(card, REAL / folder)
    images = resolve(name)
    assert images.label == label
    assert images.names[0] == first
    sample = images.read(0)
    assert sample.degraded.shape == sample.clean.shape


@needs_real
def test_the_real_pairs_are_aligned_and_rain100h_shares_its_backgrounds():
    light = resolve(REAL / "rain100l").subset(range(8))
    heavy = resolve(REAL / "rain100h")
    assert check_set(light).misaligned == ()
    numbers = {name.removeprefix("rain-").lstrip("0"): name for name in light.names}
    found = {(leak.train, leak.test) for leak in find_leaks(light, heavy)}
    assert {(name, number) for number, name in numbers.items()} <= found
