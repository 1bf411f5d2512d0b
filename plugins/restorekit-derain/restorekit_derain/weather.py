"""What derain is trained on: one mixture of drops, streaks, both, real pairs, and photographs with nothing wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from restorekit.data.synthesis import check_preset, synthesize
from restorekit.errors import RecipeError
from restorekit_derain.focus import shallow
from restorekit_derain.layers import Cutout, Layer, blurred, hazed, laid_over, pasted
from restorekit_derain.sources import Draw, cut_window, cutouts_of, layers_of

T = TypeVar("T")
_SCENE, _RAIN, _PANE = range(3)  # one stream of random numbers for each of the things that are drawn
_WET = 0.15  # of the share of clean photographs with a background out of focus, that of those with rain
_HAZE = (0.0, 0.2)  # share of the scene that a wet pane takes away as a whole; 0.05 to 0.2 on real pairs
_LIGHT = (0.1, 1.2)  # of the scene's mean colour, the light that it gives in return


class Weather:
    """The synthesizer ``rain``: each image takes one kind of weather, by its own key.

    Folders are joined by ``:``. `pairs`: folders of real pairs of raindrops; their drops are measured and laid over
    other photographs, and in training they are pairs themselves. `pseudo_pairs`: folders of photographs through wet
    glass without a clean side (``data/``), each with what a model makes of it (``gt/``): what it took away is measured
    and laid over other photographs as well, but its results are never a target. `cutouts`: such folders with the masks
    of sharp drops (``mask/``) besides; these are cut out, and half of the layers are such.

    The shares of the kinds are relative: `pair` (real pairs), `layer` (measured and cut out drops on other
    photographs), `drops` and `streaks` (synthetic), `both`, and `clean`. Without `pairs` the share of `pair` goes to
    `drops`, without all three kinds of folders that of `layer`, too. The share `haze` of all panes with drops takes
    contrast from the whole scene, too. In training the shares `tone` and `blur` of the photographs are first made
    darker, flatter or greyer, and put out of focus: what is grey, pale or soft must not be taken for a drop. The share
    `shallow` of the clean ones, and few of the others, have a background far out of focus. `drops_preset` is the preset
    of the synthesizer ``raindrop`` that draws the synthetic drops. Samples are drawn from their keys alone.

    Raises `RecipeError` for shares that are negative or all 0, or for `tone`, `blur`, `shallow` or `haze` outside of
    [0, 1], `UnknownNameError` for an unknown preset, and `DataError` for folders that hold no pairs.
    """

    presets: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        pairs: str = "",
        pseudo_pairs: str = "",
        cutouts: str = "",
        pair: float = 0.10,
        layer: float = 0.27,
        drops: float = 0.22,
        streaks: float = 0.20,
        both: float = 0.06,
        clean: float = 0.15,
        tone: float = 0.25,
        blur: float = 0.25,
        shallow: float = 0.5,
        haze: float = 0.85,
        drops_preset: str = "lens",
    ) -> None:
        if not pairs:
            drops, pair = drops + pair, 0.0
        if not (pairs or pseudo_pairs or cutouts):
            drops, layer = drops + layer, 0.0
        self._degrade: dict[str, Callable[[Tensor, int], Tensor]] = {
            "pair": self._pair,
            "layer": self._layer,
            "drops": self._drops,
            "streaks": self._streaks,
            "both": self._both,
            "clean": lambda clean, key: clean,
        }
        shares = np.array([pair, layer, drops, streaks, both, clean], dtype=np.float64)
        if shares.min() < 0 or not shares.sum():
            raise RecipeError(f"rain: shares {shares.tolist()}; none may be negative, and one must be above 0")
        self.shares = shares / shares.sum()
        for name, share in (("tone", tone), ("blur", blur), ("shallow", shallow), ("haze", haze)):
            if not 0 <= share <= 1:
                raise RecipeError(f"rain: {name} is {share}; it is the share of the images, from 0 to 1")
        check_preset("raindrop", drops_preset)
        self.tone, self.blur, self.shallow, self.haze = tone, blur, shallow, haze
        self.drops_preset = drops_preset
        self.pairs = layers_of(pairs)
        self.layers = self.pairs + layers_of(pseudo_pairs)
        self.cut = cutouts_of(cutouts)

    def __call__(self, clean: Tensor, keys: Tensor, preset: str | None = None) -> tuple[Tensor, Tensor | None]:
        """Degrade each of [B, 3, H, W] in the way that its key draws; no mask is known."""
        degraded = [self._degrade[self.kind(key)](scene, key) for scene, key in zip(clean, keys.tolist(), strict=True)]
        return torch.stack(degraded), None

    def scenes(self, clean: Tensor, keys: Tensor) -> Tensor:
        """Return the clean images to degrade: photographs, some toned or soft, and the clean sides of real pairs."""
        return torch.stack([self._scene(photo, key) for photo, key in zip(clean, keys.tolist(), strict=True)])

    def kind(self, key: int) -> str:
        """Return what happens to the sample of this key."""
        kind: str = np.random.default_rng(key).choice(list(self._degrade), p=self.shares)
        return kind

    def _scene(self, photo: Tensor, key: int) -> Tensor:
        kind = self.kind(key)
        if kind == "pair":
            return self._real(photo, key)[1]
        draw = np.random.default_rng((_SCENE, key))
        if draw.random() < self.tone:
            photo = _toned(photo, draw)
        if draw.random() < self.blur:
            photo = blurred(photo, draw.uniform(0.7, 4.0))
        soft = self.shallow * (1 if kind == "clean" else _WET)
        return shallow(photo, draw) if draw.random() < soft else photo

    def _real(self, like: Tensor, key: int) -> tuple[Tensor, Tensor]:
        """Return the degraded and the clean side of a window of a real pair, as large as `like`."""
        draw = np.random.default_rng((_SCENE, key))
        layer = _drawn(self.pairs, draw)
        sides = cut_window((layer.degraded, layer.clean), like, draw, 0.75, 1.3)
        if draw.random() < 0.5:
            gamma = math.exp(draw.uniform(-0.4, 0.4))
            sides = [side.clamp(1e-4, 1) ** gamma for side in sides]
        order = draw.permutation(3).tolist() if draw.random() < 0.3 else [0, 1, 2]
        degraded, clean = (side[order].clamp(0, 1) for side in sides)
        return degraded, clean

    def _pair(self, clean: Tensor, key: int) -> Tensor:
        degraded, own = self._real(clean, key)
        return degraded if torch.equal(own, clean) else self._layer(clean, key)  # its scene was not asked for

    def _layer(self, clean: Tensor, key: int) -> Tensor:
        draw = np.random.default_rng((_RAIN, key))
        degraded = self._pane(clean, key)
        for _ in range(1 if draw.random() < 0.75 else 2):
            cuts = bool(self.cut) and (not self.layers or draw.random() < 0.5)
            degraded = (self._with_cut_drops if cuts else self._with_measured_drops)(degraded, draw)
        return degraded

    def _with_measured_drops(self, clean: Tensor, draw: Draw) -> Tensor:
        crop = Layer(*self._window(_drawn(self.layers, draw), clean, draw))
        strength, adapting, tint = draw.uniform(0.5, 1.1), draw.uniform(), draw.uniform(0.85, 1.15, size=3)
        return laid_over(clean, crop, strength, adapting, tint.tolist())

    def _with_cut_drops(self, clean: Tensor, draw: Draw) -> Tensor:
        crop = Cutout(*self._window(_drawn(self.cut, draw), clean, draw))
        return pasted(clean, crop, draw.uniform(0.7, 1.0), draw.uniform(0.85, 1.15, size=3).tolist())

    @staticmethod
    def _window(layer: Layer | Cutout, like: Tensor, draw: Draw) -> list[Tensor]:
        return cut_window(tuple(layer.planes()), like, draw, 0.5, 1.7, turned=10.0, least=layer.through)

    def _drops(self, clean: Tensor, key: int) -> Tensor:
        return _synthetic(self._pane(clean, key), key, "raindrop", self.drops_preset)

    def _pane(self, clean: Tensor, key: int) -> Tensor:
        draw = np.random.default_rng((_PANE, key))
        return hazed(clean, draw.uniform(*_HAZE), draw.uniform(*_LIGHT)) if draw.random() < self.haze else clean

    def _streaks(self, clean: Tensor, key: int) -> Tensor:
        often = np.random.default_rng((_RAIN, key)).random() < 0.8
        return _synthetic(clean, key, "rain-streak", "rain100" if often else "real")

    def _both(self, clean: Tensor, key: int) -> Tensor:
        real_ones = (self.layers or self.cut) and np.random.default_rng((_RAIN, key)).random() < 0.5
        return (self._layer if real_ones else self._drops)(self._streaks(clean, key), key)


def _drawn(items: Sequence[T], draw: Draw) -> T:
    return items[int(draw.integers(len(items)))]


def _synthetic(clean: Tensor, key: int, name: str, preset: str) -> Tensor:
    return synthesize(clean[None], torch.tensor([key]), name, preset)[0][0]


def _toned(photo: Tensor, draw: Draw) -> Tensor:
    """Make a photograph darker or brighter, and sometimes greyer or of less contrast."""
    photo = photo ** math.exp(draw.uniform(-0.6, 0.6))
    if draw.random() < 0.5:
        photo = torch.lerp(photo.mean(0, keepdim=True).expand_as(photo), photo, draw.uniform(0.2, 1.0))
    if draw.random() < 0.3:
        photo = torch.lerp(photo.mean().expand_as(photo), photo, draw.uniform(0.4, 1.0))
    return photo
