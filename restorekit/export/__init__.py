"""Exporting trained networks to ONNX (extra ``restorekit[onnx]``)."""

from restorekit.export.write import PRECISIONS, Exported, export_onnx, export_restorer, require_packages, why_not

__all__ = ["PRECISIONS", "Exported", "export_onnx", "export_restorer", "require_packages", "why_not"]
