"""Results on disk, one JSON line each, written as they come, so that an interrupted benchmark goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from restorekit.benchmark.records import (
    Cost,
    ImageRecord,
    ModelFacts,
    as_values,
    plain,
    read_cost,
    read_image,
)
from restorekit.benchmark.scoring import with_usual_scores
from restorekit.errors import DataError
from restorekit.files import write_text
from restorekit.jsonfile import json_lines

RESULTS = "results.jsonl"
OUTPUTS = "outputs"
EXPORTED = "exported"


class Store:
    """The lines of one output folder; those of other data, weights or settings are dropped, never mixed."""

    def __init__(self, folder: Path, label: str, fingerprint: str, fresh: bool = False) -> None:
        """Open `folder`, making it when needed.

        Raises `DataError` when it cannot be written, or holds results of a data set with another label.
        """
        self.folder = folder
        self.label = label
        self.fingerprint = fingerprint
        self.path = folder / RESULTS
        try:
            if fresh:
                self._clear()
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = self._read()
            self._rewrite()
        except OSError as error:
            raise DataError(f"output folder {folder} cannot be used: {error}; choose another with -o") from error

    def _clear(self) -> None:
        if not self.path.exists():
            return  # no benchmark's folder: what is in it belongs to someone else
        self.path.unlink()
        for folder in (self.folder / OUTPUTS, self.exported):
            if folder.is_dir():
                shutil.rmtree(folder)

    def _read(self) -> list[dict[str, object]]:
        if not self.path.exists():
            return []
        lines = []
        for line in json_lines(self.path):
            if line.get("dataset") != self.label:
                raise DataError(
                    f"{self.folder} holds results of {line.get('dataset')!r}, not of {self.label!r};"
                    " choose another folder with -o, or start anew with --fresh"
                )
            if line.get("fingerprint") == self.fingerprint:
                lines.append(line)
        return lines

    def _rewrite(self) -> None:
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in self._lines)
        write_text(self.path, text)

    def _append(self, line: dict[str, object]) -> None:
        self._lines.append(line)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error}; finished results are kept, run again to go on"
            ) from error

    def forget_stale(self, model: str, key: str) -> None:
        """Drop the lines of `model` that were made under another key."""
        kept = [line for line in self._lines if line.get("model") != model or line.get("key") == key]
        if len(kept) != len(self._lines):
            self._lines = kept
            self._rewrite()

    def images(self, model: str, key: str) -> dict[str, ImageRecord]:
        """Return the finished images of `model` under `key`, by name, with the scores that are always measured."""
        found = [line for line in self._lines if (line.get("model"), line.get("key")) == (model, key)]
        records = (read_image(line) for line in found)
        return {record.image: with_usual_scores(record) for record in records if record is not None}

    def cost(self, model: str, key: str, height: int, width: int) -> Cost | None:
        """Return the cost of `model` under `key` at one image size, when it was measured."""
        for line in self._lines:
            if (line.get("model"), line.get("key")) == (model, key):
                cost = read_cost(line)
                if cost is not None and (cost.height, cost.width) == (height, width):
                    return cost
        return None

    def add(self, record: ImageRecord | Cost, facts: ModelFacts, key: str) -> None:
        """Write one record, with what it depends on."""
        line = {
            "type": "cost" if isinstance(record, Cost) else "image",
            "key": key,
            "dataset": self.label,
            "fingerprint": self.fingerprint,
            **as_values(facts),
            **as_values(record),
        }
        self._drop_same(line)
        self._append(line)

    def add_scores(self, records: Iterable[ImageRecord]) -> None:
        """Write further scores of images that are in the results already, beside those that they have."""
        added = {(record.model, record.image): plain(record.scores) for record in records}
        for line in self._lines:
            found = added.get((line.get("model"), line.get("image")))  # type: ignore[arg-type]
            if found and line.get("type") == "image":
                line["scores"] = cast(dict[str, object], line["scores"]) | found
        self._rewrite()

    def _drop_same(self, line: dict[str, object]) -> None:
        """Forget an earlier line of the same image or cost, such as one whose restored picture was deleted."""
        fields = ("type", "model", "key", "image", "height", "width")
        kept = [old for old in self._lines if any(old.get(f) != line.get(f) for f in fields)]
        if len(kept) != len(self._lines):
            self._lines = kept
            self._rewrite()

    @property
    def exported(self) -> Path:
        """Where exported models are kept."""
        return self.folder / EXPORTED

    def output(self, model: str, image: str) -> Path:
        """Return where the restored image is kept."""
        return self.folder / OUTPUTS / model.replace("/", "-") / f"{image}.png"
