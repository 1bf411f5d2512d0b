"""SIGTERM and Ctrl-C in the middle of every command: one sentence, the conventional code, nothing half done left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit import leftovers
from restorekit.data.imageset import RawSample
from restorekit.data.synthetic_files import write_pairs
from restorekit.plugin.isolation import foreign_code
from restorekit.serve.limits import Limits
from restorekit.serve.server import prepared
from restorekit.termination import Terminated

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")

# The function that a loop calls sends its own process the signal, at its second call, and then takes ten minutes.
PROGRAM = """
import importlib, os, signal, sys, time
module, name, number, stall, *sys.argv[1:] = sys.argv[1:]
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
original, calls = getattr(owner, last), []
def halting(*args, **settings):
    calls.append(1)
    if len(calls) == int(os.environ.get("CALLS", 2)):
        os.kill(os.getpid(), int(number))
        exec(stall)
    return original(*args, **settings)
setattr(owner, last, halting)
signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell ignores it, children do too
from restorekit.cli.main import main
main()
"""
WAITS = "time.sleep(600)"
HEARS_NOTHING = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # one call that no signal interrupts
SOON = "time.sleep(0.5)"  # training's own handler notes a signal, and goes on to the end of the step
WAITING_THREAD = "import threading; threading.Thread(target=time.sleep, args=(600,)).start()"
ON_ITS_WAY = "try:\n    time.sleep(600)\nfinally:\n    os.kill(os.getpid(), signal.SIGTERM)"


@pytest.fixture
def work(tmp_path):
    rng = np.random.default_rng(4)
    for kind in ("input", "target"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pairs" / kind / f"{number}.png")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for kind, stem in (("input", "rain"), ("target", "norain")):
            for number in range(4):
                archive.write(tmp_path / "pairs" / kind / f"{number}.png", f"{kind}/{stem}-{number + 1:03}.png")
    return tmp_path


def run(work, where, arguments, number=signal.SIGTERM, stall=WAITS, **more):
    """Return the ended process; it is given five minutes, starting included, on a busy machine."""
    module, _, name = where.partition(":")
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "RESTOREKIT_DATA": str(work / "data"),
        "RESTOREKIT_CACHE": str(work / "cache"), "TMPDIR": str(work / "tmp"), **more,
    }  # fmt: skip
    (work / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, module, name, str(int(number)), stall, *arguments],
        cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def unfinished(work):
    """Return what no command may leave."""
    names = [str(path.relative_to(work)) for path in work.rglob("*")]
    kinds = (".part", ".incoming", "tmp/restorekit", "tmp/tmp")
    return [name for name in names if any(kind in name for kind in kinds)]


LOOPS = {
    "restore": ("restorekit.restoring.restorer:BaseRestorer.restore_picture",
                ["restore", "pairs/input", "-m", "derain", "-o", "out"]),
    "benchmark": ("restorekit.restoring.restorer:BaseRestorer.restore_tensor",
                  ["benchmark", "--models", "derain", "--dataset", "pairs", "-o", "out"]),
    "benchmark-input": ("restorekit.benchmark.runner:score_pixels",
                        ["benchmark", "--models", "derain", "--dataset", "pairs", "-o", "out"]),
    "score": ("restorekit.benchmark.foreign:score_pixels", ["score", "pairs/input", "--dataset", "pairs"]),
    "check": ("restorekit.data.checks:_look", ["data", "check", "pairs"]),
    "add": ("restorekit.data.store:_place", ["data", "add", "rain100l", "set.zip"]),
    "synthesize": ("restorekit.data.synthetic_files:render",
                   ["data", "synthesize", "pairs", "--task", "rain-streak", "-o", "out"]),
    "export": ("restorekit.export.write:OnnxNetwork.__call__", ["export", "derain", "-o", "derain.onnx"]),
    "train-check": ("restorekit.engine.step.engine:Engine.step",
                    ["train", "derain", "--data", "pairs", "--val", "none", "--check", "--set=data.crop=32"]),
    "plugins-check": ("restorekit.testing.model_checks:runnable_recipe", ["plugins", "check", "derain", "derain"]),
    "plugins-check-training": ("restorekit.engine.step.engine:Engine.step",
                               ["plugins", "check", "derain", "derain", "--only", "few-steps-lower-the-loss",
                                "--only", "resumes-exactly"]),
    "plugins-check-saving": ("restorekit.engine.run.trainer:Trainer._save",
                             ["plugins", "check", "derain", "derain", "--only", "resumes-exactly"]),
}  # fmt: skip
TRAINS = ("train-check", "plugins-check-training", "plugins-check-saving")


@pytest.mark.slow
@pytest.mark.parametrize("command", LOOPS)
def test_sigterm_ends_every_loop_and_leaves_nothing_half_done(work, command):
    ended = run(work, *LOOPS[command], stall=SOON if command in TRAINS else WAITS)
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].strip() == "Terminated."
    assert "Traceback" not in ended.stderr
    assert not unfinished(work)


@pytest.mark.slow
def test_ctrl_c_in_restore_is_130_and_keeps_what_is_finished(work):
    ended = run(work, *LOOPS["restore"], number=signal.SIGINT)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].strip() == "Interrupted."
    assert "Traceback" not in ended.stderr
    assert [path.name for path in (work / "out").iterdir()] == ["0.png"]
    again = subprocess.run(
        [sys.executable, "-m", "restorekit", *LOOPS["restore"][1]],
        cwd=work, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert again.stdout.strip() == "3 restored, 1 skipped, 0 failed"


@pytest.mark.slow
def test_ctrl_c_in_a_training_within_a_check_ends_the_command(work):
    ended = run(work, *LOOPS["plugins-check-training"], number=signal.SIGINT, stall=SOON)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].strip() == "Interrupted."
    assert not unfinished(work)


@pytest.mark.slow
def test_sigterm_in_a_clip_keeps_finished_pieces_and_the_next_call_goes_on(work):
    av = pytest.importorskip("av", reason="PyAV, the extra restorekit[video], is not installed")
    with av.open(str(work / "clip.mp4"), "w") as sink:
        stream = sink.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(70):
            pixels = np.full((48, 64, 3), 60 + grey, np.uint8)
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        sink.mux(stream.encode())
    command = ["restore", "clip.mp4", "-m", "pix2pix", "-o", "out"]
    ended = run(work, "restorekit.restoring.restorer:BaseRestorer.restore", command, CALLS="65")
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].strip() == "Terminated."
    assert "Traceback" not in ended.stderr
    assert not unfinished(work)
    (pieces,) = (work / "out").iterdir()  # and no clip that could be taken for the whole
    assert [path.name for path in pieces.glob("*.nut")] == ["000000.nut"]
    again = run(work, "restorekit.restoring.restorer:BaseRestorer.restore", command, CALLS="0")
    assert again.returncode == 0, again.stderr
    assert [path.name for path in (work / "out").iterdir()] == ["clip.mp4"]
    with av.open(str(work / "out" / "clip.mp4")) as source:
        assert sum(1 for _ in source.decode(video=0)) == 70


@pytest.mark.slow
@pytest.mark.parametrize("stall", [HEARS_NOTHING, WAITING_THREAD, ON_ITS_WAY], ids=["no-signal", "thread", "twice"])
def test_a_process_that_does_not_hear_ends_within_seconds(work, stall):
    ended = run(work, "restorekit.data.checks:_look", ["data", "check", "pairs"], stall=stall)
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].strip() == "Terminated."


def test_a_plugin_cannot_keep_sigterm_for_itself():
    with pytest.raises(Terminated), foreign_code():
        raise Terminated


def test_a_plugin_cannot_move_the_program_or_make_it_deaf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    mask = os.umask(0o027)
    with foreign_code() as told:
        os.chdir("/")
        os.umask(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ValueError
    assert os.umask(mask) == 0o027
    assert told.line == "ValueError: no message"
    assert Path.cwd() == tmp_path
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_forked_process_does_not_end_its_parent():
    program = """
        import os, signal, time
        from restorekit import termination
        termination.PATIENCE = 0.5
        termination.hear_termination()
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(3)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        time.sleep(1.5)
        print("alive")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "alive\n"


