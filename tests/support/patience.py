"""Longest time that tests wait for what has to come; a busy machine is no failure."""

PATIENCE_SECONDS = 300
