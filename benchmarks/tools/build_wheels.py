"""Build the source packages and wheels of all projects: python benchmarks/tools/build_wheels.py FOLDER."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def projects() -> list[Path]:
    """Return the folders of all projects of the repository, the core first."""
    found = [REPOSITORY, *sorted((REPOSITORY / "plugins").glob("restorekit-*")), REPOSITORY / "runtime"]
    return [folder for folder in found if (folder / "pyproject.toml").is_file()]


def main() -> None:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    for project in projects():
        subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(project)], check=True)


if __name__ == "__main__":
    main()
