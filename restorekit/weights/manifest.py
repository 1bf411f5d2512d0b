"""Shipped weights: a ``manifest.json`` in a plugin's package names each file and its SHA-256."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restorekit.errors import WeightsError
from restorekit.files import explained, write_text

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shipped:
    """One file of a manifest.

    `seen`: perceptual hashes (64 bits) of the real photographs of degraded scenes that it was trained on, which no
    benchmark may then judge it by. `gain`: dB that it gained over the degraded input when it was shipped, negative when
    it lost; None: not measured. `license`: an SPDX expression, of the weights alone.
    """

    model: str
    path: Path
    sha256: str
    seen: tuple[int, ...] = ()
    gain: float | None = None
    license: str = ""

    def facts(self) -> dict[str, str | float | list[str]]:
        """Return what the manifest holds of it."""
        values: dict[str, str | float | list[str]] = {"file": self.path.name, "sha256": self.sha256}
        if self.seen:
            values["seen"] = [f"{value:016x}" for value in self.seen]
        if self.gain is not None:
            values["gain"] = self.gain
        if self.license:
            values["license"] = self.license
        return values

    @classmethod
    def of(cls, model: str, folder: Path, item: Mapping[str, Any]) -> Shipped:
        """Return one item of the manifest in `folder`. Raises what a damaged one raises."""
        seen = tuple(int(value, 16) for value in item.get("seen", ()))
        gain = float(item["gain"]) if "gain" in item else None
        return cls(model, folder / item["file"], item["sha256"], seen, gain, str(item.get("license", "")))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_of(location: str) -> Path:
    """Return the folder that ``"package:folder"`` names, without importing the package's parents' contents.

    Raises `WeightsError` when the package is not installed.
    """
    package, _, folder = location.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"weights location {location!r}: there is no installed package {package!r}")
    return Path(next(iter(spec.submodule_search_locations))) / folder


def read_manifest(folder: Path) -> dict[str, Shipped]:
    """Return the manifest of a folder by model name; empty when there is none.

    Raises `WeightsError` when the manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {model: Shipped.of(model, folder, item) for model, item in values.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged ({error}); reinstall the plugin") from error


def verify(shipped: Shipped) -> None:
    """Raise `WeightsError` when a shipped file is absent or does not have its recorded SHA-256."""
    if not shipped.path.is_file():
        raise WeightsError(f"weights of {shipped.model!r} are missing: {shipped.path}; reinstall the plugin")
    found = file_sha256(shipped.path)
    if found != shipped.sha256:
        raise WeightsError(
            f"{shipped.path} is damaged: its SHA-256 is {found[:16]}… and the manifest says"
            f" {shipped.sha256[:16]}…; reinstall the plugin"
        )


def add_to_manifest(
    folder: Path, model: str, file: str, seen: Iterable[int] = (), gain: float | None = None, license: str = ""
) -> None:
    """Record a file of the folder as the weights of `model`; the rest as in `Shipped`. A known licence stays."""
    known = read_manifest(folder)
    terms = license or (known[model].license if model in known else "")
    known[model] = Shipped(model, folder / file, file_sha256(folder / file), tuple(seen), gain, terms)
    values = {name: shipped.facts() for name, shipped in sorted(known.items())}
    with explained(folder / MANIFEST, WeightsError):
        write_text(folder / MANIFEST, json.dumps(values, indent=2) + "\n")
