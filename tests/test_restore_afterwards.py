"""`restorekit restore --strength --save-mask --preview`: blended results, masks beside them, a sheet to look through."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import restorekit
from restorekit.cli.restore import command
from restorekit.errors import RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.restoring import Restorer, RestorerInfo, preview
from restorekit.restoring import load as loading
from restorekit.restoring.blending import Blended, blend
from restorekit.restoring.masks import mask_restorer, save_masks
from restorekit.restoring.planning import Job


class Brighter(nn.Module):
    """Adds 0.25 in the left half and marks it in its mask."""

    size_rule = SizeRule(4)

    def forward(self, degraded):
        mask = torch.zeros_like(degraded[:, :1])
        mask[..., : degraded.shape[-1] // 2] = 1
        return Output(degraded + 0.25 * mask, {"mask": mask})


class Plain(nn.Module):
    def forward(self, degraded):
        return 1 - degraded


def restorer(network, **options):
    return Restorer(network, device="cpu", precision="fp32", info=RestorerInfo(model="test"), **options)


@pytest.fixture
def run(monkeypatch):
    """Call the command with a network of the test in place of the model's."""

    def called(network, *arguments):
        def load(model, *, strength=1.0, **_):
            return restorer(network if strength == 1 else Blended(network, strength), tile=0)

        monkeypatch.setattr(restorekit, "load", load, raising=False)
        return CliRunner().invoke(command, ["-m", "test", *map(str, arguments)])

    return called


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    Image.new("RGB", (40, 20), (10, 10, 10)).save(folder / "dark.png")
    Image.new("RGB", (20, 40), (120, 120, 120)).save(folder / "trip" / "a & b.jpg")
    return folder


def test_masks_are_grey_pictures_beside_the_results(run, photos, tmp_path):
    out = tmp_path / "out"
    done = run(Brighter(), photos, "-o", out, "--save-mask")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.rglob("*.*")) == ["a & b-mask.png", "a & b.jpg", "dark-mask.png", "dark.png"]
    mask = Image.open(out / "dark-mask.png")
    assert (mask.mode, mask.size) == ("L", (40, 20))
    assert np.asarray(mask)[:, :20].min() == 255
    assert np.asarray(mask)[:, 20:].max() == 0


def test_a_mask_that_is_missing_is_made_without_restoring_again(run, photos, tmp_path):
    out = tmp_path / "out"
    assert run(Brighter(), photos, "-o", out).exit_code == 0
    (out / "dark.png").write_bytes(b"mine")
    done = run(Brighter(), photos, "-o", out, "--save-mask")
    assert "0 restored, 2 skipped" in done.output
    assert (out / "dark.png").read_bytes() == b"mine"
    assert (out / "dark-mask.png").exists()
    (out / "dark-mask.png").write_bytes(b"kept")
    run(Brighter(), photos, "-o", out, "--save-mask")
    assert (out / "dark-mask.png").read_bytes() == b"kept"
    run(Brighter(), photos, "-o", out, "--save-mask", "--overwrite")
    assert (out / "dark-mask.png").read_bytes() != b"kept"


def moving(path, frames=3):
    frame = Image.new("RGB", (48, 32), (10, 10, 10))
    others = [Image.new("RGB", (48, 32), (10 + 30 * n, 10, 10)) for n in range(1, frames)]
    frame.save(path, save_all=True, append_images=others, duration=40)
    return path


def clip(path, frames=70):
    av = pytest.importorskip("av", reason="PyAV, the extra restorekit[video], is not installed")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        for n in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), n, np.uint8), format="rgb24")))
        file.mux(stream.encode())
    return path


