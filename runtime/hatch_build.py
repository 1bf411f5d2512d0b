"""Builds ``restorekit_runtime`` from restorekit's own files: those that ``restorekit.runtime`` imports.

Each file is taken as it is, except that the package is called ``restorekit_runtime`` in its imports: both can be
installed side by side, and neither owns a file of the other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLD, NEW = "restorekit", "restorekit_runtime"
START = ("restorekit.runtime", "restorekit.runtime.main")
LAZY = "restorekit/data/images"  # a package that imports its modules on first use
FRONT = '''"""Restores photographs with models exported from restorekit, without PyTorch."""

import sys

from restorekit_runtime.runtime.main import main
from restorekit_runtime.runtime.restorer import OnnxRestorer
from restorekit_runtime.version import __version__

__all__ = ["OnnxRestorer", "__version__", "main", "program"]


def program() -> None:
    """Run ``restorekit-runtime`` and exit."""
    sys.exit(main())
'''


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    """Fills the wheel; puts the files into the source package, so that a wheel can be built from that too."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to what is built."""
        root = Path(self.root)
        source = root if (root / OLD).is_dir() else root.parent
        files = sorted(needed(source))
        if self.target_name == "sdist":
            build_data["force_include"].update({str(source / name): name for name in files})
            return
        made = Path(self.directory) / "restorekit-runtime-files"
        for name in files:
            _write(made / name, renamed((source / name).read_text(encoding="utf-8")))
        _write(made / OLD / "__init__.py", FRONT)
        _write(made / OLD / "py.typed", "")
        for path in made.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = str(NEW / path.relative_to(made / OLD))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made for the wheel."""
        import shutil

        shutil.rmtree(Path(self.directory) / "restorekit-runtime-files", ignore_errors=True)


def renamed(text: str) -> str:
    """Return a module with its imports from restorekit pointing into the new package."""
    return re.sub(rf"^(\s*(?:from|import) ){OLD}(?=[. ])", rf"\1{NEW}", text, flags=re.MULTILINE)


def needed(source: Path) -> set[str]:
    """Return the files, relative to `source`, that are imported, directly or not, when the runtime starts."""
    found: set[str] = set()
    waiting = [*START, *(f"{LAZY.replace('/', '.')}.{path.stem}" for path in (source / LAZY).glob("[!_]*.py"))]
    while waiting:
        module = waiting.pop()
        for name in _files(source, module):
            if name not in found:
                found.add(name)
                waiting += _imported((source / name).read_text(encoding="utf-8"))
    return found


def _files(source: Path, module: str) -> list[str]:
    """Return the file of a module and those of the packages above it, except restorekit's own and `restoring`'s.

    These two import the rest of restorekit; the runtime has a front of its own.
    """
    parts = module.split(".")
    packages = ["/".join(parts[:depth]) + "/__init__.py" for depth in range(2, len(parts) + 1)]
    names = [name for name in [*packages, "/".join(parts) + ".py"] if (source / name).is_file()]
    return [name for name in names if name != f"{OLD}/restoring/__init__.py"]


def _imported(text: str) -> Iterator[str]:
    """Yield restorekit's modules that a module imports when it is imported itself."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == OLD:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
