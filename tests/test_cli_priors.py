"""``restorekit priors show`` and ``apply``, with priors made for the test."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from restorekit.cli.priors import priors
from restorekit.errors import DataError, PluginError


class Threshold:
    """Marks pixels whose red is over 100; with a mask it gives the mask's negative."""

    def draw(self, image, path):
        Image.fromarray(image).save(path, format="PNG")

    def apply_to(self, image, mask=None, samples=0):
        if mask is not None and mask.shape != image.shape[:2]:
            raise DataError("the mask has another size")
        found = (image[..., 0] > 100).astype(np.uint8) * 255 if mask is None else 255 - mask
        return {"": found} | {f"sample-{n}": image for n in range(1, samples + 1)}


@pytest.fixture
def run(monkeypatch):
    known = {"threshold": Threshold(), "mute": object()}
    monkeypatch.setattr("restorekit.plugin.registry.create", lambda kind, name: known[name])

    def run(*arguments):
        return CliRunner().invoke(priors, [str(a) for a in arguments])

    return run


def write(path, value=200, size=(5, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def test_apply_writes_masks_under_the_names_of_files_and_folders(run, tmp_path):
    one = write(tmp_path / "one.png")
    write(tmp_path / "photos" / "dark.jpg", value=0)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    result = run("apply", "threshold", one, tmp_path / "photos", "-o", tmp_path / "out" / "masks")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out" / "masks"
    assert sorted(p.name for p in out.iterdir()) == ["dark.png", "one.png"]
    assert pixels(out / "one.png").shape == (4, 5)
    assert (pixels(out / "one.png") == 255).all()
    assert (pixels(out / "dark.png") == 0).all()


def test_apply_takes_masks_and_writes_samples(run, tmp_path):
    one = write(tmp_path / "one.jpg")
    mask = tmp_path / "masks" / "one.png"
    mask.parent.mkdir()
    Image.fromarray(np.full((4, 5), 55, np.uint8)).save(mask)
    arguments = ("--mask", mask.parent, "--samples", 2, "-o", tmp_path / "out")
    assert run("apply", "threshold", one, *arguments).exit_code == 0
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["one-sample-1.png", "one-sample-2.png", "one.png"]
    assert (pixels(tmp_path / "out" / "one.png") == 200).all()


def test_one_bad_image_does_not_stop_the_others(run, tmp_path):
    bad = tmp_path / "a.png"
    bad.write_bytes(b"not an image")
    result = run("apply", "threshold", bad, write(tmp_path / "b.png"), "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "a.png" in result.output
    assert "1 of 2" in result.output
    assert (tmp_path / "out" / "b.png").exists()


def test_a_missing_mask_is_named(run, tmp_path):
    (tmp_path / "masks").mkdir()
    one = write(tmp_path / "one.png")
    result = run("apply", "threshold", one, "--mask", tmp_path / "masks", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "one.png was expected" in result.output


def test_results_never_overwrite_inputs_or_each_other(run, tmp_path):
    png, jpg = write(tmp_path / "one.png"), write(tmp_path / "one.jpg")
    before = png.read_bytes()
    clash = run("apply", "threshold", png, jpg, "-o", tmp_path / "out")
    assert isinstance(clash.exception, DataError)
    assert "both be written" in str(clash.exception)
    over = run("apply", "threshold", png, "-o", tmp_path)
    assert isinstance(over.exception, DataError)
    assert "overwrite" in str(over.exception)
    assert png.read_bytes() == before


def test_an_empty_folder_is_an_error(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("apply", "threshold", tmp_path / "empty", "-o", tmp_path / "out")
    assert isinstance(result.exception, DataError)


def test_show_draws_into_a_file(run, tmp_path):
    one = write(tmp_path / "one.png")
    assert run("show", "threshold", one, "-o", tmp_path / "why.png").exit_code == 0
    assert pixels(tmp_path / "why.png").shape == (4, 5, 3)


@pytest.mark.parametrize("command", ["show", "apply"])
def test_a_prior_that_cannot_says_so(run, tmp_path, command):
    result = run(command, "mute", write(tmp_path / "one.png"), "-o", tmp_path / "x.png")
    assert isinstance(result.exception, PluginError)
    assert "'mute' cannot be" in str(result.exception)
