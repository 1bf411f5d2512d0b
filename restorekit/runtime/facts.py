"""What an exported model says about itself: the metadata of its ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from restorekit.errors import WeightsError
from restorekit.interface import SizeRule

INPUT = "degraded"
OUTPUT = "restored"
PREFIX = "restorekit."
PREPROCESSING = (
    "degraded: [batch, 3, height, width] float32, RGB, 8-bit levels divided by 255 (16-bit by 65535), no mean"
    " subtracted; height and width multiples of restorekit.multiple and at least restorekit.minimum, padded at the"
    " bottom and the right by reflection. restored: the same shape and range, already clipped to [0, 1]; crop the"
    " padding off."
)


@dataclass(frozen=True)
class Facts:
    """An exported model in words and numbers.

    `model`, `task`, `weights`, `recipe`: which network it is, for which task, where its weights came from, and the
    digest of its recipe. `multiple`, `minimum`: the sizes that it takes, in pixels. `reach`: how far an input pixel
    can be from an output pixel and still matter to it. `bytes_per_pixel`: memory that restoring takes, for each pixel
    of a tile. `precision`: ``fp32``, ``fp16`` or ``int8``. `version`: the
    restorekit that wrote it.
    """

    model: str
    task: str
    weights: str
    recipe: str
    multiple: int
    minimum: int
    reach: int
    bytes_per_pixel: int
    precision: str
    version: str

    @property
    def rule(self) -> SizeRule:
        """The sizes that the network takes."""
        return SizeRule(self.multiple, self.minimum)

    def metadata(self) -> dict[str, str]:
        """Return the facts as the key-value pairs that an ONNX file holds, the preprocessing stated."""
        pairs = {f"{PREFIX}{name}": str(value) for name, value in asdict(self).items()}
        return pairs | {f"{PREFIX}preprocessing": PREPROCESSING}

    @classmethod
    def of(cls, metadata: Mapping[str, str], origin: str) -> Facts:
        """Read the facts back. Raises `WeightsError` when `restorekit export` did not write them."""
        try:
            values = {f.name: metadata[PREFIX + f.name] for f in fields(cls)}
            numbers = {name: int(values[name]) for name in ("multiple", "minimum", "reach", "bytes_per_pixel")}
        except (KeyError, ValueError) as error:
            raise WeightsError(
                f"{origin}: its metadata lacks {str(error).strip(chr(39))}, so that it cannot be known how to feed it;"
                " export the model with `restorekit export MODEL -o FILE.onnx`"
            ) from error
        return cls(**(values | numbers))  # type: ignore[arg-type]
