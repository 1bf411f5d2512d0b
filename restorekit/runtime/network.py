"""An exported network in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.errors import RestorekitError, WeightsError
from restorekit.pixels import Planes
from restorekit.runtime.facts import INPUT, OUTPUT, Facts

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# What restoring prefers, in this order, among what the installed onnxruntime offers.
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


class OnnxNetwork:
    """Runs an exported file: planes [B, 3, H, W] float32 in [0, 1] -> the same, for sizes that its `facts` allow.

    `device`: ``auto``, ``cpu`` or ``cuda``. `threads`: 0 for what onnxruntime chooses. Raises `WeightsError` when the
    file is missing, damaged or not written by `restorekit export`, and `RestorekitError` for a device that the
    installed onnxruntime does not have.
    """

    def __init__(self, path: str | Path, device: str = "auto", threads: int = 0) -> None:
        self.path = Path(path)
        self.session = _session(self.path, device, threads)
        self.device = "cuda" if self.session.get_providers()[0] == _PROVIDERS["cuda"] else "cpu"
        self.facts = Facts.of(self.session.get_modelmeta().custom_metadata_map, str(path))

    def __call__(self, planes: Planes) -> Planes:
        """Restore `planes`."""
        result: Planes = self.session.run([OUTPUT], {INPUT: planes})[0]
        return result


def _session(path: Path, device: str, threads: int) -> InferenceSession:
    import onnxruntime

    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file; write it with `restorekit export MODEL -o {path.name}`")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own optimisations
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=_providers(device))
    except Exception as error:  # onnxruntime raises a class of its own for each of its status codes
        raise WeightsError(
            f"{path} cannot be read as an ONNX model ({' '.join(str(error).split())[:200]}); export it again with"
            " `restorekit export`"
        ) from error


def _providers(device: str) -> list[str]:
    """Return the execution providers to try, the plain CPU last."""
    import onnxruntime

    if device not in ("auto", *_PROVIDERS):
        raise RestorekitError(f"device {device!r} is unknown to the backend onnx; use auto, cpu or cuda")
    offered = onnxruntime.get_available_providers()
    if device == "cuda" and _PROVIDERS["cuda"] not in offered:
        raise RestorekitError(
            "device 'cuda' is not available: the installed onnxruntime was built for CPU only; install"
            " onnxruntime-gpu in its place, or use --device cpu"
        )
    wanted = ("cuda", "cpu") if device in ("auto", "cuda") else ("cpu",)
    return [_PROVIDERS[name] for name in wanted if _PROVIDERS[name] in offered]
