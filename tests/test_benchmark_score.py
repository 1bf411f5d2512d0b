"""Scoring another program's images: matching by name, partial sets, and the reference scores of a real set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from restorekit.benchmark.foreign import score
from restorekit.benchmark.matching import match
from restorekit.errors import DataError, ImageError

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"
RAIN100L = SHARED / "data" / "rain100l"


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("files", "names", "expected"),
    [
        (["rain-001.png", "rain-002.png"], ["rain-001", "rain-002"], [0, 1]),
        (["rain-001_out.png", "rain-002_out.jpg"], ["rain-001", "rain-002"], [0, 1]),
        (["003_restored.png"], ["003", "004"], [0, None]),
        (["epoch5_rain-003.png"], ["rain-003", "rain-005"], [0, None]),
        (["12.png", "1.png"], ["1", "12"], [1, 0]),
        (["norain-003.png"], ["rain-003", "rain-004"], [0, None]),
        (["a.png", "a_2.png"], ["a", "a-2"], [0, 1]),
        (["0_rain.png", "0.txt"], ["0"], [0]),
        (["é 1.png", "è 1.png", "雨_out.png", "雪.png"], ["è 1", "é 1", "雨", "雪"], [1, 0, 2, 3]),
        (["e\u0301té.png"], ["ete", "\xe9t\xe9"], [None, 0]),
        (["雪.png", "1.png"], ["雨", "1"], [None, 1]),
    ],
)
def test_matching(tmp_path, files, names, expected):
    folder = _touch(tmp_path / "o", *files)
    found = match(folder, names)
    assert {n: p.name for n, p in found.items()} == {
        n: files[i] for n, i in zip(names, expected, strict=True) if i is not None
    }


def test_exact_name_wins_over_a_suffix(tmp_path):
    found = match(_touch(tmp_path / "o", "a.png", "a_heatmap.png"), ["a"])
    assert found["a"].name == "a.png"


def test_two_equally_good_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a_x\.png and a_y\.png"):
        match(_touch(tmp_path / "o", "a_x.png", "a_y.png"), ["a"])


def test_none_matching_lists_both_sides(tmp_path):
    with pytest.raises(DataError, match=r"cat\.png.*rain-001"):
        match(_touch(tmp_path / "o", "cat.png"), ["rain-001"])
    with pytest.raises(DataError, match="no image files"):
        match(_touch(tmp_path / "e"), ["rain-001"])
    with pytest.raises(DataError, match="not a folder"):
        match(tmp_path / "absent", ["rain-001"])


@pytest.fixture
def pairs(tmp_path):
    folder = tmp_path / "set"
    generator = np.random.default_rng(2)
    for side in ("input", "target"):
        (folder / side).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(generator.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(
                folder / side / f"{index:03}.png"
            )
    return folder


def test_partial_outputs_are_labelled_and_paired(pairs, tmp_path):
    outputs = tmp_path / "mine"
    outputs.mkdir()
    (outputs / "001_out.png").write_bytes((pairs / "target" / "001.png").read_bytes())
    report = score(outputs, pairs, tmp_path / "out", name="Mine")
    assert report.summary.label == "set@folder(1/3)"
    assert [row.title for row in report.summary.rows] == ["degraded input", "Mine"]
    assert [len(row.row.images) for row in report.summary.rows] == [1, 1]
    assert report.summary.rows[1].means["psnr-rgb"].infinite == 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert {(line["model"], line["image"]) for line in lines} == {("degraded input", "001"), ("Mine", "001")}
    assert (tmp_path / "out" / "index.html").exists()


def test_size_that_differs_names_the_file(pairs, tmp_path):
    outputs = tmp_path / "mine"
    outputs.mkdir()
    Image.new("RGB", (28, 24)).save(outputs / "002.png")
    with pytest.raises(ImageError, match=r"002\.png is 28x24.*30x24"):
        score(outputs, pairs)


def test_unpaired_set_is_refused(pairs, tmp_path):
    with pytest.raises(DataError):
        score(pairs / "target", pairs / "input")


def test_command_prints_table_and_json(pairs):
    from restorekit.cli.score import score as command

    shown = CliRunner().invoke(command, [str(pairs / "input"), "--dataset", str(pairs), "--name", "copy"])
    assert shown.exit_code == 0, shown.output
    assert "copy" in shown.stdout
    as_json = CliRunner().invoke(command, [str(pairs / "input"), "--dataset", str(pairs), "--json"])
    rows = json.loads(as_json.stdout)["rows"]
    assert rows[0]["means"] == rows[1]["means"]


@pytest.mark.slow
@pytest.mark.skipif(not RAIN100L.exists(), reason="the Rain100L sample is not on this machine")
def test_reference_scores_of_rain100l_image_by_image():
    """Scores of the degraded input and of PReNet, computed by scikit-image in float64 elsewhere."""
    reference = json.loads((RAIN100L / "reference-scores.json").read_text())
    report = score(RAIN100L / "outputs-prenet", RAIN100L, name="PReNet")
    theirs_by_row = [reference["input"], reference[next(k for k in reference if "prenet" in k.lower())]]
    compared = 0
    for row, theirs in zip(report.summary.rows, theirs_by_row, strict=True):
        for record in row.row.images:
            for protocol, scores in theirs[record.image.removeprefix("rain-")].items():
                assert record.scores[f"psnr-{protocol}"] == pytest.approx(scores["psnr"], abs=0.005)
                assert record.scores[f"ssim-{protocol}"] == pytest.approx(scores["ssim"], abs=0.0005)
                compared += 1
    assert compared == 2 * 19 * 3
    assert report.summary.label.endswith("(19/50)")
