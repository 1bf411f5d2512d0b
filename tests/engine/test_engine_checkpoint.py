"""What is on disk: written at once or not at all, read only when whole, refused when it is another run's."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from restorekit.engine.run.checkpoint import KEEP, load_checkpoint, save_checkpoint, write_atomically
from restorekit.errors import TrainingError

CPU = torch.device("cpu")


def state(value: float) -> dict[str, object]:
    return {"engine": {"weight": torch.full((50,), value)}}


def loaded_value(folder: Path) -> float:
    found = load_checkpoint(folder, CPU)
    assert found is not None
    return float(found["engine"]["weight"][0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two checkpoints: 1.0 after step 1, 2.0 after step 2."""
    for step in (1, 2):
        save_checkpoint(tmp_path, step, state(float(step)))
    return tmp_path


def test_newest_is_loaded_and_old_ones_go(folder: Path):
    for step in (3, 4):
        save_checkpoint(folder, step, state(float(step)))
    assert loaded_value(folder) == 4
    assert len(list(folder.iterdir())) == KEEP


def test_none_without_checkpoints(tmp_path: Path):
    assert load_checkpoint(tmp_path, CPU) is None


def test_write_that_fails_at_any_byte_leaves_the_previous_one(folder: Path, monkeypatch):
    """As on a full disk: the file ends after n bytes and the write raises."""
    whole = (folder / "step-000000002.pt").read_bytes()
    for count in [0, 1, *range(100, len(whole), 397), len(whole) - 1]:

        def torn(state: object, path: Path, count: int = count) -> None:
            Path(path).write_bytes(whole[:count])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", torn)
        with pytest.raises(TrainingError, match=r"step-000000003\.pt cannot be written.*No space left.*intact"):
            save_checkpoint(folder, 3, state(3.0))
        assert loaded_value(folder) == 2
        assert len(list(folder.iterdir())) == 2


def test_process_killed_at_any_byte_leaves_the_previous_one(folder: Path):
    """The part that a killed process leaves has another name, is not read, and does not stop the next save."""
    whole = (folder / "step-000000002.pt").read_bytes()
    for count in range(0, len(whole), 397):
        (folder / f".step-000000003.pt.{count}.part").write_bytes(whole[:count])
    assert loaded_value(folder) == 2
    save_checkpoint(folder, 3, state(3.0))
    assert loaded_value(folder) == 3


def test_truncated_newest_is_passed_over_with_a_warning(folder: Path, caplog):
    """A power failure may tear a file that was renamed already: at any byte the previous one is used."""
    newest = folder / "step-000000002.pt"
    whole = newest.read_bytes()
    for count in [0, 1, *range(50, len(whole), 97), len(whole) - 1]:
        newest.write_bytes(whole[:count])
        assert loaded_value(folder) == 1, count
    assert "damaged checkpoint is passed over (step-000000002.pt" in caplog.text


def test_only_damaged_ones_are_an_error(folder: Path):
    for path in folder.iterdir():
        path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(TrainingError, match=r"no checkpoint in .* can be read.*start anew"):
        load_checkpoint(folder, CPU)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("bomb-went-off",)


def test_code_in_a_checkpoint_is_not_run(folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"step": 3, "engine": _Bomb()}, folder / "step-000000003.pt")
    assert loaded_value(folder) == 2
    (folder / "step-000000004.pt").write_bytes(pickle.dumps(_Bomb(), protocol=2))
    assert loaded_value(folder) == 2
    assert not (tmp_path / "bomb-went-off").exists()


def test_contents_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch):
    """Renamed first, a power failure would leave an empty file under the newest name."""
    synced = []

    def watched(descriptor: int) -> None:
        assert not (tmp_path / "file").exists()
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(tmp_path / "file", lambda beside: beside.write_text("whole"))
    assert synced == [5]
    assert (tmp_path / "file").read_text() == "whole"


def test_interrupt_while_writing_leaves_nothing(tmp_path: Path):
    def interrupted(beside: Path) -> None:
        beside.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_in_the_middle_of_a_run(lab, tmp_path: Path, monkeypatch):
    """The message names the file; what was saved before is used, and the run ends as if nothing had been."""
    recipe = lab.recipe("remaen", "steps=6", "save_every=2")
    lab.train(recipe, tmp_path / "whole")
    real, calls = torch.save, []

    def full(state: object, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"step-000000004\.pt cannot be written: .*No space left"):
        lab.train(recipe, tmp_path / "run")
    monkeypatch.undo()
    assert lab.train(recipe, tmp_path / "run").completed
    one, other = lab.weights(tmp_path / "run"), lab.weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_real_full_device(lab):
    with pytest.raises(TrainingError, match="cannot be written"):
        write_atomically(Path("/dev/full/run/recipe.toml"), lambda beside: beside.write_text("x"))


def test_folder_that_cannot_be_made(lab, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match=r"recipe\.toml|run\.json|cannot be written"):
        lab.train(lab.recipe("remaen"), tmp_path / "file" / "run")
    with pytest.raises(TrainingError, match="is a file; give a folder"):
        lab.train(lab.recipe("remaen"), tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written(lab, tmp_path: Path):
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(TrainingError, match="cannot be written"):
        lab.train(lab.recipe("remaen"), tmp_path / "run")


def test_other_files_are_not_touched(lab, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(TrainingError, match="is not empty and holds no run"):
        lab.train(lab.recipe("remaen"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_start_that_was_killed_is_no_obstacle(lab, tmp_path: Path):
    """Killed between its first two files, or in the middle of one of them."""
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / ".recipe.toml.123.part").write_text("name =")
    assert lab.train(lab.recipe("remaen"), tmp_path, 1).step == 1


def test_changed_recipe_is_refused_field_by_field(lab, tmp_path: Path):
    lab.train(lab.recipe("remaen"), tmp_path / "run", 1)
    changed = lab.recipe("remaen", "optim.generator.lr=0.5", "generator.width=8", "losses.edge.weight=0.2")
    with pytest.raises(TrainingError) as caught:
        lab.train(changed, tmp_path / "run")
    message = str(caught.value)
    for difference in ("optim.generator.lr: 0.001 -> 0.5", "generator.width: 4 -> 8", "losses.edge.weight: 0.1 -> 0.2"):
        assert difference in message
    assert "seed" not in message


def test_changed_data_are_refused(lab, tmp_path: Path):
    lab.train(lab.recipe("remaen"), tmp_path / "run", 1)
    with pytest.raises(TrainingError, match=r"data: .*'images': 6.* -> .*'images': 5"):
        lab.train(lab.recipe("remaen"), tmp_path / "run", images=lab.images(5))


def test_checkpoint_of_other_networks_is_refused(lab, tmp_path: Path):
    for width in (4, 8):
        lab.train(lab.recipe("remaen", f"generator.width={width}"), tmp_path / str(width), 1)
    (tmp_path / "4" / "checkpoints").rename(tmp_path / "old")
    (tmp_path / "8" / "checkpoints").rename(tmp_path / "4" / "checkpoints")
    with pytest.raises(TrainingError, match=r"does not fit the networks of recipe 'remaen'.*size mismatch"):
        lab.train(lab.recipe("remaen"), tmp_path / "4")
