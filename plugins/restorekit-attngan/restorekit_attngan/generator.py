"""The generator of AttentiveGAN: Qian et al., CVPR 2018 (arXiv 1711.10098), sections 4.1 and 4.2."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import Output, SizeRule
from restorekit_attngan.autoencoder import ContextualAutoencoder
from restorekit_attngan.checkpoint import from_authors
from restorekit_attngan.recurrent import AttentiveRecurrentNetwork

RESIDUAL_SCALE = 0.1
# Half of the width must hold red, green and blue.
LEAST_WIDTH = 6


class AttentiveGenerator(nn.Module):
    """Find the drops in `time_steps` passes, then restore the image under the guidance of the last map.

    degraded [B, 3, H, W] in [0, 1], H and W multiples of 4 -> `Output` with image [B, 3, H, W], not
    clipped, and the extras ``attention`` (`time_steps` maps [B, 1, H, W], linear, 1 on drops) and
    ``scales`` ([B, 3, H/4, W/4], [B, 3, H/2, W/2]).

    `width`: channels of the first autoencoder level; the deeper two have twice and four times as many.
    `recurrent_width`: channels of the attentive-recurrent network. `peephole`: add the peephole terms
    of the paper's gate equations, which the authors' released code leaves out.

    Raises `RecipeError` for settings that no network can have.
    """

    size_rule = SizeRule(multiple=4, minimum=4)

    def __init__(
        self, *, width: int = 64, recurrent_width: int = 32, time_steps: int = 4, peephole: bool = False
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("width", width, LEAST_WIDTH),
            ("recurrent_width", recurrent_width, 1),
            ("time_steps", time_steps, 1),
        ):
            if value < least:
                raise RecipeError(f"generator.{name} is {value}; give an integer of at least {least}")
        self.recurrent = AttentiveRecurrentNetwork(recurrent_width, time_steps, peephole)
        self.autoencoder = ContextualAutoencoder(width)
        self._initialise()

    def forward(self, degraded: Tensor, given: Tensor | None = None, *, restoring: bool = True) -> Output:
        """Restore `degraded`; see the class for shapes.

        `given`: a map [B, 1, H, W] to restore by, in place of the recurrent network's. Without `restoring` only the
        maps are made, and the image is the one that came.
        """
        attention = self.recurrent(degraded) if given is None else (given,)
        if not restoring:
            return Output(degraded, {"attention": attention})
        quarter, half, full = self.autoencoder(torch.cat((degraded, attention[-1].to(degraded.dtype)), 1))
        return Output(full, {"attention": attention, "scales": (quarter, half)})

    @classmethod
    def convert_state_dict(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this class's state for a state in the authors' format (``gen.pkl``, BGR images).

        Raises `ValueError` when the keys are not those of the authors' network.
        """
        return from_authors(state)

    def _initialise(self) -> None:
        """Start at the image itself (the source is silent); hidden layers after He, for the ReLU behind them.

        Residual blocks start close to the identity, as 40 convolutions in a row learn slowly otherwise.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                _he(module)
        for layer in self.recurrent.linear_layers():
            nn.init.xavier_normal_(layer.weight)
        with torch.no_grad():
            for layer in self.recurrent.residual_layers():
                layer.weight *= RESIDUAL_SCALE
        self.autoencoder.start_at_identity()


def _he(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    # A transposed convolution stores [in, out, h, w], and each output sees h * w / stride ** 2 taps of it.
    taps = layer.weight[0, 0].numel() / (layer.stride[0] ** 2 if isinstance(layer, nn.ConvTranspose2d) else 1)
    nn.init.normal_(layer.weight, std=(2.0 / (layer.in_channels * taps)) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
