"""An environment of its own for installed packages, on top of the one in which the tests run; without network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class OwnEnvironment:
    """A virtual environment in `folder`; commands run in `place`, and see only the plugins of these names."""

    def __init__(self, folder: Path, place: Path, plugins: str) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.place = place
        self.python = folder / "bin" / "python"
        self.packages = next((folder / "lib").glob("python*")) / "site-packages"
        outer = [path for path in sys.path if path.endswith("site-packages")]
        (self.packages / "outer.pth").write_text("\n".join([*outer, str(REPOSITORY)]) + "\n")
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.variables = kept | {"RESTOREKIT_PLUGINS": plugins, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}

    def run(self, *words: str, **variables: str) -> str:
        """Run ``python -m WORDS``; return what it prints. Fails with all output when it ends with another code than 0."""
        done = subprocess.run(
            [str(self.python), "-m", *words], cwd=self.place, env=self.variables | variables,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install(self, *what: str) -> None:
        """Install packages from folders and wheels."""
        self.run("pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index", *what)
