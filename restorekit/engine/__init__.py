"""The engine: trains any recipe."""

from restorekit.engine.run.train import Options, RunResult, train

__all__ = ["Options", "RunResult", "train"]
