"""Scores of songs: the metrics of an evaluation, and what is stored of them."""
