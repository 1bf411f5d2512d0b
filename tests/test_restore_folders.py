"""Folders: the tree is kept, finished work too, failures are told at the end."""

from __future__ import annotations

import errno
import threading

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import restorekit
from restorekit.cli.restore import command
from restorekit.data import walking
from restorekit.data.images import writing
from restorekit.errors import DataError, ImageError
from restorekit.restoring import Restorer, RestorerInfo, folders, plan_jobs, restore_paths
from restorekit.restoring.planning import left_out

torch.set_num_threads(1)


class Invert(nn.Module):
    def forward(self, degraded):
        return 1 - degraded


@pytest.fixture
def restorer():
    return Restorer(Invert(), device="cpu", precision="fp32", info=RestorerInfo(model="invert"))


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for index, name in enumerate(["a.png", "b.jpg", "trip/c.webp", "trip/deep/d.tiff"]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), (40 * index, 0, 0)).save(path)
    (root / "notes.txt").write_text("not a photo")
    (root / "._a.png").write_bytes(b"what macOS leaves behind")
    return root


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_tree_is_kept_and_other_files_are_left_out(photos, tmp_path, restorer):
    out = tmp_path / "out"
    report = restore_paths([photos], out, restorer)
    assert names(out) == ["a.png", "b.jpg", "trip/c.webp", "trip/deep/d.tiff"]
    assert report.ok
    assert report.summary() == "4 restored, 0 skipped, 0 failed"
    assert np.asarray(Image.open(out / "a.png"))[0, 0].tolist() == [255, 255, 255]


def test_what_is_done_is_skipped_unless_overwritten(photos, tmp_path, restorer):
    out = tmp_path / "out"
    restore_paths([photos], out, restorer)
    (out / "a.png").unlink()
    (out / "b.jpg").write_bytes(b"mine")
    report = restore_paths([photos], out, restorer)
    assert report.summary() == "1 restored, 3 skipped, 0 failed"
    assert (out / "b.jpg").read_bytes() == b"mine"
    assert restore_paths([photos], out, restorer, overwrite=True).summary().startswith("4 restored")
    assert (out / "b.jpg").read_bytes() != b"mine"


def test_failures_are_collected_and_leave_no_file(photos, tmp_path, restorer):
    (photos / "a.png").write_text("text")
    (photos / "b.jpg").write_bytes((photos / "b.jpg").read_bytes()[:-200])
    report = restore_paths([photos], tmp_path / "out", restorer)
    assert not report.ok
    assert [path.name for path, _ in report.failed] == ["a.png", "b.jpg"]
    assert all(str(path) in message for path, message in report.failed)
    assert names(tmp_path / "out") == ["trip/c.webp", "trip/deep/d.tiff"]


def test_a_model_that_fails_for_one_image_does_not_stop_the_others(photos, tmp_path):
    class Picky(Invert):
        def forward(self, degraded):
            if degraded[0, 0].mean() == 0:
                raise RuntimeError("too dark")
            return super().forward(degraded)

    picky = Restorer(Picky(), device="cpu", precision="fp32", tile=0)
    report = restore_paths([photos], tmp_path / "out", picky)
    assert report.summary() == "3 restored, 0 skipped, 1 failed"
    assert "too dark" in report.failed[0][1]


def test_a_full_disk_stops_the_run_and_keeps_what_is_finished(photos, tmp_path, restorer, monkeypatch):
    real, calls = writing._encode, []

    def full_after_one(file, kind, *rest):
        calls.append(kind)
        if len(calls) > 1:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, kind, *rest)

    monkeypatch.setattr(writing, "_encode", full_after_one)
    report = restore_paths([photos], tmp_path / "out", restorer)
    assert (len(report.restored), len(report.failed), len(calls)) == (1, 1, 2)
    assert "disk is full" in report.failed[0][1]
    assert report.stopped.startswith("2 file(s)")
    assert names(tmp_path / "out") == ["a.png"]


def test_inputs_are_never_overwritten(photos):
    with pytest.raises(DataError, match="would be overwritten"):
        plan_jobs([photos], photos, overwrite=True)
    with pytest.raises(DataError, match="would be overwritten"):
        plan_jobs([photos / "a.png"], photos / "trip" / ".." / "a.png")


