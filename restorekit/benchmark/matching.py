"""Matching files that another program wrote to the images of a data set, by their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from restorekit.errors import DataError

Words = tuple[str, ...]

_EXACT, _STARTS, _HOLDS, _NUMBER = range(4)
_SHOWN = 5


def words_of(stem: str) -> Words:
    """Return the letters-and-digits parts of a stem in lower case: ``Rain-003_out`` -> rain, 003, out.

    Letters of any alphabet count, in one Unicode form: some file systems store an accent apart from its letter.
    """
    return tuple(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", stem).lower()))


def image_files(folder: Path) -> list[Path]:
    """Return the image files directly in `folder`, sorted. Raises `DataError` when there is none."""
    from restorekit.data.images import is_image_name

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that holds the restored images")
    found = sorted(p for p in folder.iterdir() if p.is_file() and is_image_name(p) and p.name[0] != ".")
    if not found:
        raise DataError(f"{folder} holds no image files; give the folder that holds the restored images")
    return found


def _last_number(words: Words) -> int | None:
    numbers = [int(n) for word in words for n in re.findall(r"\d+", word)]
    return numbers[-1] if numbers else None


def _holds(words: Words, part: Words) -> bool:
    return any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))


def _rank(stem: Words, name: Words) -> int | None:
    """Return how well a file stem fits an image name, 0 best, or None."""
    if stem == name:
        return _EXACT
    if name and stem[: len(name)] == name:
        return _STARTS
    return _HOLDS if name and _holds(stem, name) else None


def _best_name(stem: Words, names: dict[str, Words]) -> tuple[int, str] | None:
    """Return the image that a file is for: the best rank, then the longest name. None: none, or two alike."""
    ranked = sorted(
        (rank, -len(words), name) for name, words in names.items() if (rank := _rank(stem, words)) is not None
    )
    if not ranked or (len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]):
        return None
    return ranked[0][0], ranked[0][2]


def _by_number(paths: Sequence[Path], names: dict[str, Words]) -> list[tuple[str, Path]]:
    """Pair by the last number: ``3_restored.png`` for ``rain-003``; only numbers that one image has."""
    numbers = [(_last_number(words), name) for name, words in names.items()]
    known = [number for number, _ in numbers]
    unique: dict[int | None, str] = {
        number: name for number, name in numbers if number is not None and known.count(number) == 1
    }
    found = [(unique.get(_last_number(words_of(path.stem))), path) for path in paths]
    return [(name, path) for name, path in found if name is not None]


def match(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return image name -> file in `folder`, for the images that have one.

    A file belongs to the image whose name it has, begins with (``rain-003_out.png``) or contains; when no
    file does, the numbers in the names decide. Raises `DataError` for no match or two equally good ones.
    """
    paths = image_files(folder)
    words = {name: words_of(name) for name in names}
    ranked = [(best, path) for path in paths if (best := _best_name(words_of(path.stem), words))]
    candidates = [(rank, name, path) for (rank, name), path in ranked]
    if not candidates:
        candidates = [(_NUMBER, name, path) for name, path in _by_number(paths, words)]
    if not candidates:
        raise DataError(
            f"no file in {folder} belongs to an image of the data set."
            f" Files: {_listing([p.name for p in paths])}."
            f" Images: {_listing(names)}. Name each output after its image, such as {names[0]}.png"
        )
    matched: dict[str, Path] = {}
    for name in names:
        fitting = sorted((rank, path) for rank, found, path in candidates if found == name)
        if len(fitting) > 1 and fitting[0][0] == fitting[1][0]:
            raise DataError(
                f"two files are equally good for image {name!r}:"
                f" {fitting[0][1].name} and {fitting[1][1].name}; keep one of them"
            )
        if fitting:
            matched[name] = fitting[0][1]
    return matched


def _listing(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
