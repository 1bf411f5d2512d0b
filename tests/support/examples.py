"""Runs the examples of the documentation: what a line means, and small stand-ins for the files that it names.

Every line of every shell example must be of a kind that `run_line` knows. Training is cut to one step of a narrow
network, and whatever works on pictures gets tiny ones; beyond that, lines are run as they stand.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import stand_ins
from click.testing import CliRunner
from hub import running_hub
from packaging.requirements import Requirement

from restorekit.cli.main import cli
from restorekit.engine.run.profiling import FIRST, STEPS

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_DONE: set[tuple[str, ...]] = set()  # lines that have run: what later lines need of them has stand-ins
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n\n)((?:(?: {4}.*)?\n)+)")

# What is parsed to the last option, but not run: by the words that it begins with, why.
NOT_RUN = {"serve": "runs until somebody stops it; tests of the page start it"}
# Scripts of the repository that take from minutes to days: that they exist and have the options is tested.
LONG = r"python (benchmarks|tests/support)/"
_UNET = ("generator.width=4", "generator.levels=5", "discriminator.width=4")
NARROW = {
    "attngan": ("generator.width=8", "generator.recurrent_width=8", "discriminator.width=8"),
    **dict.fromkeys(("pix2pix", "pix2pix-channel", "pix2pix-spatial", "pix2pix-both"), _UNET),
    **dict.fromkeys(("pix2pix-small", "pix2pix-balanced", "cgan"), ("generator.width=4", "generator.latent=8")),
    "remaen": ("generator.width=4",),
}


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield (language, code) of each block of a page in order; shell blocks need no language."""
    found = [(m.start(), m[1], m[2]) for m in _FENCE.finditer(text)]
    rest = _FENCE.sub(lambda m: "\n" * len(m[0]), text) + "\n"
    found += [(m.start(), "sh", m[1]) for m in _INDENTED.finditer(rest) if m[1].strip()]
    yield from ((language or "sh", code) for _, language, code in sorted(found))


def shell_lines(code: str) -> list[str]:
    """Return the lines of a shell block without comments, continued lines joined."""
    joined = code.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.strip().startswith("#")]


@cache
def _extras() -> dict[str, set[str]]:
    """Return the projects of this repository with their extras."""
    files = [
        REPOSITORY / "pyproject.toml",
        *REPOSITORY.glob("*/pyproject.toml"),
        *REPOSITORY.glob("*/*/pyproject.toml"),
    ]
    projects = [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in files]
    return {project["name"]: {*project.get("optional-dependencies", {})} for project in projects}


