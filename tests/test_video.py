"""Clips: times, rotation, colour and sound are kept; interrupted ones go on; broken ones are kept as far as they go."""

from __future__ import annotations

import os
import threading
import weakref
from fractions import Fraction

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from restorekit.cli.restore import command
from restorekit.errors import DataError
from restorekit.restoring import AdaptiveRestorer, Restorer, RestorerInfo, plan_jobs, run_jobs
from restorekit.restoring.planning import left_out
from restorekit.restoring.video import VideoOptions, is_animation, names, restore_video
from restorekit.restoring.video.options import ENCODERS

av = pytest.importorskip("av", reason="PyAV, the extra restorekit[video], is not installed")
from restorekit.restoring.video import colour, running  # noqa: E402  they need PyAV

torch.set_num_threads(1)
TICKS = 12800


class Darker(nn.Module):
    """Half as bright, so that a restored frame differs from the source's."""

    def forward(self, degraded):
        return degraded * 0.5


@pytest.fixture
def restorer():
    return Restorer(Darker(), device="cpu", precision="fp32", info=RestorerInfo(model="darker"))


def scene(index, width, height, dtype=np.uint8):
    """A red band on the left of a moving gradient: left and right, top and bottom differ."""
    top = np.iinfo(dtype).max
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    grey = 0.3 + 0.4 * ((x + 2 * index) % width) / width * (0.5 + 0.5 * y / height)
    image = np.stack([grey, grey, grey], axis=-1)
    image[:, : width // 4] = (0.8, 0.1, 0.1)
    return np.rint(image * top).astype(dtype)


def make(
    path,
    frames=8,
    size=(64, 48),
    format="yuv420p",
    codec="libx264",
    rate=25,
    rotation=0,
    full=False,
    steps=None,
    audio=True,
):
    """Write a clip; `steps`: duration of each frame in units of 1/rate."""
    steps = steps or [1] * frames
    with av.open(str(path), "w", container_options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as sink:
        video = sink.add_stream(codec, rate=rate, options={"crf": "4"})
        video.width, video.height, video.pix_fmt = *size, format
        video.codec_context.time_base = Fraction(1, TICKS)
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 2 if full else 1
        video.metadata["language"] = "deu"
        sink.metadata["title"] = "rain"
        if rotation:
            video.set_display_rotation(rotation)
        sound = sink.add_stream("aac", rate=44100, layout="stereo") if audio else None
        now = 0
        for index in range(frames):
            pixels = scene(index, *size, np.uint16 if "10" in format else np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le" if "10" in format else "rgb24")
            frame = frame.reformat(format=format, dst_colorspace=1, dst_color_range=context.color_range)
            frame.pts, frame.time_base = now, Fraction(1, TICKS)
            now += steps[index] * TICKS // rate
            sink.mux(video.encode(frame))
        sink.mux(video.encode())
        if sound:
            wave = (np.sin(np.arange(44100 * now // TICKS) * 0.05) * 8000).astype(np.int16)
            for start in range(0, len(wave), 1024):
                part = np.repeat(wave[start : start + 1024], 2)[None]
                block = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
                block.sample_rate, block.pts = 44100, start
                sink.mux(sound.encode(block))
            sink.mux(sound.encode())
    return path


def read(path):
    """Return the frames and the facts of a clip."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        facts = {"duration": stream.duration, "tags": dict(source.metadata), "codec": stream.codec_context.name}
        return list(source.decode(stream)), facts


def packets(path, kind):
    with av.open(str(path)) as source:
        chosen = source.demux(getattr(source.streams, kind))
        return [(p.pts * p.time_base, bytes(p)) for p in chosen if p.pts is not None]


def times(frames):
    return [frame.pts * frame.time_base for frame in frames]


def rgb(frame):
    return frame.to_ndarray(format="rgb24", src_colorspace=1, dst_color_range=2).astype(int)


def test_frames_times_duration_and_sound_are_the_sources(tmp_path, restorer):
    source = make(tmp_path / "clip.mp4", frames=70)
    report = restore_video(source, tmp_path / "out.mp4", restorer)
    before, facts = read(source)
    after, kept = read(tmp_path / "out.mp4")
    assert (report.frames, report.notes, report.broken) == (70, (), "")
    assert times(after) == times(before)
    assert kept == facts
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    assert np.abs(rgb(after[40]) - rgb(before[40]) / 2).mean() < 2


def test_a_variable_frame_rate_is_kept(tmp_path, restorer):
    source = make(tmp_path / "clip.mp4", steps=[1, 3, 1, 1, 5, 1, 2, 4])
    restore_video(source, tmp_path / "out.mp4", restorer)
    before, facts = read(source)
    after, kept = read(tmp_path / "out.mp4")
    assert times(after) == times(before)
    assert kept["duration"] == facts["duration"]


def tagged(path):
    make(path.with_name("plain.mp4"), frames=3)
    with av.open(str(path.with_name("plain.mp4"))) as source, av.open(str(path), "w") as sink:
        sink.metadata.update({"title": "rain", "location": "+52.5+013.4/"})
        streams = [sink.add_stream_from_template(stream, opaque=True) for stream in source.streams]
        streams[0].metadata["language"] = "deu"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)
    return path


@pytest.mark.parametrize(("choice", "kept"), [("keep", {"title", "location"}), ("no-gps", {"title"}), ("none", set())])
def test_the_place_and_all_tags_can_be_left_out(tmp_path, restorer, choice, kept):
    source = tagged(tmp_path / "clip.mp4")
    restore_video(source, tmp_path / "out.mp4", restorer, options=VideoOptions(metadata=choice))
    with av.open(str(tmp_path / "out.mp4")) as result:
        assert {"title", "location"} & set(result.metadata) == kept
        assert result.streams.video[0].metadata["language"] == "deu"
    if choice != "keep":
        assert b"+52.5" not in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize(
    ("choice", "place", "make_"), [("keep", True, True), ("no-gps", False, True), ("none", False, False)]
)
def test_the_place_and_all_metadata_of_an_animation_can_be_left_out(tmp_path, restorer, choice, place, make_):
    tags = Image.Exif()
    tags[271] = "Camera"
    tags.get_ifd(34853)[29] = "2026:11:26"
    frames = [Image.fromarray(scene(5 * index, 24, 16)) for index in range(2)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=50, exif=tags)
    sizes = []
    for quality in (20, None):
        options = VideoOptions(metadata=choice, quality=quality)
        restore_video(tmp_path / "a.webp", tmp_path / "b.webp", restorer, options=options, overwrite=True)
        sizes.append((tmp_path / "b.webp").stat().st_size)
    assert sizes[0] < sizes[1]
    with Image.open(tmp_path / "b.webp") as image:
        assert (271 in image.getexif(), bool(image.getexif().get_ifd(34853))) == (make_, place)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_is_kept_and_the_network_sees_upright_frames(tmp_path, rotation):
    seen = []

    class Watch(nn.Module):
        def forward(self, degraded):
            seen.append(degraded[0].clone())
            return degraded

    source = make(tmp_path / "clip.mp4", frames=2, rotation=rotation, audio=False)
    restore_video(source, tmp_path / "out.mp4", Restorer(Watch(), device="cpu", precision="fp32", tile=0))
    before, _ = read(source)
    after, _ = read(tmp_path / "out.mp4")
    upright = np.rot90(rgb(before[0]), rotation // 90)
    assert after[0].rotation == before[0].rotation
    assert (after[0].rotation - rotation) % 360 == 0
    assert np.abs(seen[0].permute(1, 2, 0).numpy() * 255 - upright).mean() < 3
    assert np.abs(rgb(after[0]) - rgb(before[0])).mean() < 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("name", "codec", "format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv444p"),
        ("a.mkv", "libx265", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mkv", "libsvtav1", "yuv420p"),
        ("a.mkv", "ffv1", "yuv422p"),
    ],
)
def test_codec_format_and_colour_are_kept(tmp_path, name, codec, format, full):
    source = make(tmp_path / name, frames=3, codec=codec, format=format, full=full, audio=False)
    restore_video(source, tmp_path / ("out-" + name), Restorer(nn.Identity(), device="cpu", precision="fp32"))
    before, facts = read(source)
    after, kept = read(tmp_path / ("out-" + name))
    assert kept["codec"] == facts["codec"]
    assert times(after) == times(before)
    for old, new in zip(before, after, strict=True):
        assert new.format.name == old.format.name
        assert new.color_range == old.color_range == (2 if full else 1)
        assert (new.colorspace, new.color_primaries, new.color_trc) == (1, 1, 1)
        assert np.abs(rgb(new) - rgb(old)).mean() < 3


@pytest.mark.parametrize(
    ("name", "codec", "format", "size", "frames"),
    [
        ("one-frame.mp4", "libx264", "yuv420p", (64, 48), 1),
        ("odd.mp4", "libx264", "yuv444p", (65, 49), 4),
        ("odd.webm", "libvpx-vp9", "yuv420p", (65, 49), 4),
        ("tiny.mp4", "libx264", "yuv420p", (16, 16), 4),
    ],
)
def test_one_frame_and_odd_sizes(tmp_path, restorer, name, codec, format, size, frames):
    source = make(tmp_path / name, frames=frames, codec=codec, format=format, size=size, audio=False)
    report = restore_video(source, tmp_path / ("out-" + name), restorer)
    before, _ = read(source)
    after, _ = read(tmp_path / ("out-" + name))
    assert (report.frames, report.notes, report.broken) == (frames, (), "")
    assert times(after) == times(before)
    assert [(frame.width, frame.height) for frame in after] == [size] * frames
    assert np.abs(rgb(after[0]) - rgb(before[0]) / 2).mean() < 3


class Stopping(nn.Module):
    """Fails, as a killed process would stop, after so many frames."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def forward(self, degraded):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return degraded * 0.5


def counting(network):
    return Restorer(network, device="cpu", precision="fp32", tile=0, info=RestorerInfo(model="darker"))


def test_an_interrupted_clip_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("restorekit.restoring.video.pieces.FRAMES", 5)
    source, target = make(tmp_path / "clip.mp4", frames=18), tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, target, counting(Stopping(12)))
    assert not target.exists()
    again = Stopping(8)
    report = restore_video(source, target, counting(again))
    assert (report.frames, report.resumed, again.left) == (18, 10, 0)
    whole = tmp_path / "whole.mp4"
    restore_video(source, whole, counting(Stopping(18)))
    assert packets(target, "video") == packets(whole, "video")
    assert packets(target, "audio") == packets(source, "audio")
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["clip.mp4", "out.mp4", "whole.mp4"]


def test_the_memory_does_not_grow_with_the_length(tmp_path, restorer, monkeypatch):
    alive, most = set(), []

    def watched(*arguments):
        pixels = colour.pixels_of(*arguments)
        alive.add(id(pixels))
        weakref.finalize(pixels, alive.discard, id(pixels))
        most.append(len(alive))
        return pixels

    monkeypatch.setattr("restorekit.restoring.video.source.pixels_of", watched)
    restore_video(make(tmp_path / "clip.mp4", frames=50, audio=False), tmp_path / "out.mp4", restorer)
    assert len(most) == 50
    assert max(most) <= 6


def test_pieces_of_other_settings_or_another_source_are_not_joined(tmp_path, monkeypatch):
    monkeypatch.setattr("restorekit.restoring.video.pieces.FRAMES", 5)
    source, target = make(tmp_path / "clip.mp4", frames=8, audio=False), tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, target, counting(Stopping(6)))
    report = restore_video(source, target, counting(Stopping(8)), options=VideoOptions(crf=30))
    assert (report.frames, report.resumed) == (8, 0)


def test_cancelling_returns_after_the_frame_in_work_and_may_go_on(tmp_path, restorer, monkeypatch):
    monkeypatch.setattr("restorekit.restoring.video.pieces.FRAMES", 2)
    source, cancel, seen = make(tmp_path / "clip.mp4", frames=9), threading.Event(), []

    def progress(done, total):
        seen.append((done, total))
        if done == 5:
            cancel.set()

    report = restore_video(source, tmp_path / "out.mp4", restorer, progress=progress, cancel=cancel)
    assert report.cancelled
    assert seen == [(n, 9) for n in range(1, 6)]
    assert not (tmp_path / "out.mp4").exists()
    assert restore_video(source, tmp_path / "out.mp4", restorer).resumed == 4


def test_a_clip_that_breaks_off_is_kept_as_far_as_it_goes(tmp_path, restorer):
    source = make(tmp_path / "clip.mp4", frames=60)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 6 // 10])
    report = restore_video(source, tmp_path / "out.mp4", restorer)
    assert not (tmp_path / "out.mp4").exists()
    assert report.target == tmp_path / "out.partial.mp4"
    assert 5 < report.frames < 55
    assert f"breaks off after {report.frames} frames" in report.broken
    after, _ = read(report.target)
    assert len(after) == report.frames
    assert len(list(tmp_path.iterdir())) == 2


def test_damage_within_a_clip_is_passed_over_and_told(tmp_path, restorer):
    source = make(tmp_path / "clip.mp4", frames=30, audio=False)
    with av.open(str(source)) as clip:
        positions = [(p.pos, p.size) for p in clip.demux(video=0) if p.size]
    whole = bytearray(source.read_bytes())
    for start, size in positions[10:13]:
        whole[start : start + size] = bytes(size)
    source.write_bytes(whole)
    report = restore_video(source, tmp_path / "out.mp4", restorer)
    assert any("damaged packet" in note for note in report.notes)
    after, _ = read(tmp_path / "out.mp4")
    assert times(after)[-1] == Fraction(29, 25)


@pytest.mark.parametrize("content", [b"", b"no clip", None])
def test_what_cannot_be_read_at_all_is_named(tmp_path, restorer, content):
    source = tmp_path / "clip.mp4"
    if content is None:  # no table of contents, as a camera that lost power leaves it
        whole = make(tmp_path / "whole.mov").read_bytes()
        content = whole[: whole.index(b"moov") - 4]
    source.write_bytes(content)
    with pytest.raises(DataError, match=r"clip\.mp4"):
        restore_video(source, tmp_path / "out.mp4", restorer)
    assert not list(tmp_path.glob("*out*"))
    assert not list(tmp_path.glob(".*"))


def test_what_a_container_cannot_hold_is_refused_before_computing(tmp_path):
    source = make(tmp_path / "clip.mp4", frames=2)
    with pytest.raises(DataError, match=r"\.webm cannot hold its aac audio.*\.mkv"):
        restore_video(source, tmp_path / "out.webm", counting(Stopping(0)))
    with pytest.raises(DataError, match=r"out\.mp4: mp4 holds no ffv1"):
        restore_video(source, tmp_path / "out.mp4", counting(Stopping(0)), options=VideoOptions(codec="ffv1"))
    with pytest.raises(DataError, match=r"cannot be written as \.mpg"):
        restore_video(source, tmp_path / "out.mpg", counting(Stopping(0)))
    (tmp_path / "out.mp4").touch()
    with pytest.raises(DataError, match="there already"):
        restore_video(source, tmp_path / "out.mp4", counting(Stopping(0)))


@pytest.mark.parametrize(("options", "message"), [({"codec": "divx"}, "one of auto"), ({"crf": 64}, "0, the best")])
def test_other_options_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        VideoOptions(**options)


def test_an_avi_becomes_matroska_with_its_sound(tmp_path, restorer):
    source = make(tmp_path / "clip.avi", frames=6, codec="mjpeg", format="yuvj420p", full=True)
    restore_video(source, tmp_path / "out.mkv", restorer)
    assert [data for _, data in packets(tmp_path / "out.mkv", "audio")] == [d for _, d in packets(source, "audio")]
    assert len(read(tmp_path / "out.mkv")[0]) == 6


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_keep_their_times_and_loops(tmp_path, restorer, suffix):
    source, target = tmp_path / f"moving{suffix}", tmp_path / f"out{suffix}"
    frames = [Image.fromarray(scene(5 * index, 24, 16)) for index in range(4)]
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=[40, 80, 120, 200], loop=3, lossless=True)
    assert is_animation(source)
    report = restore_video(source, target, restorer)
    assert report.frames == 4
    with Image.open(target) as image:
        assert (image.n_frames, image.info["loop"]) == (4, 3)
        for index, duration in enumerate([40, 80, 120, 200]):
            image.seek(index)
            shown = np.asarray(image.convert("RGB")).astype(int)
            assert image.info["duration"] == duration
            assert np.abs(shown - np.asarray(frames[index]) / 2).mean() < 8


def test_a_transparent_animation_stays_transparent(tmp_path, restorer):
    frames = []
    for index in range(3):
        pixels = np.dstack([scene(index, 24, 16), np.full((16, 24), 255, np.uint8)])
        pixels[:, 4 * index : 4 * index + 4, 3] = 0
        frames.append(Image.fromarray(pixels))
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    restore_video(tmp_path / "a.webp", tmp_path / "b.webp", restorer)
    with Image.open(tmp_path / "b.webp") as image:
        for index in range(3):
            image.seek(index)
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
            assert (alpha[:, 4 * index : 4 * index + 4] == 0).all()
            assert (np.delete(alpha, slice(4 * index, 4 * index + 4), axis=1) == 255).all()


@pytest.fixture
def mixed(tmp_path):
    """A folder with a photograph, a clip, a broken clip, a moving and a still WebP."""
    root = tmp_path / "in"
    (root / "trip").mkdir(parents=True)
    still = Image.fromarray(scene(0, 24, 16))
    still.save(root / "photo.png")
    still.save(root / "still.webp")
    still.save(root / "moving.gif", save_all=True, append_images=[Image.fromarray(scene(9, 24, 16))], duration=50)
    make(root / "trip" / "clip.mp4", frames=3)
    make(root / "old.avi", frames=3, codec="mjpeg", format="yuvj420p", audio=False)
    (root / "broken.mov").write_bytes(b"nothing")
    return root


def test_a_folder_with_clips_keeps_its_tree(mixed, tmp_path, restorer):
    out, seen = tmp_path / "out", []
    report = run_jobs(plan_jobs([mixed], out), restorer, frames=lambda job, done, total: seen.append(job.source.name))
    found = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert found == ["moving.gif", "old.mkv", "photo.png", "still.webp", "trip/clip.mp4"]
    assert [source.name for source, _ in report.failed] == ["broken.mov"]
    assert seen == ["moving.gif"] * 2 + ["old.avi"] * 3 + ["clip.mp4"] * 3
    assert run_jobs(plan_jobs([mixed], out), restorer).summary() == "0 restored, 5 skipped, 1 failed"


def test_clips_are_named_where_pyav_is_missing(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda name: None)
    assert [job.source.name for job in plan_jobs([mixed], tmp_path / "out")] == [
        "moving.gif",
        "photo.png",
        "still.webp",
    ]
    assert [path.name for path in left_out([mixed], tmp_path / "out").files] == ["broken.mov", "old.avi", "clip.mp4"]
    with pytest.raises(DataError, match=r"pip install 'restorekit\[video\]'"):
        plan_jobs([mixed / "old.avi"], tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("photo.png", "x.mp4", "is no clip"),
        ("trip/clip.mp4", "x.png", "cannot be written as .png"),
        ("moving.gif", "x.webp", "keeps its format"),
        ("trip", "x.mkv", "the name of one clip"),
    ],
)
def test_names_of_another_kind_are_refused(mixed, tmp_path, source, out, message):
    with pytest.raises(DataError, match=message):
        plan_jobs([mixed / source], tmp_path / out)


def test_the_preview_says_that_it_leaves_clips_out(mixed, tmp_path, monkeypatch, restorer):
    monkeypatch.setattr("restorekit.load", lambda *_, **__: restorer)
    arguments = [str(mixed / "moving.gif"), "-o", str(tmp_path / "out"), "-m", "any", "--preview"]
    result = CliRunner().invoke(command, arguments)
    assert "clips and animations are not on the page of before and after" in result.output


def test_a_broken_clip_is_not_restored_again_unless_asked(tmp_path, restorer):
    source = make(tmp_path / "clip.mp4", frames=60)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    os.utime(source, (1, 1))
    first = run_jobs(plan_jobs([source], tmp_path / "out"), restorer)
    again = run_jobs(plan_jobs([source], tmp_path / "out"), counting(Stopping(0)))
    forced = run_jobs(plan_jobs([source], tmp_path / "out", overwrite=True), restorer)
    assert ["breaks off" in report.failed[0][1] for report in (first, again, forced)] == [True] * 3
    assert "already" in again.failed[0][1]


def test_the_command_takes_clips_with_codec_and_quality(tmp_path, monkeypatch, restorer):
    monkeypatch.setattr("restorekit.load", lambda *_, **__: restorer)
    source = make(tmp_path / "clip.mp4", frames=4)
    arguments = [str(source), "-o", str(tmp_path / "out"), "-m", "any", "--video-codec", "hevc", "--video-crf", "12"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "1 restored, 0 skipped, 0 failed" in result.output
    assert read(tmp_path / "out" / "clip.mp4")[1]["codec"] == "hevc"


def test_pieces_are_told_apart_by_weights_and_strength_and_those_of_models_that_adapt_are_used_again(tmp_path):
    source = tmp_path / "clip.mp4"
    source.touch()

    def plan(restorer):
        return running._plan(source, restorer, VideoOptions(), ENCODERS["h264"])

    def fixed(weight, strength=1.0):
        network = nn.Conv2d(3, 3, 1)
        nn.init.constant_(network.weight, weight)
        nn.init.zeros_(network.bias)
        return Restorer(network, device="cpu", info=RestorerInfo(model="m", strength=strength))

    def adaptive():
        network = nn.Conv2d(3, 3, 1)  # untrained: others values each time
        info = RestorerInfo(model="m", adaptive=True)
        return AdaptiveRestorer(lambda image, _: image, generator=network, device="cpu", info=info)

    assert plan(fixed(0.1)) == plan(fixed(0.1))
    assert len({plan(fixed(0.1)), plan(fixed(0.2)), plan(fixed(0.1, strength=0.5)), plan(adaptive())}) == 4
    assert plan(adaptive()) == plan(adaptive())


def test_subtitles_and_chapters_are_kept(tmp_path, restorer):
    words = "1\n00:00:00,000 --> 00:00:00,200\nrain\n"
    (tmp_path / "words.srt").write_text(words, encoding="utf-8")
    plain, source = make(tmp_path / "plain.mp4", frames=6), tmp_path / "clip.mkv"
    with (
        av.open(str(plain)) as clip,
        av.open(str(tmp_path / "words.srt")) as text,
        av.open(str(source), "w") as sink,
    ):
        sink.set_chapters(
            [{"id": 1, "start": 0, "end": 120, "time_base": Fraction(1, 1000), "metadata": {"title": "start"}}]
        )
        streams = {
            (id(c), s.index): sink.add_stream_from_template(s, opaque=True) for c in (clip, text) for s in c.streams
        }
        for container in (clip, text):
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = streams[id(container), packet.stream_index]
                    sink.mux(packet)
    restore_video(source, tmp_path / "out.mkv", restorer)
    assert [data for _, data in packets(tmp_path / "out.mkv", "subtitles")] == [b"rain"]
    with av.open(str(tmp_path / "out.mkv")) as result:
        assert [chapter["metadata"]["title"] for chapter in result.chapters()] == ["start"]


def test_a_playlist_under_the_name_of_a_clip_opens_no_other_file(tmp_path, restorer):
    make(tmp_path / "secret.mp4", frames=3)
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as a clip"):
        restore_video(tmp_path / "clip.mp4", tmp_path / "out.mp4", restorer)


def test_a_piece_that_is_damaged_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("restorekit.restoring.video.pieces.FRAMES", 5)
    source, target = make(tmp_path / "clip.mp4", frames=12, audio=False), tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, target, counting(Stopping(11)))
    folder = tmp_path / ".out.mp4.pieces"
    (folder / "000000.nut").write_bytes((folder / "000000.nut").read_bytes()[:-300])
    with pytest.raises(DataError, match=r"out\.mp4\.pieces.*remove that folder"):
        restore_video(source, target, counting(Stopping(12)))
    assert not target.exists()


@pytest.mark.parametrize(("source", "out"), [("moving.gif", "-"), ("old.avi", "-"), ("-", "x.mp4")])
def test_clips_do_not_go_through_standard_streams(mixed, source, out):
    given = source if source == "-" else str(mixed / source)
    result = CliRunner().invoke(command, [given, "-o", out, "-m", "any"])
    assert isinstance(result.exception, DataError)
    assert "clips and animations do not go through standard input" in str(result.exception)
