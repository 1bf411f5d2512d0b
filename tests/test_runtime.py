"""Exported files restore pictures: through `restore --backend onnx`, and from the wheel without PyTorch."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import restorekit
from restorekit.cli.restore import command
from restorekit.errors import ImageError, RestorekitError
from restorekit.export.backend import OnnxBackend
from restorekit.runtime.main import main
from restorekit.runtime.restorer import OnnxRestorer

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="exporting needs the extra restorekit[onnx]")

REPOSITORY = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.xdist_group("runtime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A cheap model, exported."""
    from restorekit.export import export_onnx

    return export_onnx("cgan", tmp_path_factory.mktemp("runtime") / "cgan.onnx").path


@pytest.fixture
def photo(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (75, 110, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(levels).save(tmp_path / "in/a.png")
    return tmp_path / "in/a.png"


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def test_both_faces_give_what_pytorch_gives(exported, photo):
    expected = np.asarray(restorekit.load("cgan", device="cpu", precision="fp32").restore(photo)).astype(int)
    for restorer in (OnnxRestorer(exported, device="cpu"), OnnxBackend(exported, device="cpu")):
        assert np.abs(np.asarray(restorer.restore(photo)).astype(int) - expected).max() <= 1
    flips = restorekit.load("cgan", device="cpu", precision="fp32", flips=True)
    wide = Image.open(photo).crop((0, 0, 96, 75))  # a multiple of 16, so that a mirrored tile lies on the same grid
    mirrored = OnnxRestorer(exported, device="cpu", flips=True).restore(wide)
    assert np.abs(np.asarray(mirrored).astype(int) - np.asarray(flips.restore(wide)).astype(int)).max() <= 1


def test_tiles_of_both_faces_agree(exported, photo, caplog):
    small = {"device": "cpu", "tile": 48}
    results = [np.asarray(face(exported, **small).restore(photo)) for face in (OnnxRestorer, OnnxBackend)]
    assert "their seams may show" in caplog.text
    assert np.abs(results[0].astype(int) - results[1].astype(int)).max() <= 1
    assert OnnxRestorer(exported)._tile_for(10**9) % 16 == 0
    assert OnnxRestorer(exported)._tile_for(10**9) > 256


def test_arrays_keep_shape_and_type(exported):
    restorer = OnnxRestorer(exported, device="cpu", threads=1)
    for shape, kind in (((40, 50), np.uint8), ((40, 50, 4), np.uint8), ((40, 50, 3), np.uint16)):
        array = np.full(shape, 100, kind)
        result = restorer.restore(array)
        assert (result.shape, result.dtype) == (shape, kind)
        if len(shape) == 3 and shape[2] == 4:
            assert (result[..., 3] == 100).all()
    with pytest.raises(ImageError, match="uint8 or uint16"):
        restorer.restore(np.zeros((4, 4, 3)))


def test_restore_takes_exported_files(exported, photo, tmp_path):
    done = CliRunner().invoke(command, [str(photo), "-o", str(tmp_path / "out.png"), "-m", str(exported)])
    assert done.exit_code == 0, done.output
    assert "fp32, by onnxruntime" in done.output
    expected = OnnxRestorer(exported, device="cpu").restore(photo)
    assert np.abs(pixels(tmp_path / "out.png") - np.asarray(expected).astype(int)).max() <= 1


def test_strength_blends_with_the_input(exported, photo):
    half = OnnxBackend(exported, device="cpu", strength=0.5).restore(np.asarray(Image.open(photo))).astype(int)
    whole = OnnxBackend(exported, device="cpu").restore(np.asarray(Image.open(photo))).astype(int)
    assert np.abs(half - (whole + pixels(photo)) / 2).max() <= 1
    assert np.abs(whole - pixels(photo)).max() > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "onnx", "-m", "cgan"], r"restorekit export cgan -o cgan\.onnx"),
        (["--backend", "torch", "-m", "x.onnx"], "backend torch cannot run"),
        (["-m", "x.onnx", "--weights", "cgan"], "leave --weights out"),
        (["-m", "x.onnx", "--budget-steps", "3"], "leave --budget"),
        (["-m", "x.onnx", "--precision", "bf16"], "leave --precision out"),
        (["-m", "x.onnx"], "no such file"),
    ],
)
def test_options_without_a_use_are_refused(options, message, photo, tmp_path):
    done = CliRunner().invoke(command, [str(photo), "-o", str(tmp_path / "out.png"), *options])
    assert isinstance(done.exception, RestorekitError)
    assert done.exception.args[0]
    with pytest.raises(RestorekitError, match=message):
        raise done.exception


