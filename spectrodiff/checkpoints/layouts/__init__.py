"""Checkpoint layouts: ours, those the weights were released in, and safe readers of their files."""
