"""MIDI files: read as players read them, written, and described."""
