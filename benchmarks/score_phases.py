"""Inversion with and without phases from the score, measured beyond the notes that are found.

    python benchmarks/score_phases.py --model mini --out out/score_phases
    python benchmarks/score_phases.py --model soundfont:other.sf2

inverts the features of held-back songs and bands: those of FluidR3, and those of a model or another
soundfont. Distances are to the audio of the soundfont, for a model to that of FluidR3:
level-aligned log-mel L1, the multi-scale spectral distance, and the distance of modulations. The
last one hears beating, buzz and smeared attacks, which the others hardly do: the fluctuations of 32
bands between 4 and 250 Hz, in dB. Onset F1 is that of the notes that basic-pitch finds. Needs
FluidSynth and basic-pitch.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from listening.onsets import NoteDetector
from listening.songs import FORMS, BenchSong, bench_songs
from listening.sources import (
    SOUNDFONT_PREFIX,
    Renderings,
    SoundfontSource,
    audio_of,
    open_source,
)

from spectrodiff.commands import program
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.signal_distances import (
    aligned_log_mel_l1,
    blockwise_log_mel,
    spectral_distance,
)
from spectrodiff.inverter import GriffinLim, ScorePhases

HELD_BACK = Path(__file__).parents[1] / "examples" / "held_back" / "test"
GROUPS = ("held back", "bands")
COLUMNS = ("onset F1", "log-mel L1", "spectral distance", "modulations (dB)")

# Envelopes of bands at 500 Hz, in windows of half a second.
BANDS, ENVELOPE_HOP, WINDOW = 32, 32, 256
MODULATION_EDGES = (2, 4, 8, 16, 32, 64, 128)  # in units of 500 / 256 Hz
AUDIBLE_RANGE = 10 ** (-50 / 20)
TINY = 1e-9
LEAST_POWER = 1e-4

Invert = Callable[[BenchSong, np.ndarray], np.ndarray]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("out/score_phases"))
    flags = parser.parse_args(arguments)
    cache = flags.out / "cache"
    songs = [song for song in bench_songs(FORMS["short"], HELD_BACK) if song.group in GROUPS]
    reference = SoundfontSource(None, cache, 0.8).render(songs)
    source = open_source(
        flags.model,
        cache,
        inverter=None,
        score_phases=False,
        changes={},
        seed=0,
        batch_size=8,
        gain=0.8,
    )
    inverters = {source.inverter.name: source.inverter, "Griffin-Lim": GriffinLim()}
    detector = NoteDetector()
    heads = [f"{group}: {column}" for group in GROUPS for column in COLUMNS]
    print(f"| features | inverter | {' | '.join(heads)} |")
    print("|---|---|" + "---:|" * len(heads))

    def show(
        features: str, inverter: str, rendered: Renderings, target: Renderings, invert: Invert
    ) -> None:
        cells: list[float] = []
        for group in GROUPS:
            chosen = [song for song in songs if song.group == group]
            cells += score(chosen, rendered, target, invert, detector)
        numbers = " | ".join(f"{cell:.2f}" for cell in cells)
        print(f"| {features} | {inverter} | {numbers} |", flush=True)

    other = source.render(songs)
    targets = other if flags.model.startswith(SOUNDFONT_PREFIX) else reference
    for features, rendered, target in (
        ("FluidR3", reference, reference),
        (source.name, other, targets),
    ):
        if rendered is target:
            show(
                features,
                "its own audio",
                rendered,
                target,
                lambda song, _, target=target: target[song.name].audio,
            )
        for name, plain in inverters.items():
            for inverter, title in (
                (plain, name),
                (ScorePhases(plain), f"{name}, phases from the score"),
            ):
                show(
                    features,
                    title,
                    rendered,
                    target,
                    lambda song, log_mel, inverter=inverter: audio_of(inverter, log_mel, song),
                )


def score(
    songs: Sequence[BenchSong],
    features: Renderings,
    targets: Renderings,
    invert: Invert,
    detector: NoteDetector,
) -> list[float]:
    """Returns the means of all columns over songs."""
    rows = []
    for song in songs:
        target = targets[song.name]
        audio = invert(song, features[song.name].log_mel)[: len(target.audio)]
        log_mel = blockwise_log_mel(audio)
        rows.append(
            (
                detector.agreement(song.notes, audio).f1,
                aligned_log_mel_l1(log_mel, target.log_mel).whole,
                spectral_distance(audio, target.audio).whole,
                modulation_distance(audio, target.audio),
            )
        )
    return np.mean(rows, axis=0).tolist()


def modulation_distance(audio: np.ndarray, target: np.ndarray) -> float:
    """Returns the mean difference of the modulations of two recordings in dB, where audible.

    Args:
        audio: float [samples] at 16 kHz; cut or filled to the length of the other.
        target: float [samples]; bands more than 50 dB below its loudest one are left out.
    """
    audio = np.pad(audio[: len(target)], (0, max(len(target) - len(audio), 0)))
    (ours, _), (theirs, levels) = modulations(audio), modulations(target)
    audible = levels > levels.max() * AUDIBLE_RANGE
    decibels = 10 * np.log10((ours + LEAST_POWER) / (theirs + LEAST_POWER))
    return float(np.abs(decibels)[audible].mean())


def modulations(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the power of the fluctuations of bands, relative to their means, and the means.

    Returns:
        Powers [windows, 32, 6] in octaves from 4 to 250 Hz, and levels [windows, 32].
    """
    import librosa

    spectrum = np.abs(librosa.stft(audio, n_fft=512, win_length=256, hop_length=ENVELOPE_HOP))
    bands = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=512, n_mels=BANDS, fmin=60, fmax=7600, norm=None
    )
    envelopes = np.lib.stride_tricks.sliding_window_view(bands @ spectrum, WINDOW, axis=1)
    envelopes = envelopes[:, :: WINDOW // 2].swapaxes(0, 1)
    levels = envelopes.mean(axis=2)
    waves = (envelopes / (levels[..., np.newaxis] + TINY) - 1) * np.hanning(WINDOW)
    powers = np.abs(np.fft.rfft(waves)) ** 2 / WINDOW
    octaves = np.add.reduceat(powers[..., : MODULATION_EDGES[-1]], MODULATION_EDGES[:-1], axis=2)
    return octaves, levels


if __name__ == "__main__":
    sys.exit(program.run(main))
