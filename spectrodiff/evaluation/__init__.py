"""Evaluation: songs are rendered, scored against their recordings, and summed up as results."""
