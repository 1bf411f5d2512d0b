"""The documentation's two plugins of their own tasks train, restore and are benchmarked; the core knows of neither."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plugins" / "examples.md"
_FILE = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAM = """
import json, sys
from restorekit.cli.main import cli
for words in json.loads(COMMANDS):
    print("$", *words, flush=True)
    try:
        cli(words, standalone_mode=False)
    except SystemExit as end:
        assert not end.code, end.code
"""


def install(site, name: str, package: str) -> None:
    """Install one of the page's packages with its entry point."""
    for path, text in _FILE.findall(PAGE.read_text(encoding="utf-8")):
        if path.startswith(f"{package}/"):
            (site.folder / path).parent.mkdir(exist_ok=True)
            (site.folder / path).write_text(text, encoding="utf-8")
    site.add(package.replace("_", "-"), f"[restorekit.v1]\n{name} = {package}\n")


@pytest.mark.parametrize(
    ("name", "package", "dataset"),
    [("denoise", "restorekit_denoise", "noise"), ("dehaze", "restorekit_haze", "haze")],
)
def test_an_example_trains_restores_and_is_benchmarked(fake_site, name, package, dataset):
    install(fake_site, name, package)
    photos = fake_site.folder / "photos"
    photos.mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 64), Image.Resampling.BICUBIC).save(photos / f"{index}.png")
    small = ["--set", "steps=2", "--set", "data.crop=32", "--set", "data.batch=2", "--set", "precision=fp32"]
    commands = [
        ["train", name, "--data", "photos", "-o", "run", "--device", "cpu", "-q", *small],
        ["restore", "photos/0.png", "-m", name, "--weights", "run", "-o", "clean", "--device", "cpu"],
        ["benchmark", "--models", name, "--weights", f"{name}=run", "--dataset", f"{dataset}@builtin", "--limit", "1",
         "--device", "cpu", "-o", "table"],
    ]  # fmt: skip
    done = fake_site.python(_PROGRAM.replace("COMMANDS", repr(json.dumps(commands))))
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((fake_site.folder / "clean").rglob("*.png"))
    table = (fake_site.folder / "table" / "table.md").read_text()
    assert name in table
    assert f"{dataset}@builtin" in table
