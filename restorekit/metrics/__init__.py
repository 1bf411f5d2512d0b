"""Measures of restoration quality, each under a named protocol (see `restorekit.metrics.protocols`)."""
