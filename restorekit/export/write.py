"""`export_onnx`: from a model's name to a checked file and its card."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from restorekit.errors import RestorekitError, closest
from restorekit.export.card import card
from restorekit.export.graph import graph_of
from restorekit.export.parity import Cost, Samples, differences, require_equal
from restorekit.export.precision import to_half, to_int8
from restorekit.files import explained, make_folder, write_file
from restorekit.interface import Output, SizeRule
from restorekit.leftovers import temporary
from restorekit.plugin.registry import registry
from restorekit.restoring.load import load
from restorekit.restoring.memory import bytes_per_pixel
from restorekit.restoring.restorer import BaseRestorer, Restorer
from restorekit.restoring.settings import RestorerInfo
from restorekit.restoring.spans import FARTHEST
from restorekit.restoring.tiling import receptive_field
from restorekit.restoring.whole import WholeImage
from restorekit.runtime.facts import Facts
from restorekit.runtime.network import OnnxNetwork
from restorekit.version import __version__
from restorekit.weights import find_weights

if TYPE_CHECKING:
    from onnx import ModelProto


PRECISIONS = ("fp32", "fp16", "int8")
SUFFIX = ".onnx"
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Exported:
    """What was written: the file `path`, its `card`, and what was measured.

    `facts`: what the file says about itself. `differences`: the largest difference to PyTorch in float32 by size
    ("BxHxW"). `cost`: what the precision costs, when images were given.
    """

    path: Path
    card: Path
    facts: Facts
    differences: Mapping[str, float]
    cost: Cost | None


def export_onnx(
    model: str,
    path: str | Path,
    *,
    weights: str | Path | None = None,
    precision: str = "fp32",
    images: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as ONNX, with batch, height and width free, and a card beside it (``.md``).

    The graph in float32 is compared with PyTorch by onnxruntime on three sizes before anything is written.
    `precision`: ``fp32``, ``fp16``, or ``int8``, which needs `images`: a data set or folder to calibrate and measure
    on. `weights`: as for `restorekit.load`.

    Raises `RestorekitError` for a model that adapts, whose network is another one for each image; when the packages of
    ``restorekit[onnx]`` are missing, `path` is there already (unless `overwrite`), or the results differ by more than
    1e-4.
    """
    path = Path(path)
    _check(path, precision, images, overwrite)
    restorer = load(model, weights, device="cpu", precision="fp32")
    if why := why_not(restorer.info):
        raise RestorekitError(f"model {model!r} cannot be exported: {why}; use restorekit itself to restore with it")
    return export_restorer(restorer, path, _card_of_weights(model, weights), precision=precision, images=images)


def export_restorer(
    restorer: BaseRestorer,
    path: Path,
    card_of_weights: str = "",
    *,
    precision: str = "fp32",
    images: str | None = None,
) -> Exported:
    """Write the network of a restorer that computes in float32 on the CPU; an older file is replaced.

    `card_of_weights`: text that the card ends with. The rest, and what is raised, as in `export_onnx`.
    """
    if not isinstance(restorer, Restorer):
        raise RestorekitError(f"model {restorer.info.model!r} has no network that could be written")
    network = restorer.generator.to(memory_format=torch.contiguous_format)
    facts = _facts(restorer, network)
    samples = Samples(images, facts.rule) if images else None
    with temporary("export") as folder:
        graph = graph_of(network, facts.rule)
        plain = _opened(graph, facts, folder / "fp32.onnx")
        found = differences(network, plain)
        require_equal(found)
        facts, cost = replace(facts, precision=precision), None
        if precision != "fp32":
            calibrating = samples.calibrating if samples and precision == "int8" else []
            graph = to_half(graph) if precision == "fp16" else to_int8(graph, calibrating)
            small = _opened(graph, facts, folder / "small.onnx")
            cost = samples.cost(plain, small, len(calibrating)) if samples else None
    text = card(path.name, facts, found, cost, card_of_weights)
    _write(graph, facts, path)
    _write_bytes(path.with_suffix(".md"), text.encode())
    return Exported(path, path.with_suffix(".md"), facts, found, cost)


def _check(path: Path, precision: str, images: str | None, overwrite: bool) -> None:
    """Raise `RestorekitError` for what can be known to fail before anything is computed."""
    if precision not in PRECISIONS:
        hint = closest(precision, PRECISIONS)
        raise RestorekitError(f"precision {precision!r} is unknown here; use one of {', '.join(PRECISIONS)}.{hint}")
    if precision == "int8" and not images:
        raise RestorekitError(
            "int8 is calibrated on images like those that will be restored; name a data set or a folder with --images"
        )
    if path.suffix.lower() != SUFFIX:
        raise RestorekitError(f"{path}: an exported model ends in {SUFFIX}; write -o {path.with_suffix(SUFFIX)}")
    for there in (path, path.with_suffix(".md")):
        if there.exists() and not overwrite:
            raise RestorekitError(f"{there} exists; choose another name, or --overwrite")
    require_packages()
    make_folder(path.parent)


def require_packages() -> None:
    """Raise `RestorekitError` when the packages of ``restorekit[onnx]`` are missing."""
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise RestorekitError(f"exporting needs {', '.join(missing)}; run: pip install 'restorekit[onnx]'")


def why_not(info: RestorerInfo) -> str:
    """Return why a model cannot be exported, as what follows its name; an empty string when it can."""
    if not info.adaptive:
        return ""
    if info.learns:
        return "it trains a network on each image, so that there is no network to write before the image is known"
    return "it computes each image by a procedure without a network"


def _facts(restorer: Restorer, network: nn.Module) -> Facts:
    rule = SizeRule.of(network)
    info = restorer.info
    return Facts(
        model=info.model,
        task=info.task,
        weights=info.weights,
        recipe=info.recipe_digest,
        multiple=rule.multiple,
        minimum=rule.minimum,
        reach=FARTHEST if WholeImage(network) else receptive_field(network, rule),  # a file sees each tile alone
        bytes_per_pixel=round(_bytes_per_pixel(network, rule)),
        precision="fp32",
        version=__version__,
    )


def _bytes_per_pixel(network: nn.Module, rule: SizeRule) -> float:
    with torch.inference_mode():
        return bytes_per_pixel(lambda image: Output.of(network(image)).image, rule, torch.device("cpu"))[1]


def _opened(graph: ModelProto, facts: Facts, path: Path) -> OnnxNetwork:
    _write(graph, facts, path)
    return OnnxNetwork(path, "cpu")


def _write(graph: ModelProto, facts: Facts, path: Path) -> None:
    import onnx

    onnx.helper.set_model_props(graph, facts.metadata())
    _write_bytes(path, graph.SerializeToString())


def _write_bytes(path: Path, data: bytes) -> None:
    with explained(path):
        write_file(path, lambda file: file.write(data))


def _card_of_weights(model: str, weights: str | Path | None) -> str:
    """Return the card that lies beside the weights, or an empty string."""
    beside = find_weights(registry().find("model", model), weights).path.with_suffix(".md")
    return beside.read_text(encoding="utf-8") if beside.is_file() else ""
