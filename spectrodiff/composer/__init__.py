"""A writer of synthetic music, the same music for the same seed."""
