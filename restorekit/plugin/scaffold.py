"""Writing a new plugin package from the templates that travel in the wheel. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from restorekit.errors import PluginError
from restorekit.plugin.discovery import GROUP
from restorekit.plugin.registry import registry
from restorekit.version import __version__

TEMPLATE_KINDS = (
    "model",
    "generator",
    "discriminator",
    "loss",
    "metric",
    "prior",
    "dataset",
    "command",
    "tracker",
)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SUFFIX = ".tmpl"
_PREFIX = "restorekit-"
_PLACES = {"gitignore": ".gitignore", "ci.yml": ".github/workflows/ci.yml"}
_MODULES = {
    "model": "network",
    "generator": "network",
    "discriminator": "network",
    "loss": "loss",
    "metric": "metric",
    "prior": "prior",
    "dataset": "card",
    "command": "__init__",
    "tracker": "__init__",
}
_USAGE = {
    "model": "restorekit train $name --data FOLDER -o run --set steps=100",
    "loss": "restorekit train pix2pix --data FOLDER -o run --set losses.$name.weight=1",
    "metric": "restorekit metrics",
    "prior": "restorekit priors",
    "generator": "restorekit train pix2pix --data FOLDER -o run --set generator=$name",
    "discriminator": "restorekit train pix2pix --data FOLDER -o run --set discriminator=$name",
    "dataset": "restorekit data add $name FOLDER",
    "command": "restorekit $name attngan",
    "tracker": "restorekit train pix2pix --data FOLDER -o run --track $name",
}


def new_plugin(name: str, kind: str, target_dir: Path) -> Path:
    """Write the plugin `name` with one component of `kind` into `target_dir`, and return that folder.

    Raises `PluginError` for a name that is not valid or taken, an unknown kind, a folder that holds something
    already, and one that cannot be written.
    """
    name = plain_name(name)
    _check(name, kind, target_dir)
    values = _values(name, kind)
    try:
        for part in ("common", kind):
            for path, text in _templates(part):
                _write(target_dir / _renamed(path, values), Template(text).substitute(values))
        _write(target_dir / values["package"] / "py.typed", "")
    except OSError as error:
        raise PluginError(f"the plugin cannot be written to {target_dir}: {error}") from error
    return target_dir


def plain_name(name: str) -> str:
    """Return the plugin's name of ``restorekit-foo`` or ``foo``: the distribution's prefix is not doubled."""
    return name.removeprefix(_PREFIX)


def _check(name: str, kind: str, target_dir: Path) -> None:
    if kind not in TEMPLATE_KINDS:
        raise PluginError(f"there is no template for kind {kind!r}; use one of {', '.join(TEMPLATE_KINDS)}")
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"plugin name {name!r} is not valid; use lower-case letters, digits and single hyphens, beginning"
            " with a letter, such as 'my-model'"
        )
    if name in {plugin.name for plugin in registry().plugins}:
        raise PluginError(f"a plugin called {name!r} is installed already; take another name")
    if target_dir.exists() and (not target_dir.is_dir() or any(target_dir.iterdir())):
        raise PluginError(f"{target_dir} exists and is not an empty folder; choose another with -o")


def _values(name: str, kind: str) -> dict[str, str]:
    package = f"restorekit_{name.replace('-', '_')}"
    class_name = "".join(word.capitalize() for word in (*name.split("-"), _MODULES[kind]))
    return {
        "name": name,
        "kind": kind,
        "distribution": f"restorekit-{name}",
        "package": package,
        "module": _MODULES[kind],
        "class_name": class_name,
        "constant": name.replace("-", "_").upper(),
        "summary": f"The {kind} {name} for restorekit",
        "group": GROUP,
        "year": str(datetime.now(UTC).year),
        "restorekit_version": __version__,
        "usage": Template(_USAGE[kind]).substitute(name=name),
    }


def _templates(part: str) -> Iterator[tuple[PurePosixPath, str]]:
    """Yield path and text of each template of one part, in a fixed order."""

    def walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
        for item in sorted(folder.iterdir(), key=lambda i: i.name):
            if item.is_dir():
                yield from walk(item, path / item.name)
            elif item.name.endswith(_SUFFIX):
                yield path / item.name.removesuffix(_SUFFIX), item.read_text(encoding="utf-8")

    yield from walk(files("restorekit.plugin") / "templates" / part, PurePosixPath())


def _renamed(path: PurePosixPath, values: dict[str, str]) -> PurePosixPath:
    """Return where a template goes: ``package`` is the package, and test files are named after it."""
    if path.name in _PLACES:
        return PurePosixPath(_PLACES[path.name])
    parts = [values["package"] if part == "package" else part for part in path.parts]
    parts[-1] = parts[-1].replace("test_plugin", f"test_{values['package']}")
    return PurePosixPath(*parts)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
