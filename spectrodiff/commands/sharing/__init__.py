"""Commands that exchange models: downloads of published ones."""
