"""Restoring images of any kind and size with any model."""

from restorekit.padding import pad_to_rule
from restorekit.restoring.folders import FileOptions, Report, restore_paths, run_jobs
from restorekit.restoring.planning import Job, plan_jobs
from restorekit.restoring.restorer import AdaptiveRestorer, BaseRestorer, Restorer
from restorekit.restoring.settings import Budget, RestorerInfo
from restorekit.restoring.tiling import receptive_field, run_tiled

__all__ = [
    "AdaptiveRestorer",
    "BaseRestorer",
    "Budget",
    "FileOptions",
    "Job",
    "Report",
    "Restorer",
    "RestorerInfo",
    "pad_to_rule",
    "plan_jobs",
    "receptive_field",
    "restore_paths",
    "run_jobs",
    "run_tiled",
]
