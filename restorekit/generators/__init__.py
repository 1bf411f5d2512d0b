"""Generators of the core."""
