"""Set the version of all packages, or check it.

python benchmarks/tools/set_version.py 0.2.0
python benchmarks/tools/set_version.py --check 0.2.0
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from build_wheels import REPOSITORY, projects

_PLACES = {"pyproject.toml": 'version = "{}"', "version.py": '__version__ = "{}"', "CITATION.cff": "version: {}"}


def places() -> list[Path]:
    """Return the files that state the version, one statement each."""
    plain = [REPOSITORY / "restorekit" / "version.py", REPOSITORY / "CITATION.cff"]
    return [*plain, *(folder / "pyproject.toml" for folder in projects())]


def _pattern(path: Path) -> re.Pattern[str]:
    before, after = (re.escape(part) for part in _PLACES[path.name].split("{}"))
    return re.compile(rf"^{before}([^\"\n]+){after}$", re.MULTILINE)


def stated(path: Path) -> str:
    """Return the version that a file states. Raises `SystemExit` when it states none, or several."""
    found = _pattern(path).findall(path.read_text(encoding="utf-8"))
    if len(found) != 1:
        raise SystemExit(f"{path} states {len(found)} versions; one is expected")
    return str(found[0])


def set_version(path: Path, version: str) -> None:
    """Write `version` in place of the one that a file states."""
    stated(path)
    text = _pattern(path).sub(lambda match: _PLACES[path.name].format(version), path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Set or check the version; exits with 1 when a file states another one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where another version is stated")
    given = parser.parse_args()
    if not given.check:
        for path in places():
            set_version(path, given.version)
    wrong = [f"{path}: {stated(path)}" for path in places() if stated(path) != given.version]
    if wrong:
        raise SystemExit(f"not {given.version}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
