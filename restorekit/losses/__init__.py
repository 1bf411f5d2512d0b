"""Losses of the core. Each takes a `restorekit.interface.LossInput` and returns one unweighted float32 scalar."""
