"""From a training run to weights that a plugin ships, with their manifest and model card; and from there to a hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from statistics import fmean

from pydantic import BaseModel
from torch import nn

from restorekit.errors import DataError, WeightsError
from restorekit.files import explained, write_text
from restorekit.jsonfile import read_table
from restorekit.leftovers import temporary
from restorekit.networks import build_generator
from restorekit.plugin.entry import check_license
from restorekit.recipe import Recipe
from restorekit.weights.files import (
    RECIPE_KEY,
    fit,
    halved,
    load_weights,
    read_facts,
    recipe_of,
    save_weights,
    write_whole,
)
from restorekit.weights.find import SUFFIX, given_weights
from restorekit.weights.gain import IMAGES, SIDE, measured_gains
from restorekit.weights.manifest import MANIFEST, Shipped, add_to_manifest, file_sha256, read_manifest, verify

HALF_COSTS = 0.01  # dB that float16 may cost at most


@dataclass(frozen=True)
class Packed:
    """What was written: the file and its model.

    `half`: whether it is float16. `gain`: mean gain in dB over the degraded input. `half_costs`: what float16 takes
    from that, in dB. Both are None where there are no pictures to measure on, the cost also where float16 cannot hold
    the weights.
    """

    path: Path
    model: str
    half: bool
    gain: float | None
    half_costs: float | None


def weights_folder(package: Path) -> Path:
    """Return the folder for weights in a plugin's package, given it or its project.

    Raises `WeightsError` when `package` is no Python package and holds none, or several.
    """
    if (package / "__init__.py").is_file():
        return package / "weights"
    inside = sorted(path.parent for path in package.glob("*/__init__.py") if path.parent.name != "tests")
    if len(inside) != 1:
        found = ", ".join(path.name for path in inside) or "none"
        raise WeightsError(
            f"{package} is no Python package, and holds {found}; give the folder of the plugin's package, where its"
            " __init__.py is"
        )
    return inside[0] / "weights"


def pack(run: str, package: Path, license: str, force: bool = False, seen: Iterable[int] = ()) -> Packed:
    """Write the best weights of a run into a plugin's package: safetensors, manifest, model card.

    float16 where it costs less than 0.01 dB on the built-in pictures of the model's task. `seen` as in `Shipped`.
    Raises `WeightsError` when there are no weights, `package` is none or the file exists, `PluginError` for a licence
    that is no SPDX expression.
    """
    check_license(license, "the weights")
    source = given_weights(run)
    if source is None:
        raise WeightsError(f"{run!r} is neither a run nor a file of weights")
    recipe = recipe_of(source.path)
    if recipe is None:
        raise WeightsError(f"{source.path} carries no recipe; pack the weights of a run")
    target = weights_folder(package) / f"{recipe.name}{SUFFIX}"
    if target.exists() and not force:
        raise WeightsError(f"{target} exists; give --force to replace it")
    network = build_generator(recipe)
    load_weights(source.path, network)
    network.eval()
    gain = _gain(network, recipe)
    costs = None if gain is None else _cost_of_half(network, recipe, gain)
    done = Packed(target, recipe.name, costs is not None and costs < HALF_COSTS, gain, costs)
    _write(done, network, recipe, source.path, license, seen)
    return done


def _write(done: Packed, network: nn.Module, recipe: Recipe, source: Path, license: str, seen: Iterable[int]) -> None:
    facts = {key: value for key, value in read_facts(source).items() if key.startswith("restorekit.")}
    facts.pop(RECIPE_KEY, None)
    facts |= {"restorekit.model": recipe.name, "restorekit.license": license}
    target = done.path
    write_whole(target, lambda beside: save_weights(beside, network, recipe, facts, half=done.half))
    gain = None if done.gain is None else round(done.gain, 2)
    add_to_manifest(target.parent, recipe.name, target.name, seen, gain, license)
    card = _card(recipe, target, source, license, done.half, done.gain, facts)
    with explained(target.with_suffix(".md"), WeightsError):
        write_text(target.with_suffix(".md"), card)


def _gain(network: nn.Module, recipe: Recipe) -> float | None:
    try:
        return fmean(measured_gains(network, recipe.task))
    except DataError:  # no synthesizer makes pictures for this task: the card says that it was not measured
        return None


def _cost_of_half(network: nn.Module, recipe: Recipe, gain: float) -> float | None:
    """Return how much of `gain` float16 takes, in dB; None where its numbers are too small for the weights."""
    state = halved(network)
    if not all(bool(state[name].isfinite().all()) for name, _ in network.named_parameters()):
        return None
    coarse = build_generator(recipe)
    fit(coarse, state, "the network in float16")
    return gain - fmean(measured_gains(coarse.eval(), recipe.task))


class _Data(BaseModel):
    """What a run was trained on."""

    label: str
    images: int


class _Facts(BaseModel):
    """What a run's ``run.json`` says of its data."""

    data: _Data | None = None