def test_the_mask_of_a_clip_is_a_clip_of_the_same_times(run, photos, tmp_path):
    import av

    clip(photos / "drive.mp4")
    out = tmp_path / "out"
    done = run(Brighter(), photos, "-o", out, "--save-mask", "--video-crf", "10")
    assert done.exit_code == 0, done.output
    with av.open(str(out / "drive-mask.mp4")) as file:
        pixels = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    with av.open(str(photos / "drive.mp4")) as file:
        assert [time for time, _ in pixels] == [frame.time for frame in file.decode(video=0)]
    for _, frame in pixels:
        assert frame[:, :28].min() > 250
        assert frame[:, 36:].max() < 5
    assert (out / "dark-mask.png").exists()
    assert not list(out.glob(".*"))
    before = (out / "drive-mask.mp4").stat().st_mtime_ns
    again = run(Brighter(), photos, "-o", out, "--save-mask")
    assert "0 restored, 3 skipped, 0 failed" in again.output
    assert (out / "drive-mask.mp4").stat().st_mtime_ns == before
    (out / "drive-mask.mp4").unlink()
    again = run(Brighter(), photos, "-o", out, "--save-mask", "--overwrite", "--video-crf", "51")
    assert "3 restored" in again.output
    with av.open(str(out / "drive-mask.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 70


def test_the_mask_of_an_animation_is_an_animation(run, tmp_path):
    source = moving(tmp_path / "wave.webp")
    done = run(Local(), source, "-o", tmp_path / "out", "--save-mask")
    assert done.exit_code == 0, done.output
    mask = Image.open(tmp_path / "out" / "wave-mask.webp")
    assert mask.n_frames == 3  # frames that are alike would become one
    for number in range(3):
        mask.seek(number)
        assert abs(mask.convert("L").getpixel((4, 4)) - (10 + 10 * number)) <= 3


def test_a_broken_clip_has_no_mask_and_says_why(run, photos, tmp_path):
    data = clip(photos / "drive.mkv").read_bytes()
    (photos / "drive.mkv").write_bytes(data[: len(data) // 2])
    done = run(Brighter(), photos / "drive.mkv", "-o", tmp_path / "out", "--save-mask")
    assert done.exit_code == 1
    assert "it breaks off after" in done.output
    assert [p.name for p in (tmp_path / "out").glob("*.*")] == ["drive.partial.mkv"]


def test_results_and_masks_beside_their_sources_are_not_restored_again(run, photos):
    moving(photos / "wave.gif")
    for _ in range(2):
        done = run(Brighter(), photos, "-o", photos, "--suffix", "-clean", "--save-mask")
        assert done.exit_code == 0, done.output
    assert "0 restored, 3 skipped" in done.output
    assert len(list(photos.rglob("*.*"))) == 9


def test_masks_tell_how_far_they_are_within_a_clip(tmp_path):
    jobs = [
        Job(source, source.with_stem(f"{source.stem}-out"), clip=True) for source in [moving(tmp_path / "a.gif", 4)]
    ]
    told = []
    assert save_masks(jobs, mask_restorer(restorer(Brighter(), tile=0)), told.append) == []
    assert told == [0.25, 0.5, 0.75, 1, 1]


def test_masks_never_overwrite_a_result(run, photos, tmp_path):
    Image.new("RGB", (8, 8)).save(photos / "dark-mask.png")
    done = run(Brighter(), photos, "-o", tmp_path / "out", "--save-mask")
    assert isinstance(done.exception, RestorekitError)
    assert "dark-mask.png: the mask of" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_mask_is_an_error_before_anything_is_restored(run, photos, tmp_path):
    done = run(Plain(), photos, "-o", tmp_path / "out", "--save-mask")
    assert isinstance(done.exception, RestorekitError)
    assert "test gives no mask, so --save-mask has nothing to save" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_masks_are_padded_and_tiled_as_the_picture_is():
    image = torch.rand(1, 3, 37, 90, generator=torch.Generator().manual_seed(0))
    whole = mask_restorer(restorer(Local(), tile=0)).restore_tensor(image)
    tiled = mask_restorer(restorer(Local(), tile=32)).restore_tensor(image)
    assert torch.allclose(whole, image.mean(1, keepdim=True).expand_as(image), atol=1e-6)
    assert torch.allclose(whole, tiled, atol=1e-6)


class Local(nn.Module):
    size_rule = SizeRule(8)

    def forward(self, degraded):
        return Output(degraded, {"mask": degraded.mean(1, keepdim=True)})


def test_strength_blends_with_the_input(run, photos, tmp_path):
    assert run(Plain(), photos / "dark.png", "-o", tmp_path / "x.png", "--strength", "0.25").exit_code == 0
    assert Image.open(tmp_path / "x.png").getpixel((0, 0)) == (69, 69, 69)  # 10 + (245 - 10) / 4, rounded up
    assert run(Plain(), photos / "dark.png", "-o", tmp_path / "y.png", "--strength", "1.5").exit_code == 2


def test_what_is_blended_is_clipped_first():
    image = torch.full((1, 3, 4, 4), 0.9)
    half = Blended(Brighter(), 0.5)(image)
    assert torch.allclose(half.image[..., :2], torch.full((1, 3, 4, 2), 0.95))
    assert half.extras["mask"].shape == (1, 1, 4, 4)
    assert Blended(Brighter(), 0.5).size_rule == SizeRule(4)
    assert torch.allclose(blend(torch.full((1, 3, 4, 4), 1.4), image, 0.5), torch.full((1, 3, 4, 4), 0.95))
    assert blend(image, image, 1) is image


@pytest.mark.parametrize("model", ["remaen", "rain2avoid-plus"])
def test_every_kind_of_model_takes_a_strength(model):
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    full, half, none = (
        loading.load(model, device="cpu", precision="fp32", strength=s).restore_tensor(image) for s in (1, 0.5, 0)
    )
    assert torch.allclose(half, (image + full) / 2, atol=1e-5)
    assert torch.equal(none, image)
    with pytest.raises(RestorekitError, match=r"strength is 2; give a number from 0"):
        loading.load(model, strength=2)


def test_the_sheet_shows_the_most_changed_first(run, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    done = run(Plain(), photos, "-o", out, "--preview")
    assert done.exit_code == 0, done.output
    text = (out / "preview.html").read_text()
    assert re.findall(r'<a href="([^"]+)">', text) == ["dark.png", "trip/a%20%26%20b.jpg"]
    assert "changed by 235.0 of 255 levels" in text
    pictures = re.findall(r"base64,([^\"]+)", text)
    assert [Image.open(io.BytesIO(base64.b64decode(data))).size for data in pictures] == [(40, 20)] * 2 + [(20, 40)] * 2
    monkeypatch.setattr(preview, "MOST", 1)
    done = run(Plain(), photos, "-o", out, "--preview")  # all is done: the sheet alone is written, anew
    assert "0 restored, 2 skipped" in done.output
    text = (out / "preview.html").read_text()
    assert "2 pictures, of which the 1 most changed are shown" in text
    assert "a%20%26%20b.jpg" not in text


def test_a_foreign_file_of_the_sheets_name_is_kept(run, photos, tmp_path):
    (tmp_path / "preview.html").write_text("mine")
    done = run(Plain(), photos / "dark.png", "-o", tmp_path / "x.png", "--preview")
    assert "would be lost" in str(done.exception)
    assert (tmp_path / "preview.html").read_text() == "mine"
    assert not (tmp_path / "x.png").exists()


def test_the_sheet_in_a_browser(run, photos, tmp_path, open_page):
    run(Plain(), photos, "-o", tmp_path / "out", "--preview")
    seen = open_page(tmp_path / "out" / "preview.html", width=400)
    assert seen.serious() == []
    assert seen.wider_than_screen() == []
    after = seen.page.locator(".after").nth(1)
    seen.page.locator("#all").fill("20")
    assert after.evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0px 0px 20%)"
    seen.page.get_by_label("trip/a & b.jpg: before and after").press("ArrowRight")
    assert after.evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0px 0px 21%)"
    assert seen.errors == []
