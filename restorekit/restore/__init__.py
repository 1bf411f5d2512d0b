"""Restoring images of any kind and size with any model.

The package itself can be called, so that ``restorekit.restore(image, model=...)`` works whether or not the
package was imported before: importing a subpackage replaces the attribute of the same name in its parent.
"""

import sys
from types import ModuleType
from typing import Any

from restorekit.padding import pad_to_rule
from restorekit.restore.folders import Job, Report, plan_jobs, restore_paths, run_jobs
from restorekit.restore.restorer import AdaptiveRestorer, BaseRestorer, Budget, Restorer, RestorerInfo
from restorekit.restore.tiling import receptive_field, run_tiled

__all__ = [
    "AdaptiveRestorer",
    "BaseRestorer",
    "Budget",
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


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from restorekit.restore.load import restore  # the engine is imported on first use

        return restore(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
