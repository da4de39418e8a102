"""Writes recordings of a synthetic plucked string with their MIDI files, to try fine-tuning with.

    python examples/plucked_strings.py --songs 20 --out out/plucked_strings

The songs are composed solos of 20 to 60 s, all notes with program 0. The string is a delay line,
fed back through a filter (Karplus & Strong 1983), in about twenty lines of NumPy and SciPy.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

import spectrodiff as sd
from spectrodiff.audio.files import write_audio
from spectrodiff.commands import program
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW
from spectrodiff.core.files import check_writable

RATE = 16_000
SETTINGS = dataclasses.replace(NARROW, parts=(1, 1), programs=(0,), pitch_range=(40, 84))
RELEASE_SECONDS = 0.1
LOOP_GAIN = 0.996
LOUDNESS = 0.2


def main(arguments: Sequence[str]) -> None:
    """Writes NAME.wav and NAME.mid of each song."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=20, help="number of songs, 40 s each")
    parser.add_argument("--seed", type=int, default=0, help="of the songs")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    flags = parser.parse_args(arguments)
    check_writable(flags.out)
    for number in range(flags.songs):
        notes = compose(flags.seed, SETTINGS, number)
        write_audio(flags.out / f"take{number:02d}.wav", play(notes), RATE)
        sd.write_midi(notes, flags.out / f"take{number:02d}.mid")
    print(flags.out)


def play(notes: sd.Notes) -> np.ndarray:
    """Plays notes, float32 [samples] at 16 kHz."""
    audio = np.zeros(round((notes.total_seconds + RELEASE_SECONDS) * RATE), np.float32)
    for row in range(len(notes)):
        onset, offset = float(notes.onset_seconds[row]), float(notes.offset_seconds[row])
        string = pluck(int(notes.pitch[row]), offset - onset, int(notes.velocity[row]), seed=row)
        begin = round(onset * RATE)
        string = string[: len(audio) - begin]
        audio[begin : begin + len(string)] += string
    return np.clip(audio, -1, 1)


def pluck(pitch: int, held_seconds: float, velocity: int, seed: int) -> np.ndarray:
    """Plays a note, float32 [samples] at 16 kHz.

    Args:
        pitch: MIDI pitch.
        held_seconds: time until the string is damped.
        velocity: loudness, 1 to 127.
        seed: of the noise that the string starts with.
    """
    period_samples = RATE / (440 * 2 ** ((pitch - 69) / 12))
    # The mean of two samples, which damps high partials, delays by half a sample.
    whole, fraction = divmod(period_samples - 0.5, 1)
    loop = LOOP_GAIN * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    feedback = np.concatenate([[1.0], np.zeros(int(whole) - 1), -loop])
    samples = round((held_seconds + RELEASE_SECONDS) * RATE)
    noise = np.random.default_rng(seed).uniform(-1, 1, round(period_samples))[:samples]
    burst = np.zeros(samples)
    burst[: len(noise)] = noise - noise.mean()
    left_seconds = held_seconds + RELEASE_SECONDS - np.arange(samples) / RATE
    damping = np.clip(left_seconds / RELEASE_SECONDS, 0, 1)
    string = LOUDNESS * velocity / 127 * damping * lfilter([1.0], feedback, burst)
    return string.astype(np.float32)


if __name__ == "__main__":
    sys.exit(program.run(main))
