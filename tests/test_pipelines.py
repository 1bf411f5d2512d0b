"""Standard streams, lists, logs, and several processes that share a list."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from torch import nn

from restorekit.cli import restore as cli_restore
from restorekit.errors import DataError
from restorekit.processes import process_of
from restorekit.restoring import Restorer, RestorerInfo, folders, plan_jobs, run_jobs
from restorekit.restoring.joblog import JobLog
from restorekit.restoring.lists import kept_name, read_list, share


class Invert(nn.Module):
    def forward(self, degraded):
        return 1 - degraded


@pytest.fixture
def restorer():
    return Restorer(Invert(), device="cpu", precision="fp32", info=RestorerInfo(model="invert"))


@pytest.fixture
def run(monkeypatch, restorer):
    monkeypatch.setattr(cli_restore, "chosen_restorer", lambda **_: restorer)

    def invoke(*arguments, given=b"", env=None):
        return CliRunner().invoke(cli_restore.command, [str(a) for a in arguments], input=given, env=env)

    return invoke


def levels(height=6, width=9):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def data(kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(levels()).save(file, kind, **options)
    return file.getvalue()


def folder_of(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels()).save(path)
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# standard streams


def test_one_image_goes_through_standard_input_and_output(run):
    done = run("-", "-o", "-", given=data())
    assert done.exit_code == 0, done.output
    assert "model invert" in done.stderr
    image = Image.open(io.BytesIO(done.stdout_bytes))
    assert image.format == "PNG"
    assert (np.asarray(image) == 255 - levels()).all()


@pytest.mark.parametrize(
    ("given", "option", "kind"), [("JPEG", [], "JPEG"), ("PNG", ["--format", "webp"], "WEBP"), ("GIF", [], "PNG")]
)
def test_the_format_is_that_of_the_input_or_the_one_named(run, given, option, kind):
    done = run("-", "-o", "-", *option, given=data(given))
    assert done.exit_code == 0, done.output
    assert Image.open(io.BytesIO(done.stdout_bytes)).format == kind


def test_only_one_side_may_be_a_stream(run, tmp_path):
    folder_of(tmp_path, ["a.png"])
    assert run("-", "-o", tmp_path / "b.png", "--log", tmp_path / "log", given=data()).exit_code == 0
    assert (np.asarray(Image.open(tmp_path / "b.png")) == 255 - levels()).all()
    assert [(row["input"], row["status"]) for row in lines(tmp_path / "log")] == [("-", "restored")]
    out = run(tmp_path / "a.png", "-o", "-")
    assert (np.asarray(Image.open(io.BytesIO(out.stdout_bytes))) == 255 - levels()).all()
    again = run("-", "-o", tmp_path / "b.png", given=data())
    assert "exists" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "given", "message"),
    [
        (["-", "-o", "-"], b"", "standard input is empty"),
        (["-", "-o", "-"], b"no image at all", "standard input: not an image"),
        (["-", "a.png", "-o", "-"], b"", "give nothing else"),
        (["-", "-o", "-", "--files-from", "x"], b"", "goes without"),
        (["-", "-o", "-", "--save-mask"], b"", "goes without"),
        (["-o", "out"], b"", "name files or folders"),
    ],
)
def test_streams_that_make_no_sense_are_refused(run, arguments, given, message):
    done = run(*arguments, given=given)
    assert done.exit_code != 0
    assert message in f"{done.exception} {done.output}"
    assert not done.stdout_bytes


# lists and logs


def test_listed_files_keep_their_folders(run, tmp_path, monkeypatch):
    monkeypatch.chdir(folder_of(tmp_path, ["x/a.png", "y/a.png"]))
    absolute = folder_of(tmp_path / "z", ["a.png"]) / "a.png"
    Path("list").write_text(f"x/a.png\n\ny/a.png\nx/absent.png\n{absolute}\n")
    done = run("--files-from", "list", "-o", "out", "--log", "log.jsonl")
    assert done.exit_code == 1
    assert "3 restored, 0 skipped, 1 failed" in done.output
    for name in ("x/a.png", "y/a.png", absolute.relative_to("/")):
        assert (Path("out") / name).is_file()
    again = run("--files-from", "-", "-o", "out", "--log", "log.jsonl", given=b"x/a.png\ny/a.png\n")
    assert again.exit_code == 0, again.output
    rows = lines(Path("log.jsonl"))
    assert all(list(row) == ["input", "output", "status", "seconds", "model", "reason"] for row in rows)
    told = [(row["input"], row["status"]) for row in rows]
    assert told[:3] == [("x/a.png", "restored"), ("y/a.png", "restored"), ("x/absent.png", "failed")]
    assert told[4:] == [("x/a.png", "skipped"), ("y/a.png", "skipped")]
    assert "no such file" in rows[2]["reason"]
    assert rows[0]["seconds"] > 0
    assert rows[0]["model"] == "invert"
    assert rows[4]["reason"] == "it is there already"


def test_lists_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(DataError, match="names no file"):
        read_list(str(tmp_path / "empty"))
    with pytest.raises(DataError, match="cannot be read"):
        read_list(str(tmp_path / "absent"))
    with pytest.raises(DataError, match="must not lead upwards"):
        kept_name(Path("../a.png"))
    with pytest.raises(DataError, match="part of its path is a file"):
        JobLog(tmp_path / "empty/log")


# overlapping


def test_a_picture_is_written_while_the_next_is_computed(tmp_path, monkeypatch):
    second, seen = threading.Event(), []

    class Watch(Invert):
        def forward(self, degraded):
            seen.append(1)
            if len(seen) == 2:
                second.set()
            return super().forward(degraded)

    def slowly(path, *rest):
        assert second.wait(timeout=10), "the second picture was not begun before the first was written"
        return real(path, *rest)

    real = folders.write_picture
    monkeypatch.setattr(folders, "write_picture", slowly)
    folder_of(tmp_path / "in", ["a.png", "b.png", "c.png"])
    watch = Restorer(Watch(), device="cpu", precision="fp32", tile=0)
    report = run_jobs(plan_jobs([tmp_path / "in"], tmp_path / "out"), watch)
    assert [path.name for path in report.restored] == ["a.png", "b.png", "c.png"], report.failed


def test_a_large_picture_is_alone_in_memory(tmp_path, monkeypatch, restorer):
    events = []

    def reading(path):
        events.append(("read", path.name))
        return real_read(path)

    def writing(path, *rest):
        time.sleep(0.02)
        lost = real_write(path, *rest)
        events.append(("written", path.name))
        return lost

    real_read, real_write = folders.read_picture, folders.write_picture
    monkeypatch.setattr(folders, "read_picture", reading)
    monkeypatch.setattr(folders, "write_picture", writing)
    monkeypatch.setattr(folders, "LARGE", 1)
    folder_of(tmp_path / "in", ["a.png", "b.png"])
    assert run_jobs(plan_jobs([tmp_path / "in"], tmp_path / "out"), restorer).ok
    assert events == [("read", "a.png"), ("written", "a.png"), ("read", "b.png"), ("written", "b.png")]


# several processes


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_every_option_has_a_spelling_that_the_launchers_hand_on(launcher):
    if launcher == "torchrun":
        from torch.distributed.run import parse_args as parse
    else:
        from accelerate.commands.launch import launch_command_parser

        parse = launch_command_parser().parse_args

    def handed_on(option):
        given = ["restore", "photos/", "-o", "clean/", option, "x"]
        try:
            return parse(["-m", "restorekit", *given]).training_script_args == given
        except SystemExit:  # it takes the option for an abbreviation of one of its own
            return False

    options = [[o for o in parameter.opts if o.startswith("-")] for parameter in cli_restore.command.params]
    assert [names for names in options if names and not any(map(handed_on, names))] == []
    assert handed_on("--log-file")


def test_the_log_has_two_spellings(run, tmp_path):
    folder_of(tmp_path / "in", ["a.png"])
    for option, out in (("--log", "one"), ("--log-file", "two")):
        assert run(tmp_path / "in", "-o", tmp_path / out, option, tmp_path / f"{out}.jsonl").exit_code == 0
        assert [line["status"] for line in lines(tmp_path / f"{out}.jsonl")] == ["restored"]


def test_the_log_may_lie_in_the_folder_of_the_results(run, tmp_path):
    folder_of(tmp_path / "in", ["a.png"])
    log = tmp_path / "out" / "deep" / "log.jsonl"
    assert run(tmp_path / "in", "-o", tmp_path / "out", "--log", log).exit_code == 0
    assert [line["status"] for line in lines(log)] == ["restored"]


def test_processes_share_a_list_by_their_rank():
    assert [share(range(7), rank, 3) for rank in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    assert process_of({}) == (0, 1)
    assert process_of({"RANK": "2", "WORLD_SIZE": "3"}) == (2, 3)
    for wrong in ({"RANK": "3", "WORLD_SIZE": "3"}, {"RANK": "-1"}, {"WORLD_SIZE": "x"}):
        with pytest.raises(DataError, match="RANK"):
            process_of(wrong)


def test_what_processes_cannot_share_is_refused(run, tmp_path):
    folder_of(tmp_path, ["a.png"])
    many = {"RANK": "1", "WORLD_SIZE": "2"}
    for arguments, message in (
        (["--files-from", "-"], "name of a file"),
        ([tmp_path, "--preview"], "leave --preview out"),
    ):
        assert message in str(run(*arguments, "-o", tmp_path / "out", env=many).exception)
    assert "0 restored, 0 skipped" in run(tmp_path, "-o", tmp_path / "out", env=many).output


PROGRAM = """
import sys, time
from torch import nn
from restorekit.cli import restore
from restorekit.restoring import Restorer

