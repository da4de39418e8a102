"""Recordings of instruments that `mini` does not know, each with its MIDI file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

import spectrodiff as sd
from spectrodiff.audio.files import write_audio
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.data.prepare.soundfont import SoundfontRenderer

# Solos in the range of a harpsichord of five octaves, with pauses and chords of up to six notes.
SETTINGS = dataclasses.replace(NARROW, parts=(1, 1), programs=(0,), pitch_range=(36, 89))
SEED = 101
TAIL_SECONDS = 1.0
# General MIDI programs of the soundfont. `plucked` is a synthesizer of this module.
SOUNDFONT_PROGRAMS = {"piano": 0, "harpsichord": 6, "organ": 19}
INSTRUMENTS = (*SOUNDFONT_PROGRAMS, "plucked")
_GAIN = 0.8

Play = Callable[[sd.Notes], np.ndarray]


def player(instrument: str) -> Play:
    """Returns the function that plays notes: float32 [samples] at 16 kHz.

    Raises:
        CorpusError: if the instrument needs FluidSynth or its soundfont, and it is missing.
    """
    if instrument == "plucked":
        return pluck_all
    renderer = SoundfontRenderer(None, _GAIN, tail_seconds=TAIL_SECONDS)
    program = SOUNDFONT_PROGRAMS[instrument]

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


def pluck_all(notes: sd.Notes) -> np.ndarray:
    """Plays notes on plucked strings; float32 [samples] at 16 kHz."""
    audio = np.zeros(round((notes.total_seconds + TAIL_SECONDS) * SAMPLE_RATE), np.float32)
    for row in range(len(notes)):
        begin = round(float(notes.onset_seconds[row]) * SAMPLE_RATE)
        held = float(notes.offset_seconds[row] - notes.onset_seconds[row])
        string = pluck(int(notes.pitch[row]), held, int(notes.velocity[row]), seed=row)
        string = string[: len(audio) - begin]
        audio[begin : begin + len(string)] += string
    return audio


def pluck(pitch: int, held_seconds: float, velocity: int, seed: int) -> np.ndarray:
    """Plays a note by the algorithm of Karplus and Strong (1983): a delay line fed by noise.

    Args:
        pitch: MIDI pitch.
        held_seconds: time until the string is damped.
        velocity: loudness, 1 to 127.
        seed: of the noise.

    Returns:
        Float32 [samples] at 16 kHz, 0.1 s longer than the note is held.
    """
    period_samples = SAMPLE_RATE / (440 * 2 ** ((pitch - 69) / 12))
    # The mean of two samples, which damps high partials, delays by half a sample.
    whole, fraction = divmod(period_samples - 0.5, 1)
    loop = 0.996 * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    feedback = np.concatenate([[1.0], np.zeros(int(whole) - 1), -loop])
    samples = round((held_seconds + 0.1) * SAMPLE_RATE)
    burst = np.zeros(samples)
    noise = np.random.default_rng(seed).uniform(-1, 1, samples)
    length = min(samples, round(period_samples))
    burst[:length] = noise[:length] - noise[:length].mean()
    string = 0.2 * velocity / 127 * lfilter([1.0], feedback, burst)
    damping = np.clip((held_seconds + 0.1 - np.arange(samples) / SAMPLE_RATE) / 0.1, 0, 1)
    return (string * damping).astype(np.float32)
