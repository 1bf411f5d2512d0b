"""Losses of the core. Each takes a `restorekit.types.LossInput` and returns one unweighted float32 scalar."""
