"""Reading and writing weights files: safetensors that carry their recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from restorekit.errors import RecipeError, WeightsError
from restorekit.files import explained, write_by_name
from restorekit.recipe import Recipe, from_toml, to_toml

RECIPE_KEY = "restorekit.recipe"
STATISTICS = ("running_mean", "running_var")
"""Names of the buffers that batch norms learn."""


def halved(network: nn.Module) -> dict[str, Tensor]:
    """Return the state with parameters in float16. Buffers stay: a batch norm's variance can be too small for it."""
    learned = {name for name, _ in network.named_parameters()}
    return {name: v.half() if name in learned else v for name, v in network.state_dict().items()}


def save_weights(
    path: Path, network: nn.Module, recipe: Recipe, facts: Mapping[str, str] | None = None, half: bool = False
) -> None:
    """Write a generator's state with its recipe and further facts; `half` stores parameters as float16.

    Raises `WeightsError` when a value is not finite, or becomes so in float16.
    """
    state = halved(network) if half else network.state_dict()
    _require_finite(network, state, "the network")
    state = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    metadata = {"format": "pt", RECIPE_KEY: to_toml(recipe), **(facts or {})}
    save_file(state, path, metadata)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file of weights by its name; it appears complete or not at all. Makes its folder.

    Raises `WeightsError` when it cannot be written.
    """
    try:
        with explained(path, WeightsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_by_name(path, write)
    except SafetensorError as error:
        raise WeightsError(f"{path}: cannot be written ({error}); free some space, or choose another place") from error


def read_facts(path: Path) -> dict[str, str]:
    """Return the metadata of a weights file. Raises `WeightsError` when it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file ({error}); foreign checkpoints are brought in with"
            " `restorekit weights import MODEL FILE`"
        ) from error


def recipe_of(path: Path) -> Recipe | None:
    """Return the recipe that a weights file carries, or None."""
    text = read_facts(path).get(RECIPE_KEY)
    if text is None:
        return None
    try:
        return from_toml(text, f"the recipe in {path}")
    except RecipeError as error:
        raise WeightsError(f"{path} was made by another version of restorekit: {error}") from error


def _require_finite(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Raise `WeightsError` when something learned is not finite; other buffers, such as masks, may be infinite."""
    learned = [name for name, _ in network.named_parameters()]
    learned += [name for name, _ in network.named_buffers() if name.endswith(STATISTICS)]
    for name in learned:
        wrong = int((~torch.isfinite(state[name])).sum()) if name in state else 0
        if wrong:
            raise WeightsError(
                f"{origin} is damaged: {wrong} of the {state[name].numel()} values of {name} are not finite; use other"
                " weights"
            )


def fit(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load a state into a network. Raises `WeightsError` naming what does not fit or is not finite."""
    _require_kinds(network.state_dict(), state, origin)
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except RuntimeError as error:
        raise WeightsError(
            f"{origin} does not fit the network: {' '.join(str(error).split())[:400]}; use weights of the same"
            " generator with the same settings"
        ) from error
    # what was loaded, not what the file held: a large number in float64 is infinite in float32
    _require_finite(network, network.state_dict(), origin)


def _require_kinds(own: Mapping[str, Tensor], state: Mapping[str, Tensor], origin: str) -> None:
    """Raise `WeightsError` for a tensor that would lose what it is: complex numbers, or integers as weights."""
    for name, value in state.items():
        wanted = own.get(name)
        if wanted is not None and wanted.is_floating_point() != value.is_floating_point():
            raise WeightsError(
                f"{origin}: {name} is of type {str(value.dtype).removeprefix('torch.')}, and the network needs"
                f" {str(wanted.dtype).removeprefix('torch.')}; save the weights as floating-point numbers"
            )


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file. Raises `WeightsError` when it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file ({error}); copy it again, or give other weights"
        ) from error


def load_weights(path: Path, network: nn.Module) -> None:
    """Load a weights file into a network. Raises `WeightsError` when it is damaged or does not fit."""
    fit(network, read_state(path), str(path))


def start_from(path: Path, network: nn.Module) -> list[str]:
    """Take from a weights file what agrees with the network in name and shape; return the names of the rest.

    Raises `WeightsError` when nothing agrees, or a value is not finite.
    """
    own = network.state_dict()
    agreeing = {k: v for k, v in read_state(path).items() if k in own and own[k].shape == v.shape}
    _require_kinds(own, agreeing, str(path))
    found = {k: v.to(own[k].dtype) for k, v in agreeing.items()}
    if not found:
        raise WeightsError(
            f"{path} has nothing in common with {type(network).__name__}; start from weights of the same kind of"
            " generator, with the same width"
        )
    _require_finite(network, found, str(path))
    network.load_state_dict(own | found)
    return [name for name in own if name not in found]
