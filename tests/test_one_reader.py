"""Training, benchmarks and restoring read one file as one picture.

Only names that were there before the readers became one are used, so that these tests can be run on the code with two.
"""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from restorekit.cli.main import cli
from restorekit.data.images import Picture, read_picture, write_picture
from restorekit.data.sets import resolve
from restorekit.errors import ImageError
from restorekit.restoring.folders import plan_jobs


def pixels(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def paired(root, suffix, write):
    """A data set of one image, the same on both sides; return its path."""
    for kind in ("input", "target"):
        (root / kind).mkdir(parents=True)
        write(root / kind / f"a.{suffix}")
    return root / "input" / f"a.{suffix}"


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_the_same_levels_in_training_and_restoring(tmp_path, suffix):
    """16-bit RGB PNG differed by a level in 26 % of the values: one reader cut what the other rounded."""
    deep = pixels(48, 64, 3, dtype=np.uint16)
    path = paired(tmp_path, suffix, lambda path: write_picture(path, Picture(deep)))
    trained = resolve(tmp_path).read(0).degraded
    restored = read_picture(path).pixels.astype(np.float64) / 257
    assert trained.dtype == np.uint8
    np.testing.assert_array_equal(trained, np.rint(restored))


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "png", "webp"])
def test_what_a_data_set_may_hold_can_be_restored(tmp_path, suffix):
    """``.bmp`` was read by a data set and refused by `restore`."""
    path = paired(tmp_path, suffix, lambda path: Image.fromarray(pixels(6, 8, 3)).save(path, lossless=True))
    assert resolve(tmp_path).read(0).degraded.shape == (6, 8, 3)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels(6, 8, 3))
    jobs = plan_jobs([path.parent], tmp_path / "out")
    assert [job.source for job in jobs] == [path]


def test_one_limit_of_pixels_holds_for_both(tmp_path, monkeypatch):
    path = paired(tmp_path, "png", lambda path: Image.fromarray(pixels(30, 30, 3)).save(path))
    images = resolve(tmp_path)
    monkeypatch.setenv("RESTOREKIT_MAX_PIXELS", "899")
    for read in (lambda: images.read(0), lambda: read_picture(path)):
        with pytest.raises(ImageError, match="RESTOREKIT_MAX_PIXELS=900"):
            read()


@pytest.mark.parametrize(("content", "words"), [(b"text", "not an image"), (None, "truncated")])
def test_both_say_the_same_of_a_damaged_file(tmp_path, content, words):
    path = paired(tmp_path / "set", "png", lambda path: Image.fromarray(pixels(40, 40, 3)).save(path))
    images = resolve(tmp_path / "set")
    whole = path.read_bytes()
    path.write_bytes(content or whole[: len(whole) // 2])
    said = []
    for read in (lambda: images.read(0), lambda: read_picture(path)):
        with pytest.raises(ImageError, match=words) as caught:
            read()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_program_takes_a_bmp(tmp_path):
    Image.fromarray(pixels(64, 64, 3)).save(tmp_path / "a.bmp")
    run = CliRunner().invoke(cli, ["restore", str(tmp_path / "a.bmp"), "-o", str(tmp_path / "out"), "-m", "remaen"])
    assert run.exit_code == 0, run.output
    assert Image.open(tmp_path / "out" / "a.png").size == (64, 64)
