"""Data that go wrong in the middle of a run, and what is said before it starts."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from restorekit.data import checked as checked_module
from restorekit.data.checked import glimpse
from restorekit.data.combine import hold_out, join
from restorekit.data.crops import CropSource, collate
from restorekit.data.imageset import RawSample
from restorekit.data.leaks import perceptual_hash
from restorekit.data.sets import resolve
from restorekit.errors import DataError, ImageError, TrainingError
from restorekit.interface import SizeRule
from restorekit.recipe.parts import Data


@pytest.fixture
def folder(lab, tmp_path: Path) -> Path:
    """A folder of twelve pairs, the last of which is cut off in the middle."""
    path = lab.folder(tmp_path / "data", 12)
    broken = path / "input" / "11.png"
    broken.write_bytes(broken.read_bytes()[:200])
    return path


def test_corrupt_image_in_the_middle_names_the_file(lab, folder: Path, tmp_path: Path):
    images = resolve(folder)
    with pytest.raises(ImageError, match=rf"{folder}/input/11\.png.*truncated or damaged.*download it again"):
        lab.train(lab.recipe("remaen"), tmp_path / "run", images=images)


def test_vanished_image_names_the_file(lab, folder: Path, tmp_path: Path):
    images = resolve(folder)
    (folder / "target" / "3.png").unlink()
    (folder / "input" / "11.png").write_bytes((folder / "input" / "10.png").read_bytes())
    with pytest.raises(ImageError, match=r"target/3\.png: there is no such file"):
        lab.train(lab.recipe("remaen"), tmp_path / "run", images=images)


def test_bad_image_is_left_out_and_counted_once(lab, folder: Path, tmp_path: Path, caplog):
    recipe = lab.recipe("remaen", "steps=9")
    result = lab.train(recipe, tmp_path / "run", images=resolve(folder), on_bad_image="skip")
    assert result.completed
    assert list(result.bad_images) == ["11"]
    assert caplog.text.count("input/11.png") == 1
    assert '"bad_images": 1' in (tmp_path / "run" / "status.json").read_text()


def test_a_file_that_is_no_image_at_all_is_left_out_too(lab, folder: Path, tmp_path: Path):
    (folder / "input" / "11.png").write_bytes(b"II*\0\x08\0\0\0\1\0\0\1\0\0")
    with pytest.raises(ImageError, match=rf"{folder}/input/11\.png"):
        resolve(folder)
    images = resolve(folder, lenient=True)
    result = lab.train(lab.recipe("remaen", "steps=9"), tmp_path / "run", images=images, on_bad_image="skip")
    assert list(result.bad_images) == ["11"]


def test_leaving_out_resumes_exactly(lab, folder: Path, tmp_path: Path):
    recipe = lab.recipe("remaen", "steps=6")
    images = resolve(folder)
    lab.train(recipe, tmp_path / "whole", images=images, on_bad_image="skip")
    for last in (2, 6):
        lab.train(recipe, tmp_path / "parts", last, images=images, on_bad_image="skip")
    one, other = lab.weights(tmp_path / "whole"), lab.weights(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_bad_validation_image_is_left_out(lab, folder: Path, tmp_path: Path):
    recipe = lab.recipe("remaen", "steps=1")
    with pytest.raises(ImageError, match=r"input/11\.png"):
        lab.train(recipe, tmp_path / "stop", validation=resolve(folder))
    result = lab.train(recipe, tmp_path / "skip", validation=resolve(folder), on_bad_image="skip")
    assert list(result.bad_images) == ["11"]
    assert result.best["psnr-rgb"] > 5


def test_too_many_bad_images_stop_even_skip(lab, folder: Path, tmp_path: Path):
    for index in (1, 2, 3):
        (folder / "input" / f"{index}.png").write_bytes(b"nothing")
    images = resolve(folder / "input")  # unpaired, so that sizes are not looked at before
    recipe = lab.recipe("rain2avoid")
    with pytest.raises(DataError, match=r"2 images cannot be read, more than the 1 that"):
        lab.train(recipe, tmp_path / "run", images=images, on_bad_image="skip")


def test_sizes_that_differ_are_explained(lab, tmp_path: Path):
    small, large = lab.images(2), lab.images(2, side=48)
    recipe = lab.recipe("remaen", "data.crop=0", "data.batch=4")
    with pytest.raises(DataError, match=r"different sizes \(40x40, 48x48\).*data\.crop.*data\.batch"):
        lab.train(recipe, tmp_path / "run", images=join([small, large]))


def test_pair_of_two_sizes_is_named():
    def read(index: int) -> RawSample:
        return RawSample("odd", np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))

    from restorekit.data.imageset import ImageSet

    source = CropSource(ImageSet("x", "", True, ("odd",), "", read), Data(crop=4), SizeRule())
    with pytest.raises(DataError, match="pair 'odd': the degraded image is 9x8 and its partner 8x8"):
        source.crop(0, 1)


def test_a_crop_far_larger_than_its_image_is_refused(lab):
    images = lab.images()
    height, width = images.read(0).degraded.shape[:2]
    largest = 4 * max(height, width)
    assert CropSource(images, Data(crop=largest), SizeRule()).crop(0, 1).degraded.shape[:2] == (largest, largest)
    with pytest.raises(DataError, match=rf"data.crop is {largest + 1}, and .* is {width}x{height}.* at most {largest}"):
        CropSource(images, Data(crop=largest + 1), SizeRule()).crop(0, 1)


def test_batch_larger_than_the_data_is_said_so(lab, tmp_path: Path, caplog):
    lab.train(lab.recipe("remaen", "data.batch=8"), tmp_path / "run", 1)
    assert "data.batch is 8 and there are 6 images" in caplog.text


def test_leak_into_validation_is_warned_of(lab, tmp_path: Path, caplog):
    recipe = lab.recipe("remaen")
    lab.train(recipe, tmp_path / "leaky", 1, images=lab.images(6), validation=lab.images(3, first=4))
    warned = caplog.text
    caplog.clear()
    assert (
        "2 of 3 validation images look like images that are trained on (such as 'image-4' like 'image-4', 0" in warned
    )
    lab.train(recipe, tmp_path / "clean", 1, images=lab.images(6), validation=lab.images(3, first=30))
    assert "look like" not in caplog.text


def test_data_are_checked_before_training_and_the_run_remembers(lab, tmp_path: Path, caplog, monkeypatch):
    caplog.set_level("INFO", "restorekit")
    shifted, raw = 2, lab.images(6)

    def read(index):
        sample = raw.read(index)
        return replace(sample, degraded=np.roll(sample.clean, 5, axis=0)) if index == shifted else sample

    images = replace(raw, reader=read, fingerprint="one of them is shifted")
    lab.train(lab.recipe("remaen"), tmp_path / "run", 1, images=images, validation=lab.images(3, first=4))
    line = "Checked: 6 pairs, image-2 look shifted; validation: 3 pairs, all aligned, 2 of them trained on."
    assert line in caplog.text
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["checked"] == line
    assert facts["backgrounds"] == [perceptual_hash(raw.read(index).clean) for index in range(6)]
    # the second run asks the cache, and one that goes on asks nothing
    monkeypatch.setattr(checked_module, "check_set", None)
    lab.train(lab.recipe("remaen"), tmp_path / "other", 1, images=images)
    assert "Checked: 6 pairs, image-2 look shifted." in caplog.text
    caplog.clear()
    lab.train(lab.recipe("remaen"), tmp_path / "other", 2, images=images)
    assert "Checked" not in caplog.text


def test_of_large_sets_evenly_spread_images_are_looked_at(lab, tmp_path: Path, caplog, monkeypatch):
    caplog.set_level("INFO", "restorekit")
    monkeypatch.setattr(checked_module, "_MOST", 20)
    images = lab.images(6)
    many = replace(images, names=tuple(str(i) for i in range(60)), reader=lambda i: images.read(i // 10))
    assert glimpse(many).names == tuple(str(i) for i in range(0, 60, 3))
    lab.train(lab.recipe("remaen"), tmp_path / "run", 1, images=many, validation=lab.images(2, first=5))
    assert (
        "Checked: 20 of 60 pairs, all aligned; validation: 2 pairs, all aligned, 1 of them trained on." in caplog.text
    )
    large = replace(
        images, names=tuple(map(str, range(60))), reader=lambda i: RawSample("x", np.zeros((4000, 6000, 3)))
    )
    assert len(glimpse(large)) == 20


def test_split_batches_of_batch_norm_are_said_so(lab, tmp_path: Path, caplog):
    lab.train(lab.recipe("pix2pix", "accumulate=2"), tmp_path / "run", 1)
    assert (
        "'pix2pix' uses BatchNorm2d, Dropout, which see each process's and micro-batch's part alone: over 1 x 2"
        in caplog.text
    )
    caplog.clear()
    lab.train(lab.recipe("remaen", "accumulate=2"), tmp_path / "other", 1)
    assert "whole batch" not in caplog.text


def test_batch_that_cannot_be_shared(lab):
    from restorekit.engine.feed.batches import Share

    runtime = lab.engine(lab.recipe("remaen")).runtime
    runtime.share = Share(0, 3)
    with pytest.raises(TrainingError, match=r"data\.batch is 4.*3 processes.*multiple of 3"):
        runtime.check_batch(4, 1)


def test_read_only_and_mirrored_arrays_give_no_warning(lab):
    """Decoders give read-only arrays, priors and resizing views: torch warns of the former and refuses others."""

    def read(index: int) -> RawSample:
        degraded = np.ascontiguousarray(lab.images().read(index).degraded)
        degraded.flags.writeable = False
        return RawSample("x", degraded, degraded[::-1, ::-1])

    images = replace(lab.images(), reader=read)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for crop in (0, 16, 64):
            source = CropSource(images, Data(crop=crop), SizeRule(multiple=16))
            batch = collate([source.crop(i, i) for i in range(2)], [0, 1])
            side = crop or 48
            assert batch.degraded.shape == (2, 3, side, side)
            batch.degraded.add_(1)
    assert int(images.read(0).degraded.max()) == int(lab.images().read(0).degraded.max())


def test_crops_of_a_pair_stay_together(lab):
    def read(index: int) -> RawSample:
        plane = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40) % 251
        image = np.repeat(plane[..., None], 3, -1).astype(np.uint8)
        return RawSample("x", image, image, image[..., 0])

    source = CropSource(replace(lab.images(), reader=read), Data(crop=16), SizeRule())
    seen = set()
    for key in range(20):
        planes = source.crop(0, key)
        assert (planes.degraded == planes.clean).all()
        assert (planes.degraded[..., :1] == planes.mask).all()
        seen.add(planes.degraded.tobytes())
    assert len(seen) > 15


def test_hold_out_takes_neighbours_from_the_end(lab):
    kept, held = hold_out(lab.images(30))
    assert held is not None
    assert (len(kept), held.names) == (27, ("image-27", "image-28", "image-29"))
    assert hold_out(lab.images(3))[1] is None


def test_joined_sets_read_from_their_own(lab):
    both = join([lab.images(2), lab.images(3, first=10)])
    names = [both.read(i).name for i in range(5)]
    assert names == list(both.names)
    assert names == ["0-image-0", "0-image-1", "1-image-10", "1-image-11", "1-image-12"]
    with pytest.raises(DataError, match="paired and unpaired"):
        join([lab.images(2), lab.images(2, paired=False)])
