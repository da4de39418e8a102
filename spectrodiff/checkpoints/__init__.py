"""Checkpoints: reading and writing models in our layout and in the released ones, downloads."""
