"""Rendering: from the tokens of a song, segment by segment, to features and audio."""
