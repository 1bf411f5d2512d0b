"""The example for Ray Data restores a folder on a local Ray, skips what is done, and lists what failed."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import restorekit

ray = pytest.importorskip("ray", reason="no wheel of ray for this Python: pip install 'ray[data]'")
pytest.importorskip("ray.data", reason="pip install 'ray[data]'")

EXAMPLE = Path(__file__).resolve().parents[1] / "docs/examples/corpus_ray.py"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
SETTINGS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # it would end workers for what other tests take
    "RAY_worker_niceness": "0",  # its workers' 15 lets them starve on a busy machine: no worker was up after 600 s
}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("corpus_ray", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["corpus_ray"] = module
    ray.cloudpickle.register_pickle_by_value(module)  # a worker does not find a module that was loaded from a path
    for name, value in SETTINGS.items():
        os.environ[name] = value
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    yield module
    ray.shutdown()
    del sys.modules["corpus_ray"]


def test_a_folder_is_restored_resumed_and_failures_are_listed(example, tmp_path, capsys):
    source, target = tmp_path / "photos", tmp_path / "clean"
    for folder in (source / "trip", target):
        folder.mkdir(parents=True)
    levels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for name in ("a.png", "trip/b.png"):
        Image.fromarray(levels).save(source / name)
    (source / "broken.png").write_text("no image")
    (source / "notes.txt").write_text("left out")
    (target / "a.png").write_text("restored before")

    failed = example.restore_corpus(str(source), str(target), "cgan")
    assert "2 files to restore, 1 there already" in capsys.readouterr().out
    assert list(failed) == ["broken.png"]
    assert "not an image" in failed["broken.png"]
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()) == ["a.png", "trip/b.png"]
    expected = np.asarray(restorekit.load("cgan").restore(Image.fromarray(levels)))
    assert (np.asarray(Image.open(target / "trip/b.png")) == expected).all()
    assert (target / "a.png").read_text() == "restored before"

    (source / "broken.png").unlink()
    assert example.restore_corpus(str(source), str(target), "cgan") == {}
    assert "0 files to restore, 2 there already" in capsys.readouterr().out
