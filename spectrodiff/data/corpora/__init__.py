"""Corpora, one file each: what recordings and notes they consist of, and their splits."""
