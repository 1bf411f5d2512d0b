"""Looking at a network that learns one image: how close it has come, and when to give up."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from restorekit.engine.runtime import Runtime
from restorekit.interface import Output, SizeRule
from restorekit.padding import pad_to_rule
from restorekit.pixels import Pixels, unit

_LOOKS = 5  # times that the held-out references are looked at per `patience` steps


class View:
    """What is looked at during training: the image, or the middle of one that is learned in crops of `side` pixels.

    One look must not cost much more than a step.
    """

    def __init__(self, image_1CHW: Tensor, side: int, rule: SizeRule, runtime: Runtime) -> None:
        height, width = image_1CHW.shape[-2:]
        size = side or max(height, width)
        top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
        self.part = (slice(top, top + size), slice(left, left + size))
        self.image = image_1CHW[(..., *self.part)].to(runtime.device)
        self.rule, self.runtime = rule, runtime

    def mean_of(self, references: Pixels) -> Tensor:
        """Return the mean of the references [K, H, W, C] here: [1, C, h, w] in [0, 1]."""
        mean = references[:, *self.part].mean(axis=0, dtype=np.float32)
        return unit(torch.from_numpy(mean).movedim(-1, 0)[None].to(self.runtime.device))

    @torch.no_grad()
    def restored_by(self, network: nn.Module) -> Tensor:
        """Return what the network makes of the image; its batch norm's statistics are measured on it first.

        The running averages lag behind a network that changes fast: after few steps they are of no use.
        """
        padded, crop = pad_to_rule(self.image, self.rule)
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average
            norm.train()
        with self.runtime.autocast():
            if norms:
                network(padded)
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            restored = crop(Output.of(network.eval()(padded)).image).float()
        network.train()
        return restored

    def astray(self, restored: Tensor, mean_1CHW: Tensor) -> bool:
        """Whether `restored` is further from the references' mean, in root mean square, than the image itself."""
        target = mean_1CHW[(..., *self.part)].to(restored.device)
        return bool((restored - target).square().mean() > (self.image - target).square().mean())


@dataclass
class EarlyStop:
    """Keeps the network that came closest to the held-out references, and says when to give up.

    The squared distance to the mean of the held-out references is, but for a constant, the mean squared distance to
    each of them.
    """

    patience: int
    view: View
    held_out: Tensor
    best: float = math.inf
    best_step: int = 0
    gave_up: bool = False
    state: dict[str, Tensor] = field(default_factory=dict)

    def due(self, step: int) -> bool:
        """Whether to look behind this step."""
        return (step + 1) % max(1, self.patience // _LOOKS) == 0

    def look(self, step: int, network: nn.Module) -> None:
        """Look at the network, and give up when it has not improved for `patience` steps."""
        distance = float((self.view.restored_by(network) - self.held_out).square().mean())
        if distance < self.best:
            self.best, self.best_step = distance, step
            self.state = copy.deepcopy(network.state_dict())
        self.gave_up = step - self.best_step >= self.patience

    def restore_best(self, network: nn.Module) -> None:
        """Put the best weights back."""
        if self.state:
            network.load_state_dict(self.state)
