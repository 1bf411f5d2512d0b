"""Batches: order, crops, references, and images that cannot be read."""
