"""Models for others: files for other programs, model cards, uploads."""
