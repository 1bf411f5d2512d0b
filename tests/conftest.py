"""Shared by the tests: third-party packages made up on the import path, without pip."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium, open_page

from restorekit.notices import notice_once

__all__ = ["FakeSite", "chromium", "fake_site", "open_page"]

REPOSITORY = Path(__file__).resolve().parents[1]


class FakeSite:
    """A folder of installed packages, put in front of the import path of new processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, entry_points: str, version: str = "1.0", **modules: str) -> None:
        """Install a distribution: `entry_points` is its entry_points.txt, `modules` are name=source."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for name, source in modules.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(source))

    def plugin(self, name: str, source: str, group: str = "restorekit.v1") -> None:
        """Install the plugin `name` in the module fake_NAME."""
        module = f"fake_{name.replace('-', '_')}"
        self.add(f"restorekit-fake-{name}", f"[{group}]\n{name} = {module}\n", **{module: source})

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.folder), str(REPOSITORY)])
        environment = {
            **os.environ, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=False, env=environment,
            cwd=self.folder, timeout=300,
        )  # fmt: skip

    def restorekit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in a new process."""
        return self._run("-m", "restorekit", *arguments)

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program in a new process."""
        return self._run("-c", textwrap.dedent(program))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests check out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESTOREKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _nothing_was_said_yet() -> None:
    """Let each test hear what a process says once."""
    notice_once.cache_clear()


@pytest.fixture
def fake_site(tmp_path: Path) -> FakeSite:
    """An empty folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    return FakeSite(folder)
