"""Weights: our own layout, the three released ones, and where to get them."""
