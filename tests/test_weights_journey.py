"""As an author would: a new plugin, a run, its weights packed, a wheel, and a photograph restored by it; then a hub."""

from __future__ import annotations

import shutil

import pytest
import stand_ins
from hub import running_hub
from own_env import OwnEnvironment
from PIL import Image

SHORT = ["--set", "steps=4", "--set", "data.crop=64", "--set", "data.batch=2", "--set", "precision=fp32"]


@pytest.fixture(scope="module")
def author(tmp_path_factory):
    """A folder with pairs, a photograph and an environment into which the author's plugin is installed to edit."""
    place = tmp_path_factory.mktemp("author")
    own = OwnEnvironment(tmp_path_factory.mktemp("environment"), place, "glow")
    stand_ins.pairs(place / "my-pairs")
    stand_ins.photograph(place / "photo.png")
    own.run("restorekit", "plugin", "new", "glow", RESTOREKIT_PLUGINS="")
    own.install("-e", "restorekit-glow")
    own.run("restorekit", "train", "glow", "--data", "my-pairs", "--val", "my-pairs", "-o", "runs/glow", "-q", *SHORT)
    return own


def packed(author) -> str:
    """Pack the run, and declare the weights as the command says; return what it says."""
    said = author.run("restorekit", "weights", "pack", "runs/glow", "-o", "restorekit-glow", "--license", "CC-BY-4.0")
    assert 'weights="restorekit_glow:weights"' in said
    module = author.place / "restorekit-glow" / "restorekit_glow" / "__init__.py"
    text = module.read_text()
    assert '# weights="restorekit_glow:weights"' in text
    module.write_text(text.replace('# weights="restorekit_glow:weights"', 'weights="restorekit_glow:weights"'))
    return said


@pytest.mark.slow
def test_weights_of_a_run_travel_in_a_wheel_and_over_a_hub(author):
    assert " dB on the built-in pictures" in packed(author)
    author.run("build", "-w", "--no-isolation", "restorekit-glow")
    author.run("pip", "uninstall", "-q", "-y", "restorekit-glow")
    [wheel] = (author.place / "restorekit-glow" / "dist").glob("*.whl")
    author.install(str(wheel))
    shutil.move(author.place / "restorekit-glow", author.place / "away")  # nothing may come from the sources
    shown = author.run("restorekit", "models", "show", "glow")
    assert "weights licence: CC-BY-4.0" in shown
    author.run("restorekit", "restore", "photo.png", "-m", "glow", "-o", "clean", "--device", "cpu")
    [restored] = (author.place / "clean").rglob("*.png")
    assert Image.open(restored).size == Image.open(author.place / "photo.png").size
    report = author.run("restorekit", "plugins", "check", "glow", "--only", "weights-*")
    assert "plugin 'glow' conforms: 2 passed." in report
    pushed_and_fetched(author)
    refused(author)


def pushed_and_fetched(author) -> None:
    with running_hub() as hub:
        cache = {"HF_HOME": str(author.place / "hub-cache")}
        package = str(author.packages / "restorekit_glow")
        said = author.run("restorekit", "weights", "push", package, "hf://me/glow", **hub.environment, **cache)
        assert said.startswith(f"{hub.address}/me/glow/commit/")
        assert hub.files["me/glow", "README.md"].startswith(b"---\nlibrary_name: restorekit\nlicense: cc-by-4.0\n---\n")
        weights = ["--weights", "hf://me/glow", "--device", "cpu"]
        author.run(
            "restorekit", "restore", "photo.png", "-m", "glow", "-o", "again", *weights, **hub.environment, **cache
        )
    one, other = (next((author.place / folder).rglob("*.png")) for folder in ("clean", "again"))
    assert one.read_bytes() == other.read_bytes()


def refused(author) -> None:
    with running_hub() as hub:
        unknown = hub.environment | {"HF_TOKEN": "hf_of_nobody", "HF_HOME": str(author.place / "other-cache")}
        package = str(author.packages / "restorekit_glow")
        with pytest.raises(AssertionError, match="log in with `hf auth login`"):
            author.run("restorekit", "weights", "push", package, "hf://me/glow", **unknown)
        assert not hub.files
