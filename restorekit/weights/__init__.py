"""Weights: find, verify, load, save. Importing this package does not import torch."""

from restorekit.weights.find import WeightsFile, default_model, find_weights, weights_state

__all__ = ["WeightsFile", "default_model", "find_weights", "weights_state"]
