"""Data sets: what is known about them, reading, pairing, synthesis. Importing this package does not import torch."""

from restorekit.data.cards import DatasetCard, Split

__all__ = ["DatasetCard", "Split"]
