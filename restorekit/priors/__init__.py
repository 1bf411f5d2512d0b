"""Priors of the core: each takes a `restorekit.interface.Batch` and returns it with a mask or references"
" added."""
