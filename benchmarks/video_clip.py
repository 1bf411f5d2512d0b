"""What a clip costs to restore, and whether it stays the same clip: times, sound, memory.

    python benchmarks/video_clip.py --models pix2pix -o video.json

Makes a 720p clip with sound (a built-in photograph that drifts by), of two lengths, and restores both, each in a
process of its own. The table shows seconds for a frame, peak memory above the loaded model, whether every frame has
the source's time and whether the sound's packets are the source's, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
import psutil
from PIL import Image

SIZE, RATE, TICKS = (1280, 720), 30, 90000


def write_clip(path: Path, seconds: float) -> None:
    """Write a 720p H.264 clip of 30 frames a second with stereo AAC sound."""
    with as_file(files("restorekit.data.builtin") / "photos" / "raccoon.jpg") as photo, Image.open(photo) as image:
        scene = np.asarray(image.resize((SIZE[0] * 5 // 4, SIZE[1] * 5 // 4)))
    with av.open(str(path), "w") as sink:
        video = sink.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        sound = sink.add_stream("aac", rate=48000, layout="stereo")
        for index in range(round(seconds * RATE)):
            left, top = index % (SIZE[0] // 4), index // 2 % (SIZE[1] // 4)
            part = np.ascontiguousarray(scene[top : top + SIZE[1], left : left + SIZE[0]])
            frame = av.VideoFrame.from_ndarray(part, format="rgb24")
            frame.pts, frame.time_base = index * TICKS // RATE, Fraction(1, TICKS)
            sink.mux(video.encode(frame))
        sink.mux(video.encode())
        wave = (np.sin(np.arange(round(seconds * 48000)) * 0.05) * 8000).astype(np.int16)
        for start in range(0, len(wave), 1024):
            block = np.repeat(wave[start : start + 1024], 2)[None]
            samples = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
            samples.sample_rate, samples.pts = 48000, start
            sink.mux(sound.encode(samples))
        sink.mux(sound.encode())


def _time(packet: av.Packet[Any]) -> Fraction:
    return Fraction((packet.pts or 0) * packet.time_base)


def facts(path: Path) -> dict[str, Any]:
    """Return what must not change: the frames' times, the picture's duration, the sound's packets."""
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        times = sorted(_time(p) for p in clip.demux(stream) if p.pts is not None)
        seconds = (stream.duration or 0) * (stream.time_base or 0)
    with av.open(str(path)) as clip:
        sound = [(_time(p), bytes(p)) for p in clip.demux(audio=0) if p.pts is not None]
    return {"times": times, "seconds": seconds, "sound": sound}


def measure(model: str, source: Path, target: Path) -> dict[str, float]:
    """Restore one clip in this process; return seconds and MiB above the loaded model, which has warmed up."""
    import restorekit
    from restorekit.restoring.memory import keep_freed_memory
    from restorekit.restoring.video import restore_video

    keep_freed_memory()
    restorer = restorekit.load(model)
    restorer.restore(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, work = time.perf_counter(), time.process_time()
    try:
        report = restore_video(source, target, restorer)
    finally:
        wall, cpu = time.perf_counter() - start, time.process_time() - work
        done.set()
        watcher.join()
    return {"frames": report.frames, "wall_s": wall, "cpu_s": cpu, "peak_mib": (peak - before) / 2**20}


def compare(model: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Restore a clip of `seconds` in a process of its own and compare it with its source."""
    source, target = folder / f"{seconds:g}s.mp4", folder / f"{model}-{seconds:g}s.mp4"
    if not source.exists():
        write_clip(source, seconds)
    command = [sys.executable, __file__, "--measure", model, str(source), str(target)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    row: dict[str, Any] = {"model": model, "seconds": seconds} | json.loads(output.splitlines()[-1])
    old, new = facts(source), facts(target)
    return row | {f"same_{name}": old[name] == new[name] for name in old}


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    cells = [row["model"], f"{row['seconds']:g} s", str(row["frames"])]
    cells += [f"{row[name] / row['frames']:.2f} s" for name in ("wall_s", "cpu_s")]
    cells += [f"{row['peak_mib']:.0f} MiB"]
    cells += ["yes" if row[f"same_{name}"] else "NO" for name in ("times", "seconds", "sound")]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="pix2pix", help="names, separated by commas")
    parser.add_argument("--seconds", default="2,10", help="lengths of the clips, separated by commas")
    parser.add_argument("--measure", nargs=3, metavar=("MODEL", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.measure:
        model, source, target = arguments.measure
        click.echo(json.dumps(measure(model, Path(source), Path(target))))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            compare(model, float(seconds), Path(folder))
            for model in arguments.models.split(",")
            for seconds in arguments.seconds.split(",")
        ]
    click.echo("| model | clip | frames | a frame | CPU for it | peak above the model | times | duration | sound |")
    click.echo("|---|---|---|---|---|---|---|---|---|")
    click.echo("\n".join(line(row) for row in rows))
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
