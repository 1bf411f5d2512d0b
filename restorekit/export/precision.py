"""Smaller numbers in an ONNX graph: float16, and 8-bit integers calibrated on images."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from restorekit.leftovers import temporary
from restorekit.pixels import Planes
from restorekit.runtime.facts import INPUT

if TYPE_CHECKING:
    from onnx import ModelProto


# A convolution from or to this few channels carries the image itself, or gates, and has few operations: in 8 bits
# AttentiveGAN's result was 31.7 dB away from the one in float32, with these in float32 36.5.
_THIN = 4


def to_half(model: ModelProto) -> ModelProto:
    """Return the graph with weights and computation in float16; what goes in and out stays float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half: ModelProto = convert_float_to_float16(model, keep_io_types=True)
    return half


def to_int8(model: ModelProto, images: Sequence[Planes]) -> ModelProto:
    """Return the graph with convolutions in 8 bits, their ranges taken from `images` [1, 3, H, W] in [0, 1].

    Weights have one scale per channel. Thin convolutions stay in float32.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with temporary("export") as folder, _quiet():
        plain, quantised = folder / "plain.onnx", folder / "int8.onnx"
        onnx.save(model, plain)
        quantize_static(
            plain,
            quantised,
            _Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_thin(model),
        )
        return onnx.load(quantised)


class _Images:
    """Hands images over in the manner of onnxruntime's ``CalibrationDataReader``."""

    def __init__(self, images: Sequence[Planes]) -> None:
        self._left: Iterator[Planes] = iter(images)

    def get_next(self) -> dict[str, Planes] | None:
        planes = next(self._left, None)
        return None if planes is None else {INPUT: planes}


def _thin(model: ModelProto) -> list[str]:
    """Return the names of the convolutions that stay as they are."""
    shapes = {value.name: tuple(value.dims) for value in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and min(shapes.get(node.input[1], (0,))[:2]) <= _THIN
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice to pre-process the model off the terminal: torch's exporter did that."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
