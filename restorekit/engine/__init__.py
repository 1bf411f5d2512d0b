"""The engine: trains any recipe."""

from restorekit.engine.train import Options, RunResult, train

__all__ = ["Options", "RunResult", "train"]
