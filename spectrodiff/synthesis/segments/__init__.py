"""Generators of segments: one file per kind of network."""
