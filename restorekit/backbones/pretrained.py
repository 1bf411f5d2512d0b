"""Pretrained networks that losses and metrics look through: frozen, hidden from optimizers and checkpoints."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from restorekit.errors import WeightsError
from restorekit.weights.find import own_network

_WEIGHTS = {
    "vgg16": torchvision.models.VGG16_Weights.IMAGENET1K_V1,
    "alexnet": torchvision.models.AlexNet_Weights.IMAGENET1K_V1,
    "squeezenet1_1": torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
}


class FrozenHolder(nn.Module):
    """A module that holds a frozen network which follows its device and dtype, and nothing else.

    The network is no submodule: it is in no state dict, no parameter list and no DDP bucket, and is
    never in train mode.
    """

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "network", network.requires_grad_(False).eval())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.network._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _unpickled(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as held:
        return {name: torch.from_numpy(held[name]) for name in held.files}


_READERS: dict[str, Callable[[Path], object]] = {".safetensors": load_file, ".npz": _arrays}


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a ``.safetensors``, ``.npz`` or ``.pth`` file. Raises `WeightsError`."""
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; give the path of a .pth, .safetensors or .npz file")
    try:
        state = _READERS.get(path.suffix, _unpickled)(path)
    except Exception as error:  # each format has its own way to fail, and each means the same to the user
        raise WeightsError(f"{path} cannot be read as weights ({type(error).__name__}: {error})") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}; a state dict is expected")
    return state


def _from_hub(name: str) -> dict[str, Tensor]:
    weights = _WEIGHTS[name]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the hub prints what it fetches
            return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        file = weights.url.rsplit("/", 1)[-1]
        cache = Path(torch.hub.get_dir()) / "checkpoints" / file
        raise WeightsError(
            f"the ImageNet weights of {name} could not be fetched from torchvision's hub ({error})."
            f" Without network, fetch {weights.url} elsewhere and put it at {cache}, or bring in any copy"
            f" (.pth, .safetensors, .npz) with `restorekit weights add {name} FILE`"
        ) from error


def feature_state(name: str, weights: str = "hub") -> dict[str, Tensor]:
    """Return the convolution weights of a torchvision network, keys as in its ``features``.

    `name`: vgg16, alexnet or squeezenet1_1. `weights`: ``hub`` (what `restorekit weights add` brought in, else
    torchvision's cache, else a download), or the path of a file in torchvision's layout. Raises `WeightsError`;
    there is no random substitute.
    """
    if weights != "hub":
        state = read_state(Path(weights).expanduser())
    else:
        own = own_network(name)
        state = read_state(own) if own.is_file() else _from_hub(name)
    prefix = "features."
    features = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    if not features:
        raise WeightsError(
            f"{weights}: no key starts with {prefix!r}; a state dict of torchvision's {name} is expected"
        )
    return features


def load_features(network: nn.Module, state: dict[str, Tensor], name: str, weights: str) -> None:
    """Load `state` into a part of a network's features; surplus deeper layers are ignored.

    Raises `WeightsError` when a tensor is missing or has another shape.
    """
    wanted = network.state_dict()
    wrong = [key for key, value in wanted.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise WeightsError(
            f"{weights}: does not fit {name}: {', '.join(sorted(wrong)[:4])} missing or of another shape;"
            f" a state dict of torchvision's {name} is expected"
        )
    network.load_state_dict({key: state[key] for key in wanted})


def checked_features(name: str, source: Path) -> dict[str, Tensor]:
    """Return a file's convolution weights of a network in float32, keys as in torchvision's state dict.

    Raises `WeightsError` when the file does not hold all of them, or one is not finite.
    """
    with torch.random.fork_rng(devices=[]):  # the initial values are overwritten: spend no random numbers
        features = torchvision.models.get_model(name, weights=None).features
    load_features(features, feature_state(name, str(source)), name, str(source))
    state: dict[str, Tensor] = {f"features.{key}": value for key, value in features.state_dict().items()}
    wrong = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if wrong:
        raise WeightsError(f"{source} is damaged: {wrong[0]} holds values that are not finite; use another copy")
    return state