class Stage:
    """A folder in which the examples of one page are run in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def packages(self) -> Path | None:
        """Where an example has installed something."""
        folder = self.folder / stand_ins.PACKAGES
        return folder if folder.exists() else None

    def run_line(self, line: str) -> None:
        """Run one line, once for all pages. Fails when it fails, or when nobody knows what it means."""
        words = shlex.split(line, comments=True)
        if tuple(words) in _DONE and not self.packages and words[0] != "pip":
            return None
        if {"|", "<"} & {*words}:
            return self.piped(words, line)
        for pattern, method in _KINDS:
            if re.match(pattern, line):
                method(self, words)
                _DONE.add(tuple(words))
                return None
        pytest.fail(f"no rule of tests/support/examples.py says how to run this example: {line}")

    def pip(self, words: list[str]) -> None:
        if words[2] == "-e" or words[2].endswith(".whl"):
            return self._install(self.folder / words[-1])
        for word in words[2:]:
            wanted = Requirement(word)
            assert wanted.name in _extras(), f"no project of this repository is called {wanted.name}"
            offered = _extras()[wanted.name]
            assert wanted.extras <= offered, f"{word}: {wanted.name} has the extras {sorted(offered)}"
        return None

    def _install(self, project: Path) -> None:
        stand_ins.provide(self.folder, [str(project.relative_to(self.folder))])
        stand_ins.install(self.folder, project)

    def build(self, words: list[str]) -> None:
        stand_ins.provide(self.folder, words)
        self._process(sys.executable, "-m", "build", "--no-isolation", words[-1])

    def make(self, words: list[str]) -> None:
        self._process("make", "--dry-run", *words[1:], cwd=REPOSITORY)

    def venv(self, words: list[str]) -> None:
        self._process(sys.executable, *words[1:], "--without-pip")

    def shell(self, words: list[str]) -> None:
        line = shlex.join(words) if words[0] != "eval" else f'eval "{words[1]}"'
        self._process("bash", "-c", f"export PATH={shlex.quote(str(BIN))}:$PATH; {line}")

    def pre_commit(self, words: list[str]) -> None:
        self._process(str(BIN / "pre-commit"), words[1], "--help", cwd=REPOSITORY)

    def piped(self, words: list[str], line: str) -> None:
        """A line for the shell: pictures go in and out by pipes and files."""
        stand_ins.provide(self.folder, words)
        self._process("bash", "-c", f"set -o pipefail; export PATH={shlex.quote(str(BIN))}:$PATH; {line}")

    def runtime(self, words: list[str]) -> None:
        """The runtime's program, out of the files that its wheel is made of."""
        stand_ins.provide(self.folder, words)
        program = "import sys; from restorekit.runtime.main import main; sys.exit(main())"
        self._process(sys.executable, "-c", program, *words[1:])

    def long(self, words: list[str]) -> None:
        """A script of the repository that takes long: it exists, and has the options."""
        shown = self._process(sys.executable, words[1], "--help", cwd=REPOSITORY)
        own = words[2 : words.index("--")] if "--" in words else words[2:]
        for word in own:
            if re.match(r"--?[a-z]", word):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", shown), f"{words[1]} has no option {word}"

    def launched(self, words: list[str]) -> None:
        """A launcher of many processes: its own parser takes the line; what it starts is run in one process."""
        if words[0] == "torchrun":
            from torch.distributed.run import get_args_parser

            parsed = get_args_parser().parse_args(words[1:])
        else:
            from accelerate.commands.launch import launch_command_parser

            parsed = launch_command_parser().parse_args(words[2:])
        assert parsed.training_script == "restorekit"
        self.restorekit(["restorekit", *parsed.training_script_args])

    def restorekit(self, words: list[str]) -> None:
        words = words[words.index("restorekit") + 1 :]
        target = None
        if ">" in words:
            target, words = self.folder / words[-1], words[:-2]
        if any(" ".join(words).startswith(begin) for begin in NOT_RUN):
            return self.parse(words)
        if words[:2] == ["weights", "push"]:
            return self._pushed(words)
        stand_ins.provide(self.folder, words)
        apart = self.packages or words[0] == "export"  # the exporter's own warnings are not for this process
        words = _cheaper(words)
        stand_ins.clear_output(self.folder, words)
        shown = self._process(sys.executable, "-m", "restorekit", *words) if apart else _invoke(words)
        if target:
            target.write_text(shown, encoding="utf-8")
        return None

    def _pushed(self, words: list[str]) -> None:
        """Weights go to a hub that runs on this machine."""
        stand_ins.provide(self.folder, words)
        with running_hub() as hub:
            self._process(sys.executable, "-m", "restorekit", *words, cwd=self.folder, **hub.environment)
            assert hub.files

    def parse(self, words: list[str]) -> None:
        """Parse a command of restorekit to its last option, and do not run it."""
        command: click.Command = cli
        name = "restorekit"
        with cli.make_context(name, list(words), ignore_unknown_options=True, allow_extra_args=True) as context:
            while isinstance(command, click.Group):
                name, *words = words
                inner = command.get_command(context, name)
                assert inner is not None, name
                command = inner
            parser = command.make_parser(context)
            parser.parse_args(list(words))

    def _process(self, *command: str, cwd: Path | None = None, **variables: str) -> str:
        environment = stand_ins.environment(self.folder, self.packages) | variables
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout


_KINDS = (
    (r"(\w+=\S+ )*restorekit ", Stage.restorekit),
    (r"pip install ", Stage.pip),
    (r"make ", Stage.make),
    (r"python3 -m venv ", Stage.venv),
    (r"\. \S+/activate$|eval ", Stage.shell),
    (r"\.venv/bin/pre-commit ", Stage.pre_commit),
    (r"python -m build ", Stage.build),
    (LONG, Stage.long),
    (r"restorekit-runtime ", Stage.runtime),
    (r"torchrun |accelerate launch ", Stage.launched),
)


def _invoke(words: list[str]) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, f"restorekit {shlex.join(words)}\n{result.output}{result.exception!r}"
    return result.stdout


def _cheaper(words: list[str]) -> list[str]:
    """Return a command that does less: what the example says itself comes last, and counts."""
    if words[0] == "train":
        named = [word.removeprefix("generator=") for word in words if word.startswith("generator=")]
        narrow = NARROW.get(words[1], ())
        settings = [*narrow, "data.crop=64", "data.resize=0", "data.batch=2", *(f"generator={n}" for n in named)]
        less = [part for setting in settings for part in ("--set", setting)]
        steps = FIRST + STEPS if "--profile" in words else 1  # a trace needs its steps, a check takes its own
        stop = [] if "--check" in words else ["--max-steps", str(steps)]
        return [
            *words[:2],
            *less,
            "--device",
            "cpu",
            "--precision",
            "fp32",
            "--compile",
            "off",
            "-q",
            *words[2:],
            *stop,
        ]
    if words[0] == "benchmark":
        return [words[0], "--limit", "1", *words[1:]]
    if words[0] == "export" and "--weights" not in words:
        return [words[0], "cgan", *words[2:]]  # the model that is exported within seconds
    if words[0] == "restore" and "--budget-steps" in words:
        return [*words, "--budget-steps", "1"]
    if words[0] == "restore" and "--budget-seconds" in words:
        return [*words, "--budget-seconds", "1"]
    return [*words]
