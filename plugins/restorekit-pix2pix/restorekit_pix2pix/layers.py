"""What the networks of this plugin share: value ranges, initialisation, batch statistics."""

from __future__ import annotations

from torch import Tensor, nn

SPREAD = 0.02


def to_signed(image: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return image * 2 - 1


def to_unit(image: Tensor) -> Tensor:
    """Map [-1, 1] to [0, 1]."""
    return image * 0.5 + 0.5


def initialise(network: nn.Module) -> None:
    """Draw weights from N(0, 0.02), those of batch norms from N(1, 0.02); biases are 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, SPREAD)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, SPREAD)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def use_batch_statistics(network: nn.Module, update: bool) -> None:
    """Let batch norms and dropout act as in training; running statistics change only if `update`."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.training = True
            module.track_running_stats = update
        elif isinstance(module, nn.Dropout):
            module.training = True
