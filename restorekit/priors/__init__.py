"""Priors of the core: each takes a `restorekit.types.Batch` and returns it with a mask or references"
" added."""
