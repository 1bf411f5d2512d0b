"""Put a finished training run into its plugin as shipped weights: safetensors, recipe, manifest, model card.

    python benchmarks/tools/ship_weights.py runs/remaen runs/pix2pix --photos photographs
    python benchmarks/tools/ship_weights.py runs/remaen runs/pix2pix --summary benchmark-a/summary.json --summary ...

The first call writes the weights; the second renews the cards with what benchmarks measured. The commands that made a
run stand in its ``command.txt``, and go into the card. What is written, and in which precision, is for
`restorekit weights pack` to decide.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

from restorekit.data.leaks import find_leaks, perceptual_hash
from restorekit.data.sets import resolve
from restorekit.engine.run.folder import FACTS, STATUS, RunFolder
from restorekit.errors import DataError
from restorekit.jsonfile import read_table
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe, to_toml
from restorekit.recipe.check import model_recipe
from restorekit.recipe.toml import read_recipe_file
from restorekit.restoring.load import width_label
from restorekit.weights.find import find_weights
from restorekit.weights.manifest import Shipped, folder_of, read_manifest
from restorekit.weights.pack import Packed, pack

BUILTIN = {"raindrop": "raindrop@builtin", "rain-streak": "rain100l@builtin", "rain": "raindrop@builtin"}
PURPOSES = {
    "raindrop": "raindrops on glass",
    "rain-streak": "rain streaks",
    "rain": "rain streaks and raindrops on glass",
}
UNPAIRED = ("pseudo_pairs", "cutouts")
COMMAND = "command.txt"
LICENCE = "CC-BY-NC-4.0"
_WET_GLASS = "photographs through wet glass of the Raindrop and Raindrop Clarity data sets: no licence stated"
DATA_LICENCES = {
    "bsds": "BSDS500: non-commercial research and education",
    "kodak": "Kodak: unrestricted usage",
    "cc0": "13 landscapes and cities: CC0",
    "urban100": "Urban100: no licence stated",
    "sunhays80": "Sun-Hays 80: no licence stated",
    "pairs": "real pairs of the Raindrop data set (Qian et al., CVPR 2018): no licence stated",
    "cutouts": _WET_GLASS,
    "wet": _WET_GLASS,
}


def check_backgrounds(photos: Path) -> int:
    """Return how many photographs there are. Raises `DataError` when one looks like a built-in test image."""
    count = 0
    for folder in sorted(path for path in photos.iterdir() if path.is_dir()):
        images = resolve(folder)
        count += len(images)
        for name in BUILTIN.values():
            leaks = find_leaks(images, resolve(name))
            if leaks:
                raise DataError(f"{folder}: {leaks[0]} looks like a built-in test image; leave it out of training")
    return count


def seen_of(recipe: Recipe, setting: str) -> list[int]:
    """Return the perceptual hashes of the real photographs that a setting of the recipe's synthesizer names.

    `setting`: ``pairs``, of which both sides count, or one of photographs without a clean side, which count alone.
    """
    folders = str(recipe.data.synthesis.settings.get(setting, "")) if recipe.data.synthesis else ""
    samples = [sample for folder in filter(None, folders.split(":")) for sample in resolve(Path(folder))]
    sides = [side for s in samples for side in ((s.degraded, s.clean) if setting == "pairs" else (s.degraded,))]
    return [perceptual_hash(side) for side in sides if side is not None]


def inherited(run: Path, shipped: Shipped | None) -> set[int]:
    """Return the hashes of what the weights that are `shipped` have seen, where the run did not begin from nothing."""
    begun = read_table(run / FACTS, dict[str, Any]).get("init")
    return set(shipped.seen) if shipped and begun else set()


def ship(run: Path, checked: int) -> Path:
    """Write weights, recipe and manifest into the plugin; returns the folder."""
    recipe = read_recipe_file(run / "recipe.toml")
    component = registry().find("model", recipe.name)
    folder = folder_of(component.entry.weights)
    pairs = seen_of(recipe, "pairs")
    others = {photo for setting in UNPAIRED for photo in seen_of(recipe, setting)}  # each may have many entries
    others |= inherited(run, read_manifest(folder).get(recipe.name)) - set(pairs)
    done = pack(str(run), folder.parent, LICENCE, force=True, seen=[*pairs, *sorted(others)])
    (folder / f"{recipe.name}.toml").write_text(to_toml(recipe), encoding="utf-8")
    notes = {
        "storage": _storage(done),
        "checked": checked,
        "real": len(pairs) // 2,
        "lent": len(others),
        "step": _what_ships(run, find_weights(component, run).path),
    }
    RunFolder(run).write_json("shipped.json", notes)
    return folder


def _what_ships(run: Path, file: Path) -> str:
    if "average_weights.py" in (run / COMMAND).read_text(encoding="utf-8").splitlines()[-1]:
        return "of the last training below; the average that the last line makes is what ships"
    which = "last step" if file.stem == "last" else "best evaluation"
    return f"of the last command below; its {which} is what ships"


def _storage(done: Packed) -> str:
    costs = "cannot hold them" if done.half_costs is None else f"changes PSNR by {-done.half_costs:+.4f} dB"
    return f"{'float16' if done.half else 'float32'} (float16 {costs})"


def _licences(commands: list[str]) -> str:
    """Return the licences of the folders of photographs that the commands name."""
    used = "\n".join(commands)
    named = (text for name, text in DATA_LICENCES.items() if re.search(rf"(?i)[/=]{name}\b", used))
    return "; ".join(dict.fromkeys(named))


def _data_kind(recipe: Recipe) -> str:
    if recipe.data.synthesis:
        return "clean photographs, degraded on the fly by the synthesizer"
    return "photographs with synthetic rain; their clean originals were not used"


def _gain_rows(summary: dict[str, Any], model: str) -> Iterator[str]:
    for row in summary["rows"]:
        if row["model"] != model or row["state"] != "done":
            continue
        for measure, gain in row["gains"].items():
            if measure.startswith("psnr"):
                mean = row["means"][measure]["mean"]
                yield (
                    f"| {summary['dataset']} | {row['images']} | {measure.removeprefix('psnr-')} | {mean:.2f} |"
                    f" {gain['mean']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}] | {row['share_worse']:.0%} |"
                )


def write_card(run: Path, summaries: list[Path]) -> Path:
    """Write the model card beside the weights; returns its path."""
    recipe = read_recipe_file(run / "recipe.toml")
    facts, status, notes = (read_table(run / name, dict[str, Any]) for name in (FACTS, STATUS, "shipped.json"))
    full = model_recipe(registry(), recipe.name)
    rows = [line for path in summaries for line in _gain_rows(json.loads(path.read_text()), recipe.name)]
    commands = (run / COMMAND).read_text(encoding="utf-8").strip().splitlines()
    card = f"""# {recipe.name}: shipped weights

