"""Restoring with an exported file in place of a network of PyTorch: ``restore --backend onnx``."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from restorekit.errors import RestorekitError
from restorekit.interface import SizeRule
from restorekit.restoring.blending import check_strength
from restorekit.restoring.restorer import BaseRestorer, Network, Run
from restorekit.restoring.settings import RestorerInfo, TileSettings
from restorekit.runtime.network import OnnxNetwork
from restorekit.weights.manifest import file_sha256


class OnnxBackend(BaseRestorer):
    """Restores whatever a `Restorer` does, by onnxruntime.

    `strength`: as for `load`. `settings`: as for `Restorer`, except `precision`.

    Tensors stay on the CPU; `device` (``auto``, ``cpu``, ``cuda``) is where onnxruntime computes, with so many
    `threads`, 0 for what it chooses. Raises what `OnnxNetwork` does, and `RestorekitError` when onnxruntime is missing.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        strength: float = 1.0,
        threads: int = 0,
        **settings: Unpack[TileSettings],
    ) -> None:
        check_strength(strength)
        try:
            network = OnnxNetwork(path, device, threads)
        except ImportError as error:
            raise RestorekitError("the backend onnx needs onnxruntime; pip install 'restorekit[onnx]'") from error
        facts = network.facts
        info = RestorerInfo(
            facts.model,
            facts.task,
            f"{facts.weights}, exported in {facts.precision}",
            recipe_digest=facts.recipe,
            strength=strength,
        )
        super().__init__(device="cpu", precision="fp32", info=info, **settings)
        self.path = network.path
        self.facts = facts
        self._face = _Face(network, strength)

    @property
    def where(self) -> str:
        """Device and precision, in words."""
        return f"{self._face.network.device}, {self.facts.precision}, by onnxruntime"

    def weights_digest(self) -> str:
        """Return the SHA-256 of the exported file."""
        return file_sha256(self.path)

    def _network_for(self, image: Tensor) -> Network:
        return self._face

    def _fixed_network(self) -> Network:
        return self._face

    def _reach(self, network: object, rule: SizeRule) -> int:
        return self.facts.reach

    def _need(self, network: object, fn: Run, rule: SizeRule, precision: object) -> tuple[float, float]:
        return 0.0, float(self.facts.bytes_per_pixel)


class _Face:
    """Lets tensors into the exported network, and blends its results with the input."""

    def __init__(self, network: OnnxNetwork, strength: float) -> None:
        self.network = network
        self.strength = strength
        self.size_rule = network.facts.rule

    def __call__(self, degraded: Tensor) -> Tensor:
        restored = torch.from_numpy(self.network(degraded.contiguous().numpy()))
        return restored if self.strength == 1 else degraded.lerp(restored, self.strength)