# ---- what a killed synthesis leaves ----


def old(path: Path) -> Path:
    os.utime(path, (time.time() - 60,) * 2)
    return path


def test_a_killed_synthesis_is_swept_by_the_next(tmp_path):
    dead, alive, other = (tmp_path / f".{name}.part" for name in ("out.0123abcd", "out.4567cdef", "else.0123abcd"))
    for folder in (dead, alive, other):
        (folder / "clean").mkdir(parents=True)
        (folder / "clean" / "a.png").write_bytes(b"half")
        old(folder)
    images = [RawSample("a", np.full((24, 24, 3), 90, np.uint8), None)]
    with leftovers.held(alive):
        old(alive)
        assert list(write_pairs([images], tmp_path / "out", "rain-streak")) == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".else.0123abcd.part", ".out.4567cdef.part", "out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clean", "degraded", "mask"]


# ---- temporary folders ----

HOLDING = """
import signal
from restorekit import leftovers
with leftovers.temporary("serve") as folder:
    (folder / "items").mkdir()
    print(folder, flush=True)
    signal.pause()
"""


def test_a_temporary_folder_of_a_killed_process_is_swept_by_the_next(tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="gradio, the extra restorekit[serve], is not installed")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # it is set below, and set back afterwards
    other = tmp_path / "restorekit-serve-notes"  # somebody's own, which no process has marked
    other.mkdir()
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        for _ in range(2)
    ]  # fmt: skip
    dead, alive = [Path(program.stdout.readline().strip()) for program in programs]
    programs[0].kill()
    programs[0].wait()
    for folder in (dead, alive, other):
        old(folder)
    limits = Limits()
    try:
        with prepared([], lambda name: pytest.fail("no model is loaded"), limits, {}, "127.0.0.1"):
            (own,) = set(tmp_path.iterdir()) - {dead, alive, other}
            assert not dead.exists()
            assert own.name.startswith("restorekit-serve-")
    finally:
        programs[1].terminate()
        programs[1].wait()
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])
