"""Inversion with phases from the score: harmonic tones play the notes, and lend their phases.

    python benchmarks/score_phase.py --model mini --out out/score_phase

inverts the features of held-back songs and bands, those of the soundfont and those of a model, with
magnitudes from the features. Phases are those of harmonic tones at the written pitches and times,
as they are or after iterations of Griffin-Lim, beside Griffin-Lim from pulses and the bundled
inverter. Prints onset F1 by basic-pitch and the level-aligned log-mel L1 to the soundfont. Needs
FluidSynth and basic-pitch.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from listening.onsets import NoteDetector
from listening.songs import FORMS, BenchSong, bench_songs
from listening.sources import Renderings, SoundfontSource, open_source

from spectrodiff.commands import program
from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.evaluation.metrics.signal_distances import aligned_log_mel_l1, blockwise_log_mel
from spectrodiff.inverter import GriffinLim
from spectrodiff.music.notes import Notes

HELD_BACK = Path(__file__).parents[1] / "examples" / "held_back" / "test"
ITERATIONS = (0, 4, 32)
HIGHEST_HERTZ = 7500.0
ATTACK_SECONDS, RELEASE_SECONDS = 0.005, 0.05
GROUPS = ("held back", "bands")
COLUMNS = ("onset F1", "log-mel L1")

Invert = Callable[[BenchSong, np.ndarray], np.ndarray]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("out/score_phase"))
    flags = parser.parse_args(arguments)
    cache = flags.out / "cache"
    songs = [song for song in bench_songs(FORMS["short"], HELD_BACK) if song.group in GROUPS]
    reference = SoundfontSource(None, cache, 0.8).render(songs)
    source = open_source(
        flags.model, cache, inverter=None, changes={}, seed=0, batch_size=8, gain=0.8
    )
    detector = NoteDetector()
    methods: dict[str, Invert] = {
        "bundled inverter": lambda song, log_mel: source.inverter(log_mel),
        "Griffin-Lim, 32 iterations": lambda song, log_mel: GriffinLim()(log_mel),
    }
    for count in ITERATIONS:
        methods[f"phases of the score, {count} iterations"] = guided(count)
    heads = [f"{group}: {column}" for group in GROUPS for column in COLUMNS]
    print(f"| features | phases | {' | '.join(heads)} |")
    print("|---|---|" + "---:|" * (len(GROUPS) * len(COLUMNS)))
    for name, features in (("soundfont", reference), (flags.model, source.render(songs))):
        for method, invert in methods.items():
            cells = []
            for group in GROUPS:
                chosen = [song for song in songs if song.group == group]
                cells += score(chosen, features, reference, invert, detector)
            print(f"| {name} | {method} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


def score(
    songs: Sequence[BenchSong],
    features: Renderings,
    reference: Renderings,
    invert: Invert,
    detector: NoteDetector,
) -> tuple[float, float]:
    """Returns means over songs: onset F1 of the audio, and its distance from the reference."""
    f1, l1 = [], []
    for song in songs:
        log_mel, length = features[song.name].log_mel, len(features[song.name].audio)
        audio = invert(song, log_mel)[:length]
        f1.append(detector.agreement(song.notes, audio).f1)
        target = reference[song.name].log_mel
        l1.append(aligned_log_mel_l1(blockwise_log_mel(audio), target).whole)
    return float(np.mean(f1)), float(np.mean(l1))


def guided(iterations: int) -> Invert:
    """Returns an inverter whose first phases are those of the notes."""

    inverter = GriffinLim(iterations, momentum=0.0)

    def invert(song: BenchSong, log_mel: np.ndarray) -> np.ndarray:
        return inverter.with_phases_of(play(song.notes, len(log_mel) * HOP_SAMPLES), log_mel)

    return invert


def play(notes: Notes, length: int) -> np.ndarray:
    """Returns harmonic tones, float32 [length]; drums are silent."""
    audio = np.zeros(length, np.float32)
    pitched = ~notes.is_drum
    columns = (notes.onset_seconds, notes.offset_seconds, notes.pitch, notes.velocity)
    for onset, offset, pitch, velocity in zip(*(c[pitched] for c in columns), strict=True):
        start = round(onset * SAMPLE_RATE)
        stop = min(round((offset + RELEASE_SECONDS) * SAMPLE_RATE), length)
        if stop <= start:
            continue
        seconds = np.arange(stop - start) / SAMPLE_RATE
        hertz = 440.0 * 2 ** ((pitch - 69) / 12)
        numbers = np.arange(1, max(int(HIGHEST_HERTZ / hertz), 1) + 1)
        waves = np.sin(2 * np.pi * hertz * numbers[:, None] * seconds) / numbers[:, None]
        envelope = np.minimum(seconds / ATTACK_SECONDS, 1.0)
        envelope *= np.clip((offset - onset + RELEASE_SECONDS - seconds) / RELEASE_SECONDS, 0, 1)
        audio[start:stop] += (velocity / 127 * envelope * waves.sum(axis=0)).astype(np.float32)
    return audio


if __name__ == "__main__":
    sys.exit(program.run(main))
