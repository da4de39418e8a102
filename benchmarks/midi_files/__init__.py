"""Parts of midi_parsers.py: what players make of MIDI files, and other parsers."""
