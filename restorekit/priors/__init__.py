"""Priors of the core: each returns a `restorekit.interface.Batch` with a mask or references added."""