class Slow(nn.Module):
    def forward(self, degraded):
        time.sleep(0.05)
        return 1 - degraded

restore.chosen_restorer = lambda **_: Restorer(Slow(), device="cpu", precision="fp32", tile=0)
restore.command(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_two_processes_share_forty_images_and_a_killed_one_takes_up_its_part(tmp_path):
    names = [f"{index:02}.png" for index in range(40)]
    folder_of(tmp_path / "in", names)

    def start(rank):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        arguments = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--log", str(tmp_path / "log")]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE, text=True
        )

    first, second = start(0), start(1)
    mine = {str(tmp_path / "in" / name) for name in names[1::2]}
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and second.poll() is None:
        log = tmp_path / "log"
        if log.exists() and sum(row["input"] in mine for row in lines(log)) >= 5:
            break
        time.sleep(0.01)
    second.kill()
    second.wait()
    assert "20 restored, 0 skipped, 0 failed" in first.communicate(timeout=200)[0]
    before = len(list((tmp_path / "out").glob("[0-9]*.png")))
    assert 25 <= before < 40
    told = start(1).communicate(timeout=200)[0]
    assert f"process 1 of 2: {40 - before} restored, {before - 20} skipped, 0 failed" in told
    assert {path.name for path in (tmp_path / "out").glob("[0-9]*.png")} == set(names)
    restored = [row["input"] for row in lines(tmp_path / "log") if row["status"] == "restored"]
    assert len(restored) == len(set(restored)), "no image was restored twice"
    assert len(restored) >= 39  # the one that was killed between its file and its line may have none
