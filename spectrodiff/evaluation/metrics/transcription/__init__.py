"""Transcription of audio to notes, and agreement of notes."""
