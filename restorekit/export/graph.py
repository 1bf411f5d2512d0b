"""From a network of PyTorch to an ONNX graph with free batch, height and width."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from restorekit.errors import RestorekitError
from restorekit.interface import Output, SizeRule
from restorekit.runtime.facts import INPUT, OUTPUT

if TYPE_CHECKING:
    from onnx import ModelProto


OPSET = 18
"""The lowest that torch's exporter writes without converting: every onnxruntime from 1.14 (2023) on reads it."""

# Two sides that differ and a batch of two, so that the exporter takes none of them for a constant.
_SIDES = (96, 128)
_LARGEST = 2**15


class _Whole(nn.Module):
    """What the file computes: the network's image, clipped."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, degraded: Tensor) -> Tensor:
        return Output.of(self.network(degraded)).image.clamp(0, 1)


def graph_of(network: nn.Module, rule: SizeRule) -> ModelProto:
    """Return the network, on the CPU and in evaluation, as an ``onnx.ModelProto`` of float32.

    Raises `RestorekitError` when the exporter cannot follow the network.
    """
    sides = (rule.padded(_SIDES[0]), rule.padded(_SIDES[1]) + rule.multiple)
    example = torch.rand(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    free = {0: torch.export.Dim("batch", min=1, max=1024), 2: _side("rows", rule), 3: _side("columns", rule)}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Whole(network).eval(),
                (example,),
                dynamo=True,
                dynamic_shapes={INPUT: free},
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
        assert program is not None
        return program.model_proto
    except Exception as error:  # a plugin's network may do anything, and the exporter has many classes of errors
        raise RestorekitError(
            f"{type(network).__name__} cannot be exported: torch's exporter says {' '.join(str(error).split())[:300]};"
            " networks whose operations depend on the values of the image have no fixed graph"
        ) from error


def _side(name: str, rule: SizeRule) -> torch.export.Dim:
    """Return the free size of one side: `rule.multiple` times a whole number."""
    least = max(1, rule.minimum // rule.multiple)
    side: torch.export.Dim = rule.multiple * torch.export.Dim(name, min=least, max=_LARGEST // rule.multiple)
    return side


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and its warnings about its own parts off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
