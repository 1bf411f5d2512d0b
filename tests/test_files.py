"""Writing a file in one place: whole or not at all, and no room does it in its own way."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest

import restorekit
from restorekit.errors import DataError, TrainingError, WeightsError
from restorekit.files import explained, make_folder, write_by_name, write_file, write_text
from restorekit.weights.files import write_whole

CORE = Path(restorekit.__file__).parent
RENAME = {"restorekit/files.py", "restorekit/serve/api.py"}  # the page gives a finished file its name


def _fill(path: Path) -> None:
    path.write_bytes(b"new")


WAYS = {
    "file": lambda path: write_file(path, lambda file: file.write(b"new")),
    "name": lambda path: write_by_name(path, _fill),
    "text": lambda path: write_text(path, "new"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_contents_are_on_the_disk_before_the_name_is(way, tmp_path, monkeypatch):
    """Renamed first, a power failure would leave an empty file under the new name."""
    path, synced = tmp_path / "a", []
    path.write_bytes(b"old")

    def watched(descriptor: int) -> None:
        assert path.read_bytes() == b"old"
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    way(path)
    assert synced == [3]
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError("x")], ids=repr)
@pytest.mark.parametrize("write", [write_file, write_by_name])
def test_failure_leaves_what_was_there_and_nothing_else(write, error, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def half(place) -> None:
        place.write(b"half") if write is write_file else place.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        write(path, half)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    """A fixed name beside the target would let one take the other's half file away."""
    path = tmp_path / "a"

    def outer(file) -> None:
        file.write(b"outer")
        write_text(path, "inner")
        assert path.read_text() == "inner"

    write_file(path, outer)
    assert path.read_text() == "outer"


@pytest.mark.parametrize("kind", [DataError, TrainingError])
def test_what_the_system_refuses_is_said_with_what_to_do(kind, tmp_path):
    with (
        pytest.raises(kind, match=r"there/a: its folder does not exist; make it first"),
        explained(tmp_path / "there" / "a", kind),
    ):
        write_text(tmp_path / "there" / "a", "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="part of its path is a file; choose another output folder"):
        make_folder(tmp_path / "file" / "folder")


def test_weights_that_cannot_be_written_promise_nothing(tmp_path):
    """There is no run to go on with, so that nobody is told to start the same command again."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightsError, match="choose another output folder") as caught:
        write_whole(tmp_path / "file" / "a.safetensors", _fill)
    assert "again" not in str(caught.value)


def _renames(tree: ast.AST) -> list[int]:
    """Return the lines that sync a file, or rename one: ``PATH.replace(other)`` has one argument, where texts have two."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [
        call.lineno
        for call in calls
        if call.func.attr == "fsync"
        or (call.func.attr == "replace" and len(call.args) == 1 and not call.keywords)
        or ast.unparse(call.func) in ("os.replace", "os.rename")
    ]


def test_no_room_writes_beside_and_renames_on_its_own():
    found = {
        f"{path.relative_to(CORE.parent)}:{line}"
        for path in CORE.rglob("*.py")
        if "templates" not in path.parts
        for line in _renames(ast.parse(path.read_text(encoding="utf-8")))
        if path.relative_to(CORE.parent).as_posix() not in RENAME
    }
    assert not found
