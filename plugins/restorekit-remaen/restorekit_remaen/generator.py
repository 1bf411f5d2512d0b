"""ReMAEN: recurrent multi-scale aggregation and enhancement (Yang and Lu, ICME 2019)."""

from __future__ import annotations

from torch import Tensor, nn

from restorekit.errors import RecipeError
from restorekit.interface import Output, SizeRule
from restorekit_remaen.blocks import MAEB, ConvGRU, Responding, SqueezeExcitation, leaky

EXTRACTING = 4
RESPONDING = 3


class ReMAEN(nn.Module):
    """Remove rain in `stages` passes with shared weights; each pass subtracts a predicted residual.

    degraded [B, 3, H, W] in [0, 1], any size -> `Output` with image [B, 3, H, W], not clipped, and the
    extra ``stages``: the images behind every stage, the last one included.

    `width`: channels of every hidden layer, at least 4. Raises `RecipeError` for settings that no
    network can have.
    """

    size_rule = SizeRule()

    def __init__(self, *, width: int = 32, stages: int = 3) -> None:
        super().__init__()
        if width < 4 or stages < 1:
            raise RecipeError(
                f"generator.width is {width} and generator.stages is {stages};"
                " give a width of at least 4 and at least 1 stage"
            )
        self.stages = stages
        # With one stage no state is ever read, and the state's convolutions would never be trained.
        self.grus = nn.ModuleList(ConvGRU(width, stateful=stages > 1) for _ in range(EXTRACTING + RESPONDING))
        self.maebs = nn.ModuleList(MAEB(3 if i == 0 else width, width) for i in range(EXTRACTING))
        self.responding = nn.ModuleList(Responding(width) for _ in range(RESPONDING))
        self.extracting_attention = SqueezeExcitation(width)
        self.responding_attention = SqueezeExcitation(width)
        self.to_features = nn.Conv2d(width, width, 3, padding=1)
        self.residual_attention = SqueezeExcitation(width)
        self.to_residual = nn.Conv2d(width, 3, 3, padding=1)
        self._initialise()

    def forward(self, degraded: Tensor) -> Output:
        """Restore `degraded`; see the class for shapes."""
        image = degraded
        images: list[Tensor] = []
        states: list[Tensor | None] = [None] * len(self.grus)
        for _ in range(self.stages):
            residual, states = self._stage(image, states)
            image = image - residual
            images.append(image)
        return Output(image, {"stages": tuple(images)})

    def _stage(self, image: Tensor, states: list[Tensor | None]) -> tuple[Tensor, list[Tensor | None]]:
        """Return the residual of `image` and the next states, one per GRU, [B, width, H, W]."""
        following: list[Tensor | None] = []
        skips: list[Tensor] = []
        features = image
        for maeb, gru, state in zip(self.maebs, self.grus[:EXTRACTING], states[:EXTRACTING], strict=True):
            skips.append(maeb(features))
            features = leaky(self.extracting_attention(gru(skips[-1], state)))
            following.append(features)
        # The responding path meets the blocks in reverse, the deepest one left out.
        rest = zip(self.responding, skips[-2::-1], self.grus[EXTRACTING:], states[EXTRACTING:], strict=True)
        for responding, skip, gru, state in rest:
            features = leaky(self.responding_attention(gru(responding(features, skip), state)))
            following.append(features)
        residual = self.to_residual(leaky(self.residual_attention(self.to_features(features))))
        return residual, following

    def _initialise(self) -> None:
        """Xavier initialisation, every kernel for itself; biases at 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for gru in self.grus:
            gru.initialise()  # type: ignore[operator]
