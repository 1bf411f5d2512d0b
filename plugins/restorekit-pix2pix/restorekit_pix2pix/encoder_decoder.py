"""The networks of the cGAN family: a plain encoder and decoder, and an encoder that judges.

The source (a student project on the Raindrop data) shows its layers as drawings only; these are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import Judgement, SizeRule
from restorekit_pix2pix.layers import initialise, to_signed, to_unit

SLOPE = 0.2


def encoder_blocks(inside: int, width: int, latent: int) -> nn.ModuleList:
    """Return four blocks that halve the size, widths `width` x (1, 2, 4) and `latent`."""
    widths = (inside, width, 2 * width, 4 * width, latent)
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv2d(widths[i], widths[i + 1], 4, 2, 1, bias=i == 0),
            nn.BatchNorm2d(widths[i + 1]) if i else nn.Identity(),
            nn.LeakyReLU(SLOPE),
        )
        for i in range(4)
    )


def _decoder_block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


def _check(part: str, width: int, latent: int) -> None:
    if width < 1 or latent < 1:
        raise RecipeError(f"{part}.width is {width} and {part}.latent is {latent}; give at least 1 each")


class EncoderDecoder(nn.Module):
    """degraded [B, 3, H, W] in [0, 1], H and W multiples of 16 -> image [B, 3, H, W] in [0, 1].

    `width`: channels of the first block. `latent`: channels at 1/16 of the size. `skips`: concatenate
    the encoder's features to the decoder's at equal size. Raises `RecipeError` for settings that no
    network can have.
    """

    # Batch norm at 1/16 needs more than one value per channel to train, even at batch 1.
    size_rule = SizeRule(multiple=16, minimum=32)

    def __init__(self, *, width: int = 32, latent: int = 128, skips: bool = False) -> None:
        super().__init__()
        _check("generator", width, latent)
        self.skips = skips
        self.encoder = encoder_blocks(3, width, latent)
        wider = 2 if skips else 1
        self.decoder = nn.ModuleList(
            (
                _decoder_block(latent, 4 * width),
                _decoder_block(4 * width * wider, 2 * width),
                _decoder_block(2 * width * wider, width),
            )
        )
        self.to_image = nn.ConvTranspose2d(width * wider, 3, 4, 2, 1)
        initialise(self)

    def forward(self, degraded: Tensor) -> Tensor:
        """Restore `degraded`; see the class for shapes."""
        features = to_signed(degraded)
        skips: list[Tensor] = []
        for block in self.encoder:
            features = block(features)
            skips.append(features)
        skips.pop()
        for block in self.decoder:
            features = block(features)
            if self.skips:
                features = torch.cat((skips.pop(), features), 1)
        return to_unit(torch.tanh(self.to_image(features)))


class EncoderDiscriminator(nn.Module):
    """Judge (degraded, candidate), both [B, 3, H, W] in [0, 1]: `Judgement` with logits [B, 1].

    The encoder of `EncoderDecoder` on six channels, the mean over positions, one dense layer. H and W
    are at least 16. Raises `RecipeError` for settings that no network can have.
    """

    def __init__(self, *, width: int = 32, latent: int = 128) -> None:
        super().__init__()
        _check("discriminator", width, latent)
        self.encoder = nn.Sequential(*encoder_blocks(6, width, latent))
        self.to_logit = nn.Linear(latent, 1)
        initialise(self)

    def forward(self, candidate: Tensor, degraded: Tensor) -> Judgement:
        """Judge `candidate` as a restoration of `degraded`."""
        features = self.encoder(to_signed(torch.cat((degraded, candidate), 1)))
        return Judgement(self.to_logit(features.mean((2, 3))))
