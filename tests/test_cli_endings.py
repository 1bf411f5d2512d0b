"""How commands end: one sentence and a log where the system fails, 130 after Ctrl-C, no traceback on the screen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from restorekit.cli import ending
from restorekit.cli.score import score
from restorekit.data.checked import cache_folder
from restorekit.data.store import data_root
from restorekit.engine.runtime import Runtime
from restorekit.errors import RestorekitError, TrainingError
from restorekit.weights.find import user_folder


def ends(run, capsys):
    """Return the exit code and what stood on the error stream."""
    with pytest.raises(SystemExit) as end:
        ending.guarded(run)
    return end.value.code, capsys.readouterr().err


def raising(error):
    def run():
        raise error

    return run


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    folder = tmp_path / "logs"
    monkeypatch.setattr(ending, "_places", lambda: iter([folder]))
    monkeypatch.setattr(ending, "_silence", lambda: None)  # the test's own output goes on
    return folder


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(40, "Too many levels of symbolic links", "/x/loop"),
            "/x/loop: Too many levels of symbolic links; remove",
        ),
        (OSError(36, "File name too long", "/x/" + "n" * 400), "File name too long; choose a shorter name"),
        (PermissionError(13, "Permission denied", b"/x/\xff"), "/x/\\udcff: Permission denied; change its permissions"),
        (OSError(28, "No space left on device"), "input or output: No space left on device; free some space"),
        (OSError("strange"), "strange"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (MemoryError(), "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "memory ran out"),
    ],
)
def test_faults_of_the_system_are_one_sentence_with_a_log(error, said, logs, capsys):
    code, err = ends(raising(error), capsys)
    assert code == 1
    assert err.count("\n") == 1
    assert said in err
    assert len(err) < 700
    log = Path(re.search(r"the traceback is in (.*)\)", err)[1])
    assert log.parent == logs
    assert "in run\n" in log.read_text()


def test_without_a_place_for_the_log_the_sentence_still_comes(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(ending, "_places", lambda: iter([tmp_path / "file"]))
    assert ends(raising(MemoryError()), capsys)[1].endswith("(no file for the traceback could be written)\n")


def test_ctrl_c_is_130_and_other_exit_codes_stay(capsys):
    assert ends(raising(KeyboardInterrupt()), capsys) == (130, "Interrupted.\n")
    assert ends(raising(SystemExit(3)), capsys)[0] == 3
    assert ends(lambda: 1, capsys)[0] == 1
    assert ends(lambda: None, capsys)[0] == 0


def test_a_bug_is_no_sentence():
    with pytest.raises(ZeroDivisionError):
        ending.guarded(lambda: 1 / 0)


PROGRAM = [sys.executable, "-m", "restorekit"]


def run(*arguments, **settings):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings.pop("env", {})}
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=300, env=environment, **settings
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_standard_output_is_said(tmp_path):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*PROGRAM, "losses"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        )  # fmt: skip
    assert ended.returncode == 1
    assert "No space left on device; free some space" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_ctrl_c_in_a_command(fake_site):
    fake_site.plugin("slow", """
        import os, signal
        from restorekit.plugin import Entry, hookimpl
        @hookimpl
        def restorekit_entries():
            os.kill(os.getpid(), signal.SIGINT)
            import time
            time.sleep(60)
    """)  # fmt: skip
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, children ignore it too
    try:
        ended = fake_site.restorekit("models")
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.returncode == 130
    assert ended.stderr.strip() == "Interrupted."


def test_names_that_are_too_long_and_users_that_are_not_there(tmp_path):
    long = run("data", "check", "n" * 300, cwd=tmp_path)
    assert long.returncode == 1
    assert "Traceback" not in long.stderr
    assert "nnn" in long.stderr


@pytest.mark.parametrize(
    ("variable", "function"),
    [
        ("RESTOREKIT_DATA", data_root),
        ("RESTOREKIT_WEIGHTS", user_folder),
        ("RESTOREKIT_CACHE", cache_folder),
    ],
)
def test_folders_of_unknown_users_are_named(variable, function, monkeypatch):
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    with pytest.raises(RestorekitError, match=f"{variable} is '~nobody-of-this-name/x'"):
        function()


@pytest.mark.parametrize(("size", "said"), [("2", "MASTER_ADDR"), ("two", "WORLD_SIZE is 'two'")])
def test_half_a_launcher_is_named(size, said, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", size)
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingError, match=said):
        Runtime("cpu")


def test_a_cache_of_an_unknown_user_is_named_before_anything_is_scored(tmp_path, monkeypatch):
    for side in ("input", "target"):
        (tmp_path / side).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / side / "a.png")
    monkeypatch.setenv("RESTOREKIT_CACHE", "~nobody-of-this-name/x")
    monkeypatch.setattr("restorekit.benchmark.foreign.score_pixels", lambda *_: pytest.fail("it was scored"))
    ended = CliRunner().invoke(score, [str(tmp_path / "input"), "--dataset", str(tmp_path)])
    assert isinstance(ended.exception, RestorekitError)
    assert "RESTOREKIT_CACHE is '~nobody-of-this-name/x'" in str(ended.exception)
