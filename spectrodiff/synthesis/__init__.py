"""Rendering: from the tokens of a song, segment by segment, to features and audio."""

from spectrodiff.synthesis.loading import load
from spectrodiff.synthesis.synthesizer import Song, Synthesizer

__all__ = ["Song", "Synthesizer", "load"]
