"""Blending what a network restores with its input."""

from __future__ import annotations

from torch import Tensor, nn

from restorekit.errors import RestorekitError
from restorekit.interface import Output, SizeRule


def check_strength(strength: float) -> None:
    """Raise `RestorekitError` unless `strength` is in [0, 1]."""
    if not 0 <= strength <= 1:
        raise RestorekitError(f"strength is {strength}; give a number from 0 (the input) to 1 (the restored image)")


class Blended(nn.Module):
    """A generator whose image is blended with its input: ``input + strength (restored - input)``, in float32.

    What is restored is clipped to [0, 1] first. The extras are those of `network`.
    """

    def __init__(self, network: nn.Module, strength: float) -> None:
        super().__init__()
        self.network = network
        self.strength = strength
        self.size_rule = SizeRule.of(network)

    def forward(self, degraded: Tensor) -> Output:
        """Restore [B, 3, H, W] in [0, 1]."""
        output = Output.of(self.network(degraded))
        return Output(degraded.float().lerp(output.image.float().clamp(0, 1), self.strength), output.extras)


def blend(learned: nn.Module | Tensor, image: Tensor, strength: float) -> nn.Module | Tensor:
    """Blend what an adaptive model gave for `image`: a restored image, or a network that restores it."""
    if strength == 1:
        return learned
    if isinstance(learned, nn.Module):
        return Blended(learned, strength)
    return image.lerp(learned.to(image).clamp(0, 1), strength)