def test_two_inputs_for_one_file_are_refused(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (2, 2)).save(other / "a.png")
    with pytest.raises(DataError, match="both"):
        plan_jobs([photos, other], tmp_path / "out")
    Image.new("RGB", (2, 2)).save(photos / "a.jpg")
    assert len(plan_jobs([photos], tmp_path / "out")) == 5
    with pytest.raises(DataError, match="both"):
        plan_jobs([photos], tmp_path / "out", format="png")
    assert len(plan_jobs([photos / "a.png", photos / "a.png"], tmp_path / "out")) == 1


def test_missing_and_empty_inputs_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        plan_jobs([tmp_path / "absent"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        plan_jobs([tmp_path / "empty"], tmp_path / "out")


def test_results_inside_the_input_folder_are_not_restored_again(photos, restorer):
    restore_paths([photos], photos / "clean", restorer)
    assert restore_paths([photos], photos / "clean", restorer).summary() == "0 restored, 4 skipped, 0 failed"


def test_a_single_file_may_be_given_a_name_and_a_format(photos, tmp_path, restorer):
    restore_paths([photos / "a.png"], tmp_path / "x.tiff", restorer)
    assert Image.open(tmp_path / "x.tiff").format == "TIFF"
    restore_paths([photos], tmp_path / "out", restorer, format="PNG")
    assert names(tmp_path / "out") == ["a.png", "b.png", "trip/c.png", "trip/deep/d.png"]
    with pytest.raises(ImageError, match="use one of"):
        plan_jobs([photos], tmp_path / "out", format="gif")


def test_a_name_and_a_format_that_contradict_each_other_are_refused(photos, tmp_path, restorer):
    with pytest.raises(DataError, match=r"x\.jpg: its name and --format png say two formats"):
        restore_paths([photos / "a.png"], tmp_path / "x.jpg", restorer, format="png")
    restore_paths([photos / "a.png"], tmp_path / "x.jpg", restorer, format="jpeg")
    assert names(tmp_path)[-1] == "x.jpg"


def test_16_bits_that_a_format_cannot_hold_are_noted(tmp_path, restorer):
    source = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 5), 40000, np.uint16)).save(source)
    for suffix, count in (("png", 0), ("tiff", 0), ("jpg", 1), ("webp", 1)):
        notes = restore_paths([source], tmp_path / "out", restorer, format=suffix).notes
        assert [path for path, note in notes if "16 bits were rounded to 8" in note] == [source] * count


def test_whatever_a_network_raises_concerns_its_image_only(photos, tmp_path, restorer, monkeypatch):
    original, seen = restorer.restore_picture, []

    def sometimes(picture):
        seen.append(picture)
        if len(seen) == 1:
            raise TypeError("no float64 here")
        return original(picture)

    monkeypatch.setattr(restorer, "restore_picture", sometimes)
    report = restore_paths([photos], tmp_path / "out", restorer)
    assert [message for _, message in report.failed if "the model failed (TypeError: no float64 here)" in message]
    assert report.restored


def test_folders_that_cannot_be_read_are_not_passed_over(photos, tmp_path, restorer, monkeypatch):
    def walk(folder, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", str(folder / "private")))
        return iter(())

    monkeypatch.setattr(walking.os, "walk", walk)
    with pytest.raises(DataError, match=r"private: cannot be read \(Permission denied\)"):
        restore_paths([photos], tmp_path / "out", restorer)


def test_a_folder_is_not_named_like_an_image(photos, tmp_path, restorer):
    out = tmp_path / "out.png"
    files = sorted(path for path in photos.iterdir() if path.is_file())[:2]
    for inputs, given in (([photos], "the folder"), (files, "2 inputs")):
        with pytest.raises(DataError, match=f"out.png is the name of one image, and {given}.*such as .*/out$"):
            restore_paths(inputs, out, restorer)
    assert not out.exists()
    out.mkdir()
    assert restore_paths([photos], out, restorer).ok


@pytest.mark.parametrize("name", ["a.gif", "a.BMP", "a.heic", "a.jpge", "a.pgn"])
def test_names_of_other_formats_are_refused_and_no_folders(photos, tmp_path, restorer, name):
    source = next(p for p in sorted(photos.rglob("*")) if p.suffix == ".png" and p.name[0] != ".")
    with pytest.raises(ImageError, match=r"cannot write \..*; use one of \.jpg"):
        restore_paths([source], tmp_path / "out" / name, restorer)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["v1.2", "results.out", "plain"])
