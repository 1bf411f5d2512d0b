"""Exporting trained networks to ONNX (extra ``restorekit[onnx]``)."""

from restorekit.export.write import PRECISIONS, Exported, export_onnx

__all__ = ["PRECISIONS", "Exported", "export_onnx"]
