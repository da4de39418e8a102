"""Corpora, one file each: their recordings, notes and splits."""
