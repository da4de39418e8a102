"""Recipes: training of a model and its inverter from a soundfont in a given time."""
