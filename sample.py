"""Renders MIDI files to audio: python sample.py song.mid --out song.wav."""

from spectrodiff.commands import program

if __name__ == "__main__":
    program.script("sample")
