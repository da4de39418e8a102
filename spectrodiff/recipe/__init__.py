"""Recipes: models from nothing but a soundfont and some minutes of computing."""
