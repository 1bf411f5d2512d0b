"""``restorekit data``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from restorekit.cli.data import command
from restorekit.errors import DataError, ImageError, UnknownNameError


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "root"
    monkeypatch.setenv("RESTOREKIT_DATA", str(folder))
    return folder


def source(folder, split="test", count=3):
    rng = np.random.default_rng(count)
    for number in range(1, count + 1):
        clean = rng.integers(0, 200, (24, 32, 3), np.uint8)
        for kind, stem, image in (("rainy", "rain", clean + 40), ("gt", "norain", clean)):
            path = folder / split / kind / f"{stem}-{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return str(folder)


def run(*arguments):
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_add_list_and_check(root, tmp_path):
    added = run("add", "rain100l", source(tmp_path / "src"))
    assert added.exit_code == 0
    assert "rain100l test: 3 of 100 pairs" in added.output
    assert "97 of 100 samples are missing (numbers 4-100)" in added.output
    listed = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert "ddn" not in listed
    (record,) = listed["rain100l"]["installed"]
    assert (record["split"], record["count"], record["expected"], record["partial"]) == ("test", 3, 100, True)
    assert listed["rain1400"]["installed"] == []
    assert "test: 3 of 100 pairs" in run("list").output
    checked = run("check", "rain100l")
    assert checked.exit_code == 0
    assert "rain100l@test(3/100): 3 pairs" in checked.output


def test_check_finds_backgrounds_shared_by_two_splits(root, tmp_path):
    source(tmp_path / "src", "test")
    run("add", "rain100l", source(tmp_path / "src", "train"))
    result = json.loads(run("check", "rain100l", "--json").output)
    assert result["ok"]
    assert {s["label"] for s in result["sets"]} == {"rain100l@test(3/100)", "rain100l@train(3/200)"}
    (leaks,) = result["leaks"]
    assert [pair[:2] for pair in leaks["pairs"]] == [[f"rain-{n:03}"] * 2 for n in (1, 2, 3)]


def test_every_file_that_is_no_image_is_named(root, tmp_path):
    folder = tmp_path / "src"
    source(folder)
    for name in ("test/rainy/rain-001.png", "test/gt/norain-003.png"):
        (folder / name).write_bytes(b"no image")
    checked = CliRunner().invoke(command, ["check", str(folder / "test")])
    assert isinstance(checked.exception, DataError)
    assert all(
        f"unreadable: {folder}/test/{name}" in checked.output for name in ("rainy/rain-001.png", "gt/norain-003.png")
    )
    with pytest.raises(ImageError, match="2 images cannot be read"):
        run("add", "rain100l", str(folder))


def test_check_fails_on_an_unreadable_file_and_names_it(root, tmp_path):
    folder = source(tmp_path / "src")
    path = tmp_path / "src/test/gt/norain-002.png"
    path.write_bytes(path.read_bytes()[:200])
    result = CliRunner().invoke(command, ["check", folder])
    assert isinstance(result.exception, DataError)
    assert "norain-002.png" in result.output


def test_check_of_what_is_not_installed_and_of_an_unknown_name(root):
    with pytest.raises(DataError, match="not installed"):
        run("check", "rain100l")
    with pytest.raises(UnknownNameError, match="Did you mean 'rain100l'"):
        run("check", "rain10ol")
    with pytest.raises(UnknownNameError, match="Did you mean 'rain100l'"):
        run("add", "rain10ol", "x")


def test_path(root):
    assert run("path").output.strip() == str(root)
    assert run("path", "ddn").output.strip() == str(root / "rain1400")


def test_help_of_every_command_explains_itself():
    assert {"add", "list", "check", "path", "synthesize"} == set(command.commands)
    for name in command.commands:
        assert len(run(name, "--help").output.splitlines()) > 4


def photographs(folder, count=3):
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(60, 140, (40, 48, 3), np.uint8)).save(folder / f"p{number}.png")
    return str(folder)


RAIN = ("--task", "rain-streak", "--preset", "light", "--seed", "4")


def test_synthesize_writes_pairs_that_are_the_same_again(tmp_path):
    photos = photographs(tmp_path / "photos")
    for name in ("one", "two"):
        assert "3 pairs of photos@folder in" in run("synthesize", photos, "-o", str(tmp_path / name), *RAIN).output
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert [str(f) for f in files] == [f"{kind}/p{n}.png" for kind in ("clean", "degraded", "mask") for n in range(3)]

    def pixels(file, folder="one"):
        return np.asarray(Image.open(tmp_path / folder / file)).astype(int)

    assert all(np.array_equal(pixels(f), pixels(f, "two")) for f in files)
    assert np.array_equal(pixels("clean/p0.png"), pixels("p0.png", "photos"))
    added, mask = (pixels("degraded/p0.png") - pixels("clean/p0.png")).min(axis=-1), pixels("mask/p0.png")
    assert added.min() >= 0  # light rain adds light
    assert set(np.unique(mask)) == {0, 255}
    assert added[mask > 0].mean() > 10 * added[mask == 0].mean()
    assert not np.array_equal(mask, pixels("mask/p1.png"))
    assert "3 pairs" in run("check", str(tmp_path / "one")).output


def test_synthesize_takes_the_training_part_joins_and_scales(tmp_path):
    photographs(tmp_path / "parts" / "train", 2)
    photographs(tmp_path / "parts" / "test", 1)
    more = photographs(tmp_path / "more", 1)
    run("synthesize", str(tmp_path / "parts"), more, "-o", str(tmp_path / "out"), "--resize", "20", *RAIN)
    assert sorted(p.name for p in (tmp_path / "out" / "mask").iterdir()) == ["0-p0.png", "0-p1.png", "1-p0.png"]
    assert Image.open(tmp_path / "out" / "clean" / "1-p0.png").size == (24, 20)


def test_synthesize_leaves_all_or_nothing(root, tmp_path):
    photos, out = photographs(tmp_path / "photos", 2), tmp_path / "out"
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="exists; name a new folder"):
        run("synthesize", photos, "-o", str(tmp_path), *RAIN)
    with pytest.raises(DataError, match="would then be taken for the pairs"):
        run("synthesize", photos, "-o", f"{photos}/pairs", *RAIN)
    with pytest.raises(UnknownNameError, match="there are drops, soft, "):
        run("synthesize", photos, "-o", str(out), "--task", "raindrop", "--preset", "dops")
    with pytest.raises(DataError, match="for testing only"):
        run("synthesize", "rain100l", "-o", str(out), *RAIN)
    with pytest.raises(DataError, match="part of its path is a file"):
        run("synthesize", photos, "-o", str(tmp_path / "file" / "out"), *RAIN)
    (tmp_path / "photos" / "p1.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"p1\.png"):
        run("synthesize", photos, "-o", str(out), *RAIN)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photos"]
