"""Commands that pass models on."""
