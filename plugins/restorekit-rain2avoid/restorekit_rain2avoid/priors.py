"""The priors of Rain2Avoid as modules: `LDGP`, the rain mask, and `NSS`, plausible clean images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import torch
from torch import Tensor, nn

from restorekit.errors import DataError, RecipeError, closest
from restorekit.interface import Batch
from restorekit.pixels import Pixels, to_image, to_levels
from restorekit_rain2avoid.hog import LAYOUTS, Layout, grey_8bit, patch_histograms, rain_angles
from restorekit_rain2avoid.mask import THRESHOLD, rain_prior
from restorekit_rain2avoid.nss import COMPARISONS, Compare, candidate_bands, draw, expectation

if TYPE_CHECKING:
    from restorekit_rain2avoid.drawing import Explanation

_Choice = TypeVar("_Choice", bound=str)


class LDGP(nn.Module):
    """Locally dominant gradient prior: the rain's angle, and the mask of streaks along it.

    Each 80x80 patch votes for the direction of its strongest gradients; thin bright runs along the winner
    are rain. `layout`: ``"authors"`` weights the cells of a patch as the authors' program does, ``"orderly"``
    by their true places. `align`: without, the mask is off by up to a pixel, as in the authors' program (see
    `rain_prior`). ``forward`` gives ``batch.mask`` [B, 1, H, W] in {0, 1}, whatever mask there was.

    Raises `RecipeError` for an unknown layout, `DataError` for images that are neither RGB nor grey.
    """

    def __init__(self, *, layout: Layout = "authors", align: bool = False) -> None:
        super().__init__()
        self.layout = _checked("layout", layout, LAYOUTS)
        self.align = align

    @torch.no_grad()
    def forward(self, batch: Batch) -> Batch:
        """Return the batch with its rain mask."""
        masks = self.graded(batch.degraded) > THRESHOLD
        return batch.replace(mask=masks.to(batch.degraded.dtype))

    def angles(self, image_BCHW: Tensor) -> Tensor:
        """Return the rain angle of each image, [B] int64 degrees from vertical, counter-clockwise."""
        return rain_angles(self._histograms(to_8bit(image_BCHW)))

    def graded(self, image_BCHW: Tensor) -> Tensor:
        """Return the prior before thresholding: uint8 [B, 1, H, W]; over 10 is rain, only 0 rain-free."""
        images = to_8bit(image_BCHW)
        angles = rain_angles(self._histograms(images)).tolist()
        priors = [rain_prior(image, angle, self.align) for image, angle in zip(images, angles, strict=True)]
        return torch.stack(priors)[:, None]

    @torch.no_grad()
    def explain(self, image_1CHW: Tensor) -> Explanation:
        """Say why the mask is what it is, for one image [1, C, H, W] in [0, 1].

        ``angle``: degrees. ``histogram``: [36], summed over patches, one bin per 5 degrees. ``votes``: [36],
        how many patches have their strongest bin there; the most votes win. ``patches``: [patches, 36].
        ``prior``: uint8 [H, W]. ``mask``: [1, 1, H, W] in {0, 1}.
        """
        image = to_8bit(image_1CHW)
        if len(image) != 1:
            raise DataError(f"explain looks at one image, [1, C, H, W]; {len(image)} were given")
        patches = self._histograms(image)
        angle = int(rain_angles(patches)[0])
        prior = rain_prior(image[0], angle, self.align)
        return {
            "angle": angle,
            "histogram": patches[0].sum(0),
            "votes": torch.bincount(patches[0].argmax(-1), minlength=patches.shape[-1]),
            "patches": patches[0],
            "prior": prior,
            "mask": (prior > THRESHOLD).float()[None, None],
        }

    def draw(self, image_HWC: Pixels, path: str | Path | BinaryIO) -> None:
        """Draw the image, its angle histogram and its mask as PNG into a file."""
        from restorekit_rain2avoid.drawing import draw_explanation

        draw_explanation(image_HWC, self.explain(_to_tensor(image_HWC)), path)

    def apply_to(self, image_HWC: Pixels, mask: Pixels | None = None, samples: int = 0) -> dict[str, Pixels]:
        """Return ``{"": mask}``, 0 or 255, [H, W]. The prior takes no mask and has no samples."""
        if mask is not None or samples:
            raise RecipeError("prior 'ldgp' makes masks: it takes neither --mask nor --samples; leave them out")
        rain = self.graded(_to_tensor(image_HWC))[0, 0] > THRESHOLD
        return {"": (rain.to(torch.uint8) * 255).numpy()}

    def _histograms(self, images: Tensor) -> Tensor:
        # Half precision would move the strongest bin.
        with torch.autocast(images.device.type, enabled=False):
            return patch_histograms(grey_8bit(images), self.layout)


class NSS(nn.Module):
    """Non-local stochastic sampling: references in which rain pixels come from rain-free neighbours.

    `samples`: references per image. `expectation`: give their exact mean, one reference, instead. `seed`:
    with a sample's key it decides the random draws. `trust_mask`: use the batch's mask where there is one;
    without, rain is where `LDGP` finds it, with this `layout` and `align`. `compare`: a rain pixel and its candidates
    are compared where the former's surroundings are ``"rain-free"``, which is the definition, or ``"rain"``, which is
    what the authors' program does: with it and their random numbers their outputs come out bit for bit.

    ``forward`` gives ``batch.references`` [B, K, 3, H, W], float32 in [0, 1]. ``per_image``: the engine shows
    it whole images once (`references`), because a small crop does not show the rain's angle.

    Raises `RecipeError` for settings out of range, `DataError` for images that are neither RGB nor grey.
    """

    per_image = True

    def __init__(
        self,
        *,
        samples: int = 50,
        expectation: bool = False,
        seed: int = 0,
        trust_mask: bool = True,
        layout: Layout = "authors",
        align: bool = False,
        compare: Compare = "rain-free",
    ) -> None:
        super().__init__()
        if samples < 1:
            raise RecipeError(f"nss: samples is {samples}; give 1 or more, or expectation=true for the mean")
        self.samples, self.expectation, self.seed, self.trust_mask = samples, expectation, seed, trust_mask
        self.compare = _checked("compare", compare, COMPARISONS)
        self.ldgp = LDGP(layout=layout, align=align)

    @torch.no_grad()
    def forward(self, batch: Batch) -> Batch:
        """Return the batch with its references."""
        priors = self._priors(batch)
        images = to_8bit(batch.degraded)
        keys = [0] * len(images) if batch.key is None else batch.key.tolist()
        values = batch.degraded.float()
        rows = [self._references(*row) for row in zip(images, values, priors, keys, strict=True)]
        return batch.replace(references=torch.stack(rows))

    @torch.no_grad()
    def references(self, image_HWC: Pixels, key: int = 0) -> Pixels:
        """Return uint8 references [K, H, W, 3] of a whole uint8 image; K is 1 for the expectation."""
        batch = _to_tensor(image_HWC)
        image = to_8bit(batch)[0]
        found = self._references(image, image, self.ldgp.graded(batch)[0, 0], key)
        return _to_pixels(found)

    @torch.no_grad()
    def apply_to(self, image_HWC: Pixels, mask: Pixels | None = None, samples: int = 0) -> dict[str, Pixels]:
        """Return the expectation under ``""`` and `samples` references under ``sample-01`` and so on.

        `image_HWC`: uint8 RGB. `mask`: [H, W] uint8, over 10 is rain and only 0 rain-free.
        """
        batch = _to_tensor(image_HWC)
        image = to_8bit(batch)[0]
        prior = self.ldgp.graded(batch)[0, 0] if mask is None else torch.from_numpy(mask.copy())
        if prior.shape != image.shape[1:]:
            raise DataError(
                f"the mask has {prior.shape[0]} x {prior.shape[1]} pixels (height x width), the image"
                f" {image.shape[1]} x {image.shape[2]}; give the mask of this image"
            )
        # Without samples the bands are made, used and dropped one by one.
        bands = candidate_bands(image, prior, compare=self.compare)
        kept = list(bands) if samples else bands
        results = {"": _to_pixels(expectation(image, kept)[None])[0]}
        if samples:
            drawn = _to_pixels(draw(image, kept, samples, _generator(self.seed, 0)))
            digits = max(2, len(str(samples)))
            results |= {f"sample-{n:0{digits}d}": pixels for n, pixels in enumerate(drawn, 1)}
        return results

    def _priors(self, batch: Batch) -> Tensor:
        """Return the graded priors, uint8 [B, H, W]."""
        if self.trust_mask and batch.mask is not None:
            return to_levels(batch.mask[:, 0])
        return self.ldgp.graded(batch.degraded)[:, 0]

    def _references(self, image: Tensor, values: Tensor, prior: Tensor, key: int) -> Tensor:
        """Return [K, C, H, W]: `image` decides the weights, `values` are what is copied."""
        bands = candidate_bands(image, prior, compare=self.compare)
        if self.expectation:
            return expectation(values, bands)[None]
        return draw(values, bands, self.samples, _generator(self.seed, key))


def to_8bit(image_BCHW: Tensor) -> Tensor:
    """Return RGB or grey images in [0, 1] as uint8 RGB [B, 3, H, W], rounded."""
    if image_BCHW.ndim != 4 or image_BCHW.shape[1] not in (1, 3):
        raise DataError(
            f"images of shape {tuple(image_BCHW.shape)} cannot be used; give RGB [B, 3, H, W] or grey"
            " [B, 1, H, W] in [0, 1]"
        )
    return to_levels(image_BCHW).expand(-1, 3, -1, -1).contiguous()


def _to_tensor(image_HWC: Pixels) -> Tensor:
    """Return uint8 pixels [H, W], [H, W, 1] or [H, W, 3] as [1, C, H, W] float32 in [0, 1]."""
    return to_image(image_HWC[..., None] if image_HWC.ndim == 2 else image_HWC)


def _to_pixels(images_KCHW: Tensor) -> Pixels:
    """Return images in 0..255 as uint8 [K, H, W, C], rounded."""
    rounded = images_KCHW.round() if images_KCHW.is_floating_point() else images_KCHW
    return rounded.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _generator(seed: int, key: int) -> torch.Generator:
    """Return a CPU generator for this seed and key; near seeds give unrelated numbers."""
    digest = hashlib.blake2b(f"nss {seed} {key}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def _checked(setting: str, value: _Choice, known: tuple[_Choice, ...]) -> _Choice:
    if value not in known:
        raise RecipeError(f"{setting} {value!r} is unknown; use {' or '.join(known)}.{closest(value, known)}")
    return value
