"""Read the authors' checkpoint format: a plain state dict for BGR images in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_GATES = ("conv_i.0", "conv_f.0", "conv_g.0", "conv_o.0")
_BLOCKS = {
    f"det_conv{block + 1}.{index}": f"recurrent.blocks.{block}.{layer}"
    for block in range(5)
    for index, layer in ((0, "first"), (2, "second"))
}
_BOTTLENECK = ("conv4", "conv5", "conv6", "diconv1", "diconv2", "diconv3", "diconv4", "conv7", "conv8")
_LAYERS = {
    "det_conv0.0": "recurrent.stem",
    **_BLOCKS,
    "det_conv_mask.0": "recurrent.to_map",
    "conv1.0": "autoencoder.full_encoder.0",
    "conv2.0": "autoencoder.half_encoder.0.0",
    "conv3.0": "autoencoder.half_encoder.1.0",
    **{f"{name}.0": f"autoencoder.bottleneck.{i}.0" for i, name in enumerate(_BOTTLENECK)},
    "outframe1.0": "autoencoder.quarter_output.0",
    "deconv1.0": "autoencoder.to_half.transposed",
    "conv9.0": "autoencoder.half_decoder.0",
    "outframe2.0": "autoencoder.half_output.0",
    "deconv2.0": "autoencoder.to_full.transposed",
    "conv10.0": "autoencoder.full_decoder.0",
    "output.0": "autoencoder.full_output",
}
_READ_IMAGES = ("det_conv0.0", "conv1.0")
_WRITE_IMAGES = ("outframe1.0", "outframe2.0", "output.0")
_KINDS = ("weight", "bias")


def author_keys() -> frozenset[str]:
    """Return the keys of the authors' state dict."""
    return frozenset(f"{layer}.{kind}" for layer in (*_LAYERS, *_GATES) for kind in _KINDS)


def from_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of `AttentiveGenerator` (RGB) for one in the authors' format (BGR).

    Raises `ValueError` that lists a few keys when they are not exactly the authors'.
    """
    expected = author_keys()
    missing, unexpected = sorted(expected - state.keys()), sorted(state.keys() - expected)
    if missing or unexpected:
        raise ValueError(
            "these are not the keys of the authors' AttentiveGAN generator (gen.pkl):"
            f" {len(missing)} missing ({_few(missing)}), {len(unexpected)} unexpected ({_few(unexpected)})"
        )
    converted = {
        f"{ours}.{kind}": _to_rgb(theirs, kind, state[f"{theirs}.{kind}"])
        for theirs, ours in _LAYERS.items()
        for kind in _KINDS
    }
    for kind in _KINDS:
        converted[f"recurrent.lstm.gates.{kind}"] = torch.cat([state[f"{gate}.{kind}"] for gate in _GATES])
    return converted


def _to_rgb(layer: str, kind: str, value: Tensor) -> Tensor:
    if layer in _READ_IMAGES and kind == "weight":
        return value[:, [2, 1, 0, 3]].contiguous()
    if layer in _WRITE_IMAGES:
        return value.flip(0)
    return value.clone()


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "") if keys else "none"
