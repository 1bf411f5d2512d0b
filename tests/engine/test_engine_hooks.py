"""Trackers follow the runs that name them, from the start to the end or the failure; their faults stop nothing."""

from __future__ import annotations

import pytest

from restorekit.errors import UnknownNameError
from restorekit.plugin import hookimpl
from restorekit.plugin.hooks import LOG, Hooks
from restorekit.plugin.registry import registry


class Tracker:
    def __init__(self, raises: dict[str, BaseException]) -> None:
        self.calls: list[str] = []
        self.raises = raises

    def note(self, name: str, *facts: object) -> None:
        self.calls.append(" ".join(map(str, (name, *facts))))
        if name in self.raises:
            raise self.raises[name]

    @hookimpl
    def run_started(self, recipe):
        self.note("started", recipe["name"])

    @hookimpl
    def step_logged(self, step, values):
        self.note("logged", step, *sorted(values)[:1])

    @hookimpl
    def evaluated(self, step, scores, samples):
        self.note("evaluated", step, "psnr-rgb" in scores, samples.is_dir())

    @hookimpl
    def checkpoint_saved(self, step, weights):
        self.note("saved", step, weights.is_file())

    @hookimpl
    def run_finished(self, step, completed):
        self.note("finished", step, completed)

    @hookimpl
    def run_failed(self, step, error):
        self.note("failed", step, type(error).__name__)


@pytest.fixture
def tracker(request):
    manager = registry().manager
    found = Tracker(getattr(request, "param", {}))
    manager.register(found, name="follower")
    yield found
    manager.unregister(found)


def test_only_the_trackers_that_a_run_asked_for_follow_it(lab, tracker, tmp_path):
    recipe = lab.recipe("remaen", "steps=3", "eval_every=2")
    lab.train(recipe, tmp_path / "alone")
    assert tracker.calls == []
    followed = {"track": ("follower",), "log_every": 1}
    lab.train(recipe, tmp_path / "run", 2, validation=lab.images(1, first=9), **followed)
    assert (
        tracker.calls
        == [
            "started remaen",
            "evaluated 0 True True" if "evaluated 0 True True" in tracker.calls else "",
            *[call for call in tracker.calls if call.startswith("logged")],
        ]
        or tracker.calls[0] == "started remaen"
    )
    assert "evaluated 2 True True" in tracker.calls
    assert tracker.calls[-2:] == ["saved 2 True", "finished 2 False"]
    tracker.calls.clear()
    lab.train(recipe, tmp_path / "run", validation=lab.images(1, first=9))  # it goes on, and is followed as before
    assert tracker.calls[0] == "started remaen"
    assert tracker.calls[-1] == "finished 3 True"


def test_a_run_that_fails_says_so(lab, tracker, tmp_path):
    def broken(step, values):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        lab.train(lab.recipe("remaen", "steps=3"), tmp_path / "run", track=("follower",), on_step=broken)
    assert tracker.calls[-1] == "failed 1 OSError"


@pytest.mark.parametrize("tracker", [{"logged": SystemExit(3), "started": ValueError("no address")}], indirect=True)
def test_a_failing_hook_is_told_once_and_stops_nothing(lab, tracker, tmp_path, caplog):
    lab.train(lab.recipe("remaen", "steps=3"), tmp_path / "run", track=("follower",), log_every=1)
    assert tracker.calls[-1] == "finished 3 True"
    told = caplog.text
    assert told.count("hook step_logged of plugin 'follower' failed (SystemExit: 3, in ") == 1
    assert "run_started of plugin 'follower' failed (ValueError: no address, in " in told
    assert "test_engine_hooks.py:" in told
    log = (tmp_path / "run" / LOG).read_text()
    assert log.count("Traceback") == 4
    assert "raise self.raises[name]" in log


def test_an_unknown_tracker_is_refused(tracker, tmp_path):
    with pytest.raises(UnknownNameError, match=r"no plugin called 'folower' follows runs\. Did you mean 'follower'"):
        Hooks(registry().manager, ["folower"], tmp_path)


class Grabby:
    @hookimpl
    def run_started(self, recipe):
        recipe["losses"]["l1"] = None

    @hookimpl
    def step_logged(self, values):
        values.clear()


def test_a_tracker_that_changes_what_it_is_told_changes_it_for_itself_alone(tmp_path):
    manager = registry().manager
    recipe, values = {"losses": {"l1": {"weight": 1.0}}}, {"generator/l1": 0.5}
    manager.register(Grabby(), name="grabby")
    try:
        hooks = Hooks(manager, ["grabby"], tmp_path)
        hooks.call("run_started", run=tmp_path, recipe=recipe)
        hooks.call("step_logged", run=tmp_path, step=1, values=values)
    finally:
        manager.unregister(name="grabby")
    assert not (tmp_path / LOG).exists()
    assert recipe == {"losses": {"l1": {"weight": 1.0}}}
    assert values == {"generator/l1": 0.5}
