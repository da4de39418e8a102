"""Functions that score audio, with their uncertainty; they know neither files nor tables."""
