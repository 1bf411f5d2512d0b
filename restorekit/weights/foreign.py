"""Checkpoints from elsewhere: finding a network's state in what other programs save, without running their code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from restorekit.errors import WeightsError, closest
from restorekit.weights.files import fit, read_state

AVERAGED = (
    "params_ema",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema_model",
    "ema",
    "generator_ema",
    "netG_ema",
    "g_ema",
    "ema_params",
    "shadow_params",
)
"""Names under which programs keep averaged weights, which restore better than the last ones."""
PLAIN = ("params", "state_dict", "model_state_dict", "model", "generator", "netG", "G", "net", "network", "weights")
PREFIXES = (
    "module.",
    "_orig_mod.",
    "_forward_module.",
    "model.",
    "net.",
    "network.",
    "netG.",
    "net_g.",
    "generator.",
    "G.",
    "ema_model.",
    "ema.",
)
"""What DDP, ``torch.compile``, Lightning and others put before the names of a network's tensors."""
_CRITICS = ("netd", "discriminator", "d", "critic", "optim")  # never the network that restores
_DEEPEST = 6


@dataclass(frozen=True)
class Foreign:
    """A state found in a file: its tensors, the `key` that led to it (empty: the file is one), and the other keys."""

    state: dict[str, Tensor]
    key: str = ""
    others: tuple[str, ...] = ()

    @property
    def choice(self) -> str:
        """Say what was taken where there was a choice, else nothing."""
        if not self.others:
            return ""
        kind = " (averaged weights)" if _last(self.key) in AVERAGED else ""
        return f"{self.key!r}{kind} was taken; the file also holds {', '.join(map(repr, self.others))}"


def is_foreign(path: Path) -> bool:
    """Whether a file is no safetensors file, by its name and its first bytes."""
    if path.suffix == ".safetensors":
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] != b"{"


def read_foreign(path: Path, key: str | None = None) -> Foreign:
    """Read a foreign checkpoint without running any code in it: safetensors, or a pickle of tensors and plain values.

    `key`: which of several states, such as ``params``; without it averaged weights are preferred. Raises
    `WeightsError` when the file needs code to be run or holds no state, and for a key that it does not hold.
    """
    value: object = _unpickled(path) if is_foreign(path) else read_state(path)
    found = dict(_states(value))
    if not found:
        raise WeightsError(
            f"{path} holds a {type(value).__name__} that is not a state dict of tensors, nor has one in it"
        )
    chosen = _chosen(found, key, path)
    others = tuple(name for name in found if name != chosen and not _of_critic(name))
    return Foreign(found[chosen], chosen, others)


def _unpickled(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its reader stumbles over
        raise WeightsError(
            f"{path} cannot be read as plain tensors ({' '.join(str(error).split())[:160]}). Files that need code to"
            " be run are refused; save a state dict (torch.save(network.state_dict(), FILE)) and import that"
        ) from error


def _states(value: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every table of tensors in nested tables, with the dotted key that leads to it."""
    if not isinstance(value, Mapping) or depth > _DEEPEST:
        return
    tensors = {str(name): v for name, v in value.items() if isinstance(v, Tensor)}
    tensors.pop("n_averaged", None)  # the counter of torch's AveragedModel
    if tensors and not any(isinstance(name, int) for name in value):  # an optimizer's states have numbers for names
        yield key, tensors
    for name, inner in value.items():
        yield from _states(inner, f"{key}.{name}" if key else str(name), depth + 1)


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _of_critic(key: str) -> bool:
    return any(part.lower().startswith(_CRITICS[-1]) or part.lower() in _CRITICS for part in key.split("."))


def _chosen(found: Mapping[str, Mapping[str, Tensor]], key: str | None, path: Path) -> str:
    if key is not None:
        if key not in found:
            raise WeightsError(
                f"{path} holds no state under {key!r}.{closest(key, found)} It holds:"
                f" {', '.join(repr(name) for name in found)}"
            )
        return key
    order = (*AVERAGED, *PLAIN)
    candidates = [name for name in found if not _of_critic(name)] or list(found)

    def rank(name: str) -> tuple[int, int]:
        known = order.index(_last(name)) if _last(name) in order else len(order)
        return known, -len(found[name])

    return min(candidates, key=rank)


def _wanted(network: nn.Module) -> set[str]:
    """Return the names that a state must have; the counters of batch norms came later and may be absent."""
    return {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}


def _under_prefix(state: Mapping[str, Tensor], wanted: set[str]) -> dict[str, Tensor] | None:
    """Return the part of a state that has the wanted names behind some common prefix, or None."""
    name = max(wanted, key=len, default="")
    prefixes = {key[: len(key) - len(name)] for key in state if key.endswith(name)}
    for prefix in sorted(prefixes, key=len):
        if all(prefix + one in state for one in wanted):
            return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
    return None


def without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state without the known prefixes that all of its names share."""
    names = dict(state)
    while shared := next((p for p in PREFIXES if names and all(key.startswith(p) for key in names)), None):
        names = {key.removeprefix(shared): value for key, value in names.items()}
    return names


def convert_foreign(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load a foreign state: as it is, without a common prefix, or through the network's ``convert_state_dict``.

    Raises `WeightsError` when none of them fits.
    """
    wanted = _wanted(network)
    own = dict(state) if wanted <= set(state) else _under_prefix(state, wanted)
    fit(network, own or _converted(network, without_prefixes(state), origin), origin)


def _converted(network: nn.Module, state: dict[str, Tensor], origin: str) -> Mapping[str, Tensor]:
    convert: Callable[[dict[str, Tensor]], Mapping[str, Tensor]] | None = getattr(network, "convert_state_dict", None)
    if convert is None:
        raise WeightsError(
            f"{origin}: its keys ({', '.join(list(state)[:3])}, …) are not those of"
            f" {type(network).__name__}, which knows no other format"
        )
    try:
        converted = convert(state)
    except ValueError as error:
        raise WeightsError(f"{origin}: {error}") from error
    return converted
