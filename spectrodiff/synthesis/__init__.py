"""The main algorithm: tokens of a song to features, segment after segment, to audio."""

from spectrodiff.synthesis.loading import load
from spectrodiff.synthesis.synthesizer import Song, Synthesizer

__all__ = ["Song", "Synthesizer", "load"]
