"""Preparation of corpora: reading recordings, rendering MIDI, writing records."""