def test_folders_may_have_dots_in_their_names(photos, tmp_path, restorer, name):
    source = next(p for p in sorted(photos.rglob("*")) if p.suffix == ".png" and p.name[0] != ".")
    restore_paths([source], tmp_path / name, restorer)
    assert (tmp_path / name / source.name).is_file()


def test_pictures_of_other_formats_are_counted(photos, tmp_path):
    (photos / "inner").mkdir(exist_ok=True)
    for name in ("x.nef", "inner/y.CR2", "notes.txt", ".hidden.gif"):
        (photos / name).write_bytes(b"")
    found = left_out([photos], tmp_path / "out")
    assert [p.name for p in found.files] == ["y.CR2", "notes.txt", "x.nef"]
    assert found.counted() == "1 .cr2, 1 .nef, 1 .txt"
    assert left_out([photos / "x.nef"], tmp_path / "out").files == ()


def test_folders_need_not_recurse(photos, tmp_path):
    jobs = plan_jobs([photos], tmp_path / "out", recursive=False)
    assert [job.source.name for job in jobs] == ["a.png", "b.jpg"]


def test_the_next_image_is_read_meanwhile_and_no_more(photos, tmp_path, monkeypatch):
    read, lock = [], threading.Condition()

    def reading(path):
        with lock:
            read.append(path.name)
            lock.notify_all()
        return real(path)

    real = folders.read_picture
    monkeypatch.setattr(folders, "read_picture", reading)
    ahead = []

    class Watch(Invert):
        def forward(self, degraded):
            with lock:
                wanted = min(len(ahead) + 2, 4)
                assert lock.wait_for(lambda: len(read) >= wanted, timeout=10)
            ahead.append(len(read))
            return super().forward(degraded)

    watch = Restorer(Watch(), device="cpu", precision="fp32", tile=0)
    restore_paths([photos], tmp_path / "out", watch)
    assert ahead == [2, 3, 4, 4]


@pytest.fixture
def cli(monkeypatch, restorer):
    loaded = []

    def load(model, **settings):
        loaded.append((model, settings))
        return restorer

    monkeypatch.setitem(vars(restorekit), "load", load)
    monkeypatch.setattr("restorekit.weights.default_model", lambda registry: ("the-only-one", "for all"))

    def run(*args):
        return CliRunner().invoke(command, [str(arg) for arg in args])

    run.loaded = loaded
    return run


def test_command_restores_a_folder_and_passes_its_options(photos, tmp_path, cli):
    result = cli(
        photos,
        "-o",
        tmp_path / "out",
        "--model",
        "m",
        "--tile",
        "512",
        "--flips",
        "--strength",
        "0.5",
        "--budget-steps",
        "9",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--weights",
        "w",
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == "4 restored, 0 skipped, 0 failed"
    model, settings = cli.loaded[0]
    assert model == "m"
    assert settings["budget"].steps == 9
    assert settings["budget"].seconds is None
    del settings["budget"]
    assert settings == {
        "weights": "w",
        "device": "cpu",
        "precision": "fp32",
        "tile": 512,
        "flips": True,
        "strength": 0.5,
    }


def test_command_without_a_model_takes_the_only_one(photos, tmp_path, cli):
    assert cli(photos / "a.png", "-o", tmp_path / "x.png").exit_code == 0
    assert cli.loaded[0][0] == "the-only-one"
    assert (tmp_path / "x.png").exists()


def test_command_with_nothing_left_to_do_loads_no_model(photos, tmp_path, cli):
    cli(photos, "-o", tmp_path / "out")
    cli.loaded.clear()
    result = cli(photos, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "4 skipped" in result.stdout
    assert not cli.loaded


def test_command_lists_failures_and_exits_with_1(photos, tmp_path, cli):
    (photos / "trip" / "c.webp").write_text("text")
    result = cli(photos, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stdout.strip() == "3 restored, 0 skipped, 1 failed"
    assert "Failed: " in result.stderr
    assert "c.webp: not an image" in result.stderr


def test_command_refuses_bad_options(photos, tmp_path, cli):
    assert cli(photos, "-o", tmp_path / "out", "--tile", "big").exit_code == 2
    assert cli(photos, "-o", tmp_path / "out", "--budget-seconds", "0").exit_code == 2
    assert cli("-o", tmp_path / "out").exit_code == 2
    result = cli(tmp_path / "absent", "-o", tmp_path / "out")
    assert isinstance(result.exception, DataError)
    (tmp_path / "file").write_text("")
    result = cli(photos, "-o", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "part of its path is a file" in str(result.exception)
