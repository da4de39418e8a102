"""Writes the examples: `python examples/make_examples.py [FOLDER]`, by default beside this file.

The output is reproducible: accents, phrasing and a few milliseconds of timing jitter are sampled
from a generator seeded with the names of song and part.
"""

import itertools
import math
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mido
from notation import Line, Part, Song
from scores import SONGS

TICKS_PER_BEAT = 960
DRUM_CHANNEL = 9
DRUM_HIT_BEATS = 0.25
PHRASE_BARS = 4
JITTER_BEATS = 0.008
# Larger than the jitter, so that a note ends before the next one of the same pitch.
RELEASE_BEATS = 0.02

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
NOTE_NAME = re.compile(r"([A-G])(#|b|)(-?\d)")


class Note(NamedTuple):
    """Note as written: times in quarter notes, MIDI pitch, and a reduction of the velocity."""

    start_beats: float
    length_beats: float
    pitch: int
    softness: int = 0


def midi_pitch(name: str) -> int:
    """Converts a note name to a MIDI pitch: "C4" is 60."""
    match = NOTE_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a note name such as F#4")
    letter, accidental, octave = match.groups()
    sharp = {"#": 1, "b": -1, "": 0}[accidental]
    return 12 * (int(octave) + 1) + SEMITONES[letter] + sharp


def read_line(line: Line) -> list[Note]:
    """Parses a line of music and checks the lengths of its bars."""
    bars = [bar.strip() for bar in line.music.strip().rstrip("|").split("|")]
    read_bar = _read_hits if line.drum is not None else _read_notes
    notes: list[Note] = []
    start_beats = line.start_beats
    for number, bar in enumerate(bars):
        beats = read_bar(bar, line, start_beats, notes)
        # Only the first bar may be shorter (a pickup).
        if not (math.isclose(beats, line.bar_beats) or (number == 0 and beats < line.bar_beats)):
            raise ValueError(f"bar {number} has {beats} of {line.bar_beats} beats: {bar}")
        start_beats += beats
    return notes


def _read_notes(bar: str, line: Line, start_beats: float, notes: list[Note]) -> float:
    """Appends the notes of one bar; returns its length in beats."""
    position, length = start_beats, 0.0
    for token in bar.split():
        names, _, units = token.partition(":")
        length = float(units) * line.unit_beats if units else length
        if names == "-":
            held = {note.start_beats for note in notes[-1:]}
            notes[:] = [
                note._replace(length_beats=note.length_beats + length)
                if note.start_beats in held
                else note
                for note in notes
            ]
        elif names != "r":
            pitches = [midi_pitch(name) + line.transpose for name in names.split("+")]
            notes.extend(Note(position, length, pitch) for pitch in pitches)
        position += length
    return position - start_beats


def _read_hits(bar: str, line: Line, start_beats: float, notes: list[Note]) -> float:
    """Appends the hits of one bar of percussion; returns its length in beats."""
    assert line.drum is not None
    for column, mark in enumerate(bar):
        if mark != ".":
            position = start_beats + column * line.unit_beats
            notes.append(Note(position, DRUM_HIT_BEATS, line.drum, 24 if mark == "o" else 0))
    return len(bar) * line.unit_beats


def perform(line: Line, swing: float, rng: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """Yields (on tick, off tick, pitch, velocity) of each note, with accents, swing and jitter."""
    for beat, chord in itertools.groupby(read_line(line), key=lambda note: note.start_beats):
        accent = 7 if beat % line.bar_beats < 0.01 else 3 if abs(beat - round(beat)) < 0.01 else 0
        phrase = 6 * math.sin(math.pi * (beat / (PHRASE_BARS * line.bar_beats) % 1))
        for place, note in enumerate(chord):
            velocity = line.level - note.softness + accent + phrase + rng.uniform(-4, 4)
            end = beat + note.length_beats * line.gate - RELEASE_BEATS
            # Percussion is written with swing already.
            on_beat, off_beat = (
                (beat, end) if line.drum is not None else (swung(beat, swing), swung(end, swing))
            )
            on_beat += line.roll_beats * place + rng.uniform(-JITTER_BEATS, JITTER_BEATS)
            on_tick = max(0, round(on_beat * TICKS_PER_BEAT))
            yield on_tick, round(off_beat * TICKS_PER_BEAT), note.pitch, round(velocity)


def swung(beat: float, swing: float) -> float:
    """Applies swing to a beat: the first eighth of each beat takes the share `swing`."""
    whole, part = divmod(beat, 1)
    return whole + (2 * part * swing if part < 0.5 else 1 - 2 * (1 - part) * (1 - swing))


def part_track(part: Part, channel: int, song: Song) -> mido.MidiTrack:
    """Returns the track of one part."""
    events: list[tuple[int, int, mido.Message]] = []  # tick, order within the tick, message
    if part.program is not None:
        message = mido.Message("program_change", channel=channel, program=part.program)
        events.append((0, 0, message))
    for beats, value in [(down, 127) for down, _ in part.pedal] + [(up, 0) for _, up in part.pedal]:
        message = mido.Message("control_change", channel=channel, control=64, value=value)
        events.append((round(beats * TICKS_PER_BEAT), 1, message))
    for number, line in enumerate(part.lines):
        rng = random.Random(f"{song.file}/{part.name}/{number}")
        for on_tick, off_tick, pitch, velocity in perform(line, song.swing, rng):
            on = mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)
            off = mido.Message("note_off", channel=channel, note=pitch, velocity=0)
            # Note-offs come before note-ons at the same tick, so that notes can be repeated.
            events += [(on_tick, 3, on), (off_tick, 2, off)]
    return _track(part.name, events)


def conductor_track(song: Song) -> mido.MidiTrack:
    """Returns the track with tempo changes."""
    events = [
        (round(beat * TICKS_PER_BEAT), 0, mido.MetaMessage("set_tempo", tempo=round(60e6 / bpm)))
        for beat, bpm in song.tempo
    ]
    return _track(song.title, events)


def _track(name: str, events: list[tuple[int, int, mido.Message]]) -> mido.MidiTrack:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    tick = 0
    for event_tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=event_tick - tick))
        tick = event_tick
    track.append(mido.MetaMessage("end_of_track"))
    return track


def write(song: Song, folder: Path) -> Path:
    """Writes a song as a MIDI file; returns its path."""
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    midi.tracks.append(conductor_track(song))
    channels = iter(channel for channel in range(16) if channel != DRUM_CHANNEL)
    for part in song.parts:
        channel = DRUM_CHANNEL if part.program is None else next(channels)
        midi.tracks.append(part_track(part, channel, song))
    path = folder / song.file
    midi.save(path)
    return path


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for song in SONGS:
        print(write(song, folder), mido.MidiFile(folder / song.file).length)