- Network: `{recipe.generator.name}`, {width_label(recipe, full)}; recipe `{recipe.digest()}` in `{recipe.name}.toml`.
- Storage: {notes["storage"]}.
- Licence of these weights: {LICENCE}, because of the photographs that they learned from.
- Trained with restorekit {facts["version"]} on {facts["data"]["images"]} {_data_kind(recipe)}
  ({facts["data"]["label"]}).
- {status["step"]} steps ({notes["step"]})
  in {status["seconds"] / 60:.0f} minutes on {facts["device"]}
  ({platform.machine()}, {facts["precision"]}), torch {torch.__version__.split("+")[0]}, seed {recipe.seed}.
- Licences of the photographs, as stated: {_licences(commands)}.
- Background-disjoint from every built-in test image: perceptual hashes of {notes["checked"]} photographs compared.
- Real pairs among what it learned from: {notes["real"]}, and photographs that only lent their drops: {notes["lent"]};
  a benchmark leaves them out for this model.
- Perceptual (VGG16) term: {"in use" if "perceptual" in recipe.losses else "not used; its weights could not be had"}.

Trained by, from the repository's root:

{chr(10).join(f"    {line.strip()}" for line in commands)}

## Measured

Gain over the degraded input in dB, with the 95 % bootstrap interval of the paired mean.

| data set | images | protocol | PSNR | gain | worse than input |
|---|---|---|---|---|---|
{chr(10).join(rows)}

## Use and limits

For removing {PURPOSES[recipe.task]} from photographs, and as a first
row of comparisons. Small and trained briefly: large drops and dense rain are only weakened, and fine texture may be
softened. Built-in sets are synthetic, and their scores cannot be compared with published ones. Pictures of good and bad
cases: `docs/models/` of the repository.
"""
    target = folder_of(registry().find("model", recipe.name).entry.weights) / f"{recipe.name}.md"
    target.write_text(card, encoding="utf-8")
    return target


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of the folders that were trained on: checked by hash, and the weights are written.",
)
@click.option("--summary", "summaries", multiple=True, type=click.Path(path_type=Path, exists=True))
def main(runs: tuple[Path, ...], photos: Path | None, summaries: tuple[Path, ...]) -> None:
    """Ship RUNS with their plugins, or renew their cards from benchmark summaries."""
    checked = check_backgrounds(photos) if photos else 0
    for run in runs:
        if photos:
            click.echo(str(ship(run, checked)))
        click.echo(str(write_card(run, list(summaries))))


if __name__ == "__main__":
    main()
