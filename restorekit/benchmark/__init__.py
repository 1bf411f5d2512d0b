"""Comparing models on a data set: scores under named protocols, intervals, cost, and a page to look at.

`run` benchmarks installed models, `score` images that another program made. Importing this package does not
import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restorekit.benchmark.foreign import score
    from restorekit.benchmark.runner import run

__all__ = ["run", "score"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from restorekit.benchmark.runner import run

        return run
    if name == "score":
        from restorekit.benchmark.foreign import score

        return score
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
