"""Signals, kills, launchers and the preflight, through the command line, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import kill_test
import pytest
import torch

from restorekit.engine.run.stopping import APART, StopRequest

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 500.0
SMALL = [
    f"--set={field}"
    for field in (
        "generator.width=4", "generator.stages=1", "data.crop=16", "data.batch=2", "precision=fp32", "ema=0.9",
    )
]  # fmt: skip
COMMAND = """
sys.argv = ["restorekit", *ARGUMENTS]
from restorekit.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def data(lab, tmp_path_factory) -> Path:
    return lab.folder(tmp_path_factory.mktemp("data"), 6)


def arguments(data: Path, run: Path, steps: int, *more: str) -> list[str]:
    base = ["train", "remaen", "--data", str(data), "--val", "none", "-o", str(run), "--device", "cpu"]
    return [*base, *SMALL, f"--set=steps={steps}", "--set=save_every=2", *more]


def wait_for(condition, process: BaseProcess) -> None:
    started = time.monotonic()
    while not condition():
        assert process.is_alive(), "it has ended before"
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.005)


def finished(lab, tmp_path: Path, given: list[str]) -> str:
    """Run a command to its end, in order; return what it printed."""
    output = tmp_path / f"output-{len(list(tmp_path.iterdir()))}.txt"
    process = lab.start(COMMAND, output, ARGUMENTS=given)
    process.join(PATIENCE)
    assert process.exitcode == 0, output.read_text()
    return output.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_gives_the_conventional_exit_code(lab, data: Path, tmp_path: Path, number: int, code: int):
    run, steps = tmp_path / "run", 60
    process = lab.start(COMMAND, tmp_path / "first.txt", ARGUMENTS=arguments(data, run, steps))
    wait_for(lambda: list(run.glob("checkpoints/*.pt")), process)
    os.kill(int(process.pid or 0), number)
    process.join(PATIENCE)
    assert process.exitcode == code, (tmp_path / "first.txt").read_text()
    status = json.loads((run / "status.json").read_text())
    assert 0 < status["step"] < steps
    assert not status["completed"]
    assert f"stopped after step {status['step']}" in (tmp_path / "first.txt").read_text()
    assert f"finished after step {steps}" in finished(lab, tmp_path, arguments(data, run, steps))
    finished(lab, tmp_path, arguments(data, tmp_path / "whole", steps))
    one, other = lab.weights(run), lab.weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_second_interrupt_is_immediate_but_an_echo_is_not():
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop.asked
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # a launcher passes on what the terminal has sent already
        assert stop.signal == signal.SIGINT
        stop._when -= 2 * APART
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
@pytest.mark.parametrize(("model", "kills"), [("remaen", 5), ("pix2pix-small", 2)])
def test_sigkill_loses_only_what_was_not_saved(tmp_path: Path, model: str, kills: int):
    """At random moments; readable checkpoints each time, and identical weights at the end."""
    seen = kill_test.kill_test(tmp_path, model, kills)
    assert seen.kills == kills
    assert seen.identical
    assert max(seen.lost) < kill_test.SAVE_EVERY + 1


def test_kill_test_notices_a_lost_checkpoint(tmp_path: Path):
    with pytest.raises(AssertionError, match="step 5 was reported, and the newest checkpoint"):
        kill_test._check(tmp_path, 5, steps=8)
    assert kill_test._check(tmp_path, 2, steps=2) == 2  # the last step is saved when the run ends


@pytest.mark.slow
def test_check_tries_everything_and_trains_nothing(lab, data: Path, tmp_path: Path):
    given = arguments(data, tmp_path / "run", 5000, "--check")
    given[given.index("none")] = str(data)
    text = finished(lab, tmp_path, given)
    assert "2 steps, an evaluation, a save and a load: fine, on cpu in fp32" in text
    assert re.search(r"time: \S+ s a step, \S+ s an evaluation, about .* for 5000 steps", text)
    assert re.search(r"memory: \d+\.\d+ GiB at the peak; a checkpoint takes \d+\.\d MiB", text)
    losses = re.search(r"loss (\S+) -> (\S+) in \d+ steps; it learns", text)
    assert losses is not None
    assert float(losses[2]) < float(losses[1])
    assert not (tmp_path / "run").exists()