def _card(
    recipe: Recipe, target: Path, source: Path, license: str, half: bool, gain: float | None, facts: dict[str, str]
) -> str:
    run = source.parent.parent
    data = read_table(run / "run.json", _Facts).data
    trained = f"{data.label} ({data.images} images)" if data else "not recorded"
    measured = (
        f"{gain:+.2f} dB of PSNR (RGB), mean over the middle {SIDE}x{SIDE} pixels of {IMAGES} built-in pictures"
        if gain is not None
        else "not measured: there are no built-in pictures of the task"
    )
    lines = [
        f"# {recipe.name}",
        "",
        f"- Task: {recipe.task}",
        f"- Licence of these weights: {license}",
        f"- Trained on: {trained}; step {facts.get('restorekit.step', 'not recorded')} of {recipe.steps}",
        f"- Gain over the degraded input: {measured}",
        f"- Parameters are stored in {'float16' if half else 'float32'}; recipe {recipe.digest()}",
        f"- SHA-256 of `{target.name}`: {file_sha256(target)}",
        "",
        f"    restorekit restore photo.jpg -m {recipe.name}",
        "",
    ]
    return "\n".join(lines)


def packed(package: Path, model: str | None) -> Shipped:
    """Return the packed weights of `model`, or the only ones. Raises `WeightsError` when it is not clear which."""
    folder = package if (package / MANIFEST).is_file() else weights_folder(package)
    known = read_manifest(folder)
    if model is None and len(known) == 1:
        return next(iter(known.values()))
    if model not in known:
        raise WeightsError(
            f"{folder} has weights of {', '.join(known) or 'no model'}; say with --model which are meant. `restorekit"
            " weights pack` makes them"
        )
    return known[model]


def push(package: Path, address: str, model: str | None = None, private: bool = False) -> str:
    """Upload packed weights and their card to ``hf://owner/repo``; returns the address of the commit.

    ``--weights hf://owner/repo`` then finds them. Raises `WeightsError` when the address is none, a file is damaged, or
    the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    shipped = packed(package, model)
    verify(shipped)
    repository = address.removeprefix("hf://")
    if not address.startswith("hf://") or repository.count("/") != 1 or not all(repository.split("/")):
        raise WeightsError(f"{address!r} is not of the form hf://owner/repo")
    with temporary("push") as folder:
        readme = folder / "README.md"
        card = shipped.path.with_suffix(".md")
        text = card.read_text(encoding="utf-8") if card.is_file() else f"# {shipped.model}\n"
        readme.write_text(
            f"---\nlibrary_name: restorekit\nlicense: {_hub_license(shipped)}\n---\n\n{text}", encoding="utf-8"
        )
        weights = Path(copyfile(shipped.path, folder / f"model{SUFFIX}"))
        files = [CommitOperationAdd(path.name, path) for path in (weights, readme)]
        try:
            api = HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            done = api.create_commit(repository, files, commit_message=f"Weights of {shipped.model}")
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise WeightsError(
                f"{address} cannot be written: {' '.join(str(error).split())[:200]}; log in with `hf auth login`, and"
                " see that the owner is yours"
            ) from error
    return str(done.commit_url)


def _hub_license(shipped: Shipped) -> str:
    """Return the licence as the hub writes it: lower case, ``other`` for what is no single known one."""
    return shipped.license.lower() if shipped.license and " " not in shipped.license else "other"
