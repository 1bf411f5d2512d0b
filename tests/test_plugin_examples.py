"""The documentation's two plugins of their own tasks learn, restore and are benchmarked; the core knows of neither."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from examples import blocks, shell_lines
from PIL import Image, ImageChops, ImageStat

from restorekit.plugin.registry import registry

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plugins" / "examples.md"
BLOCKS = list(blocks(PAGE.read_text(encoding="utf-8")))
FILES = [code for language, code in BLOCKS if language == "python" and code.startswith("# restorekit_")]
[PHOTOGRAPHS] = [code for language, code in BLOCKS if language == "python" and code not in FILES]
LINES = [line for language, code in BLOCKS if language == "sh" for line in shell_lines(code)]
# The page trains 1,000 steps, and 600.
QUICK = {"denoise": ("steps=80", "data.crop=64"), "dehaze": ("steps=250", "data.crop=160")}
SHORT = ["--set", "precision=fp32", "--device", "cpu", "-q"]
_PROGRAM = """
import json
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
    for code in FILES:
        path, _, text = code.removeprefix("# ").partition("\n")
        if path.startswith(f"{package}/"):
            (site.folder / path).parent.mkdir(exist_ok=True)
            (site.folder / path).write_text(text, encoding="utf-8")
    site.add(package.replace("_", "-"), f"[restorekit.v1]\n{name} = {package}\n")


def commands_of(name: str) -> list[list[str]]:
    """Return the page's commands for one of its models, in their order, with fewer steps of training."""
    found = [shlex.split(line)[1:] for line in LINES if re.search(rf"\b{name}\b", line)]
    less = [word for setting in QUICK[name] for word in ("--set", setting)]
    return [[*words, *SHORT, *less] if words[0] == "train" else words for words in found]


def error(one: Path, other: Path) -> float:
    """Return the mean absolute difference of two pictures, in levels of 0..255."""
    pictures = [Image.open(path).convert("RGB") for path in (one, other)]
    values = ImageStat.Stat(ImageChops.difference(*pictures)).mean
    return sum(values) / len(values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "package", "task", "pairs", "restored"),
    [
        ("denoise", "restorekit_denoise", "noise", "noisy", "denoised"),
        ("dehaze", "restorekit_haze", "haze", "hazy-pairs", "clear"),
    ],
)
def test_an_example_learns_restores_and_is_benchmarked(fake_site, name, package, task, pairs, restored):
    install(fake_site, name, package)
    made = fake_site.python(PHOTOGRAPHS)
    assert made.returncode == 0, made.stderr
    written = [line for line in LINES if f"--task {task} " in line]
    commands = [*(shlex.split(line)[1:] for line in written), *commands_of(name)]
    assert [words[0] for words in commands] == ["data", "train", "restore", "benchmark"]
    done = fake_site.python(_PROGRAM.replace("COMMANDS", repr(json.dumps(commands))))
    assert done.returncode == 0, done.stdout + done.stderr
    for photo in ("coast", "cat"):
        clean, degraded = (fake_site.folder / pairs / side / f"{photo}.png" for side in ("clean", "degraded"))
        [picture] = (fake_site.folder / restored).rglob(f"{photo}.png")
        assert error(picture, clean) < 0.8 * error(degraded, clean)
    [summary] = fake_site.folder.glob("benchmark-*/summary.json")
    values = json.loads(summary.read_text())
    assert values["dataset"] == f"{pairs}@folder"
    [row] = [row for row in values["rows"] if row["model"] == name]
    assert row["images"] == 3
    assert row["gains"]["psnr-rgb"]["mean"] > 2
    assert row["gains"]["psnr-rgb"]["low"] > 0


def test_the_core_declares_no_task_of_the_examples():
    core = [c for kind in ("task", "synthesizer") for c in registry().components(kind) if c.plugin.name == "core"]
    assert {component.entry.name for component in core} == {"raindrop", "rain-streak"}