def test_check_says_when_it_does_not_learn(lab, tmp_path: Path):
    """A rate that is far too high drives the loss up."""
    from restorekit.engine import Options
    from restorekit.engine.run.preflight import preflight

    recipe = lab.recipe("remaen", "optim.generator.lr=10")
    found = preflight(recipe, lab.images(), None, Options(device="cpu"))
    assert not found.learns
    assert "does NOT learn" in found.lines(recipe)[-1]


def test_check_of_a_gan_watches_what_the_critic_does_not_judge(lab):
    from restorekit.engine.run.preflight import watched_terms

    assert watched_terms(lab.recipe("pix2pix")) == ("generator", {"l1": 100.0})
    assert watched_terms(lab.recipe("cgan")) == ("discriminator", {"critic": 1.0})


@pytest.mark.slow
def test_profile_writes_a_trace_and_a_summary(lab, data: Path, tmp_path: Path):
    text = finished(lab, tmp_path, arguments(data, tmp_path / "run", 12, "--profile"))
    assert re.search(r"profile of 5 steps, \S+ ms each; \d+ % of it waiting for data", text)
    assert "convolution" in text
    assert len(text.splitlines()) < 40
    assert json.loads((tmp_path / "run" / "trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize("steps", [2, 4])
def test_too_short_a_run_says_why_there_is_no_profile_and_leaves_no_trace_running(lab, tmp_path: Path, steps: int):
    result = lab.train(lab.recipe("remaen", f"steps={steps}"), tmp_path / "run", profile=True)
    assert result.report == f"no profile: it needs 8 steps, and {steps} were made"
    assert not torch.autograd._profiler_enabled()  # else the process crashes when it exits


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    "accelerate": ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
                   "--mixed_precision", "no", "--dynamo_backend", "no"),
}  # fmt: skip


def launch(launcher: tuple[str, ...], given: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", *launcher, "-m", "restorekit", *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a launcher; return what was printed."""
    try:
        printed, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return printed


def alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[n], other[n], rtol=0, atol=tolerance) for n in one)


@pytest.mark.slow
def test_two_nodes(lab, data: Path, tmp_path: Path):
    """Two agents on loopback, each with a folder of its own: bit for bit what two processes of one node give."""
    sgd = "--set=optim.generator.name=sgd"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = ("--master-addr", "127.0.0.1", "--master-port", str(free.getsockname()[1]))
    agents = [
        launch(
            ("torch.distributed.run", "--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1", *address),
            arguments(data, tmp_path / f"node-{node}" / "run", 4, sgd),
        )
        for node in (0, 1)
    ]
    assert [ended(agent).count("finished after step 4") for agent in agents] == [1, 0]
    assert not (tmp_path / "node-1").exists()
    for process in lab.together(COMMAND, tmp_path, ARGUMENTS=arguments(data, tmp_path / "one-node", 4, sgd)):
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert alike(lab.weights(tmp_path / "node-0" / "run"), lab.weights(tmp_path / "one-node"), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers(lab, data: Path, tmp_path: Path, launcher: str):
    """The same weights, within rounding, as one process gives."""
    given = arguments(data, tmp_path / "two", 4, "--set=optim.generator.name=sgd")
    assert ended(launch(LAUNCHERS[launcher], given)).count("finished after step 4") == 1
    finished(lab, tmp_path, arguments(data, tmp_path / "one", 4, "--set=optim.generator.name=sgd"))
    assert alike(lab.weights(tmp_path / "one"), lab.weights(tmp_path / "two"), 1e-5)