def test_the_program_restores_folders(exported, photo, tmp_path, capsys):
    (photo.parent / "broken.jpg").write_text("no image")
    assert main([str(exported), str(photo.parent), "-o", str(tmp_path / "out"), "--threads", "1"]) == 1
    told = capsys.readouterr()
    assert "1 restored, 0 skipped, 1 failed" in told.out
    assert "broken.jpg" in told.err
    assert (tmp_path / "out/a.png").exists()
    assert main([str(exported), str(tmp_path / "absent"), "-o", str(tmp_path / "out")]) == 1
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (MemoryError(), 1, "Error: memory ran out; close other programs"),
        (OSError(36, "File name too long", "x"), 1, "Error: [Errno 36] File name too long: 'x'"),
    ],
)
def test_the_program_ends_in_a_sentence(exported, photo, tmp_path, capsys, monkeypatch, error, code, said):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("restorekit.runtime.main.run_jobs", fail)
    assert main([str(exported), str(photo.parent), "-o", str(tmp_path / "out"), "--threads", "1"]) == code
    assert capsys.readouterr().err.splitlines()[-1] == said


# the wheel


EXPORT_PAGE = (REPOSITORY / "docs/guide/export.md").read_text(encoding="utf-8")


def linked(source, target):
    """Link all files of a package."""
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            link = target / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)


def leave_out(shelf):
    """Do what the page on exporting lets an image leave out, with its own commands."""
    [commands] = re.findall(r"^cd .*purelib.*\n((?:rm |find ).*(?:\n(?:rm |find ).*)*)", EXPORT_PAGE, re.MULTILINE)
    subprocess.run(["bash", "-e", "-c", commands], cwd=shelf, check=True)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A folder with the wheel's contents and what it needs, without what the documentation leaves out."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY / "runtime"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    [wheel] = folder.glob("*.whl")
    shelf = folder / "shelf"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(shelf)
    for name in ("numpy", "PIL", "onnxruntime", "flatbuffers", "google.protobuf", "packaging"):
        [place] = map(Path, importlib.util.find_spec(name).submodule_search_locations)
        linked(place, shelf / name.replace(".", "/"))
        for libraries in place.parent.glob(f"{'pillow' if name == 'PIL' else name}.libs"):
            linked(libraries, shelf / libraries.name)
    leave_out(shelf)
    assert not list(shelf.rglob("libonnxruntime.so*"))
    return shelf


def run(shelf, *arguments):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(shelf), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-S", *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=shelf,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_wheel_restores_without_torch(shelf, exported, photo, tmp_path):
    out = tmp_path / "out"
    program = "import sys; from restorekit_runtime import program; sys.argv[0] = 'restorekit-runtime'; program()"
    Image.open(photo).save(photo.parent / "b.tif")
    Image.new("RGB", (20, 20)).save(
        photo.parent / "moving.webp", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")]
    )
    done = run(shelf, "-c", program, exported, photo.parent, "-o", out)
    assert "1 restored, 0 skipped, 2 failed" in done.stdout, done.stderr
    assert "No module named 'tifffile'" in done.stderr
    assert "need restorekit, which is not installed" in done.stderr
    assert done.returncode == 1
    expected = OnnxRestorer(exported, device="cpu").restore(photo)
    assert (pixels(out / "a.png") == np.asarray(expected)).all()
    loaded = run(shelf, "-c", "import sys, restorekit_runtime; print(sorted({n.split('.')[0] for n in sys.modules}))")
    assert not {"torch", "scipy", "click", "rich", "pydantic", "restorekit"} & set(eval(loaded.stdout)), loaded.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the documented sizes are those of Linux")
def test_what_is_left_of_the_newest_versions_takes_less_than_100_megabytes(shelf):
    files = [path for path in shelf.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 100_000_000


def test_the_small_old_versions_are_allowed_and_read_what_is_exported(exported):
    import onnx
    from packaging.requirements import Requirement

    [line] = re.findall(r"^pip install --no-compile --no-deps restorekit-runtime (.*)", EXPORT_PAGE, re.MULTILINE)
    project = tomllib.loads((REPOSITORY / "runtime/pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(pin.split("==") for pin in line.split())
    allowed = {need.name: need.specifier for need in map(Requirement, project["dependencies"])}
    assert pins.keys() == allowed.keys()
    assert all(version in allowed[name] for name, version in pins.items()), (pins, allowed)
    assert pins["onnxruntime"] == "1.18.1"  # which reads the following
    written = onnx.load(exported)
    assert written.ir_version <= 10
    assert {entry.domain: entry.version for entry in written.opset_import}[""] <= 21


@pytest.mark.slow
def test_the_wheel_is_made_of_restorekits_own_files(shelf):
    made = sorted((shelf / "restorekit_runtime").rglob("*.py"))
    assert len(made) > 20
    for path in made:
        name = path.relative_to(shelf / "restorekit_runtime")
        if str(name) != "__init__.py":
            own = (REPOSITORY / "restorekit" / name).read_text(encoding="utf-8")
            assert path.read_text(encoding="utf-8").replace("restorekit_runtime", "restorekit") == own
    assert sum(path.stat().st_size for path in made) < 300_000


def test_versions_are_one():
    version = tomllib.loads((REPOSITORY / "runtime/pyproject.toml").read_text())["project"]["version"]
    assert version == restorekit.__version__
