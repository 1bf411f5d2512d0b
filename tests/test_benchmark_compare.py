"""Two folders of results compared: pairs, intervals, tests against scipy, what differs most, and the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.stats import wilcoxon

from restorekit.benchmark.compare import compare, sentence, text, write
from restorekit.benchmark.foreign import score
from restorekit.cli.compare import command
from restorekit.errors import DataError, UnknownNameError

IMAGES = 7


def results(folder, models, fingerprint="f", label="set@test", images=range(IMAGES)):
    """A folder of results; `models`: name -> PSNR of each image."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"type": "image", "dataset": label, "fingerprint": fingerprint, "height": 4, "width": 4, "seconds": None}
    lines = [
        {**shared, "model": model, "image": f"img{i}", "scores": {"psnr-rgb": psnr[i], "ssim-rgb": psnr[i] / 100}}
        for model, psnr in {"degraded input": [20.0] * IMAGES, **models}.items()
        for i in images
    ]
    (folder / "results.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


A = [30.0, 31, 32, 33, 34, 35, 36]
B = [31.0, 30.5, 34, 36, 38, 40, 42]


def test_paired_differences_and_tests(tmp_path):
    found = compare(results(tmp_path / "a", {"m": A}), results(tmp_path / "b", {"m": B}))
    (pair,) = found.pairs
    psnr, ssim = pair.differences
    gains = np.subtract(B, A)
    assert psnr.gain.mean == pytest.approx(gains.mean())
    assert (psnr.first.mean, psnr.second.mean) == (pytest.approx(33), pytest.approx(np.mean(B)))
    assert psnr.p == pytest.approx(wilcoxon(gains).pvalue)
    assert psnr.adjusted == ssim.adjusted == pytest.approx(2 * psnr.p)  # Holm over two equal p values
    assert psnr.higher == 6
    assert pair.most[0] == ("img6", 6.0)
    assert pair.titles == (f"m ({tmp_path / 'a'})", f"m ({tmp_path / 'b'})")


def test_models_are_paired_by_name_or_as_named(tmp_path):
    a, b = results(tmp_path / "a", {"x": A, "y": B}), results(tmp_path / "b", {"y": A, "z": B})
    assert [pair.titles[0].split()[0] for pair in compare(a, b).pairs] == ["y"]
    assert compare(a, b, ("x", "z")).pairs[0].titles == ("x", "z")
    assert compare(a, a, ("x", "y")).pairs[0].titles == ("x", "y")
    with pytest.raises(UnknownNameError, match="It has: x, y"):
        compare(a, b, ("q", None))
    with pytest.raises(DataError, match="name one model of each"):
        compare(a, a)


def test_only_common_images_count(tmp_path):
    found = compare(results(tmp_path / "a", {"m": A}), results(tmp_path / "b", {"m": B}, images=[0, 2, 6]))
    assert found.pairs[0].images == ("img0", "img2", "img6")
    assert found.pairs[0].left_out == IMAGES - 3
    assert "4 images that only one of them has are left out" in "\n".join(text(found))


def test_other_images_are_refused(tmp_path):
    a = results(tmp_path / "a", {"m": A})
    with pytest.raises(DataError, match="only results on the same images"):
        compare(a, results(tmp_path / "b", {"m": B}, fingerprint="other"))
    with pytest.raises(DataError, match="holds no results"):
        compare(a, tmp_path)
    (tmp_path / "results.jsonl").write_text("[1]\nnonsense\n")
    with pytest.raises(DataError, match="no scores of a model"):
        compare(a, tmp_path)


def test_infinite_scores_are_counted(tmp_path):
    perfect = [float("inf"), *B[1:]]
    lines = results(tmp_path / "b", {"m": perfect}) / "results.jsonl"
    lines.write_text(lines.read_text().replace("Infinity", '"inf"'))
    (psnr, *_) = compare(results(tmp_path / "a", {"m": A}), tmp_path / "b").pairs[0].differences
    assert psnr.gain.infinite == 1
    assert psnr.higher == 6
    assert sentence(psnr).endswith(f", 1 infinite, p = {psnr.adjusted:.2g} (Holm)")


def test_where_all_are_infinite_there_is_no_mean(tmp_path):
    lines = results(tmp_path / "b", {"m": [float("inf")] * len(A)}) / "results.jsonl"
    lines.write_text(lines.read_text().replace("Infinity", '"inf"'))
    (psnr, *_) = compare(results(tmp_path / "a", {"m": A}), tmp_path / "b").pairs[0].differences
    said = sentence(psnr)
    assert "-> infinite, difference infinite, p = " in said
    assert "nan" not in said


def test_command_and_page(tmp_path, open_page):
    a, b = results(tmp_path / "a", {"m": A}), results(tmp_path / "b", {"m": B})
    for folder, level in ((a, 40), (b, 200)):
        (folder / "outputs" / "m").mkdir(parents=True)
        for i in range(IMAGES):
            Image.fromarray(np.full((30, 40, 3), level, np.uint8)).save(folder / "outputs" / "m" / f"img{i}.png")
    shown = CliRunner().invoke(command, [str(a), str(b), "-o", str(tmp_path / "out")], catch_exceptions=False)
    assert "psnr-rgb: 33.00 -> 35.93, difference +2.93" in shown.output
    as_json = CliRunner().invoke(command, [str(a), str(b), "--json"], catch_exceptions=False)
    assert json.loads(as_json.output)["pairs"][0]["most"][0] == {"image": "img6", "difference": 6.0}
    seen = open_page(tmp_path / "out" / "index.html", width=420)
    assert (seen.errors, seen.serious(), seen.wider_than_screen()) == ([], [], [])
    assert seen.page.locator("#image option").count() == IMAGES


def test_a_benchmarks_folder_is_spared(tmp_path):
    a, b = results(tmp_path / "a", {"m": A}), results(tmp_path / "b", {"m": B})
    with pytest.raises(DataError, match="holds the results of a benchmark"):
        write(compare(a, b), a)


def test_folders_of_score_compare(tmp_path):
    rng = np.random.default_rng(0)
    for name, noise in (("set/input", 30), ("set/target", 0), ("one", 20), ("two", 10)):
        (tmp_path / name).mkdir(parents=True)
        for i in range(3):
            clean = np.random.default_rng(i).integers(60, 190, (24, 24, 3))
            pixels = clean + rng.integers(-noise, noise + 1, clean.shape)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    for name in ("one", "two"):
        score(tmp_path / name, tmp_path / "set", tmp_path / f"out-{name}")
    found = compare(tmp_path / "out-one", tmp_path / "out-two")
    assert found.pairs[0].titles == ("one", "two")
    assert found.pairs[0].differences[0].gain.mean > 3
