"""Recordings of instruments with their MIDI files; `mini` knows only the piano."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

import spectrodiff as sd
from spectrodiff.audio.files import write_audio
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.prepare.soundfont import SoundfontRenderer

# Solos in the range of a harpsichord of five octaves, with pauses and chords of up to six notes.
SETTINGS = dataclasses.replace(NARROW, parts=(1, 1), programs=(0,), pitch_range=(36, 89))
SEED = 7
TAIL_SECONDS = 1.0
# General MIDI programs of the soundfont
INSTRUMENTS = {"piano": 0, "harpsichord": 6, "organ": 19}
_GAIN = 0.8

Play = Callable[[sd.Notes], np.ndarray]


def player(instrument: str) -> Play:
    """Returns the function that plays notes: float32 [samples] at 16 kHz.

    Raises:
        CorpusError: if FluidSynth or its soundfont is missing.
    """
    renderer = SoundfontRenderer(None, _GAIN, tail_seconds=TAIL_SECONDS)
    program = INSTRUMENTS[instrument]

    def play(notes: sd.Notes) -> np.ndarray:
        own = dataclasses.replace(notes, program=np.full(len(notes), program))
        return renderer.render(own).astype(np.float32) / 32768

    return play


def songs(first: int, count: int) -> dict[str, sd.Notes]:
    """Returns composed solos by name, all with program 0."""
    return {f"take{i:03d}": compose(SEED, SETTINGS, i) for i in range(first, first + count)}


def write_pairs(folder: Path, notes: dict[str, sd.Notes], play: Play) -> float:
    """Writes NAME.wav and NAME.mid of each song; returns the minutes of audio."""
    samples = 0
    for name, song in notes.items():
        audio = play(song)
        samples += len(audio)
        folder.mkdir(parents=True, exist_ok=True)
        write_audio(folder / f"{name}.wav", audio, SAMPLE_RATE)
        sd.write_midi(song, folder / f"{name}.mid")
    return samples / SAMPLE_RATE / 60
