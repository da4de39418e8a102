"""Audio files of rendered songs, or of their stems: flags, level, format, and writing."""

import argparse
import logging
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spectrodiff.audio.encoding import AUDIO_SUFFIXES, check_bits
from spectrodiff.audio.files import write_audio
from spectrodiff.audio.loudness import check_lufs, gain_to, limit
from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.audio.samples import SAMPLE_RATES, resample
from spectrodiff.commands.shared.results import print_result, written
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, printable
from spectrodiff.music.general_midi import enumerate_names

if TYPE_CHECKING:
    from spectrodiff.synthesis.parts import Song
    from spectrodiff.synthesis.stems import RenderedStems

logger = logging.getLogger(__name__)

# Smallest reduction of the level that is logged.
LEAST_DECIBELS = 0.05
# Lowest peak of stems; below, the steps of 16 bits are too coarse for several of them.
LOWEST_PEAK = -60.0
_TRACK = re.compile(r"(\d+_\w+|drums|mix)\.(wav|flac)")
LOSSLESS = tuple(suffix for suffix in AUDIO_SUFFIXES if suffix != ".ogg")


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of files and loudness."""
    add = parser.add_argument_group("files").add_argument
    add(
        "--stems",
        action="store_true",
        help="write a folder with a file for each instrument, one for all drums, and mix.wav, "
        "which is exactly their sum; several songs get a folder each",
    )
    add(
        "--format",
        choices=[suffix[1:] for suffix in AUDIO_SUFFIXES],
        help="format of audio files in a folder (default: wav)",
    )
    add(
        "--sample_rate",
        type=int,
        choices=SAMPLE_RATES,
        default=SAMPLE_RATE,
        help="in Hz; rates above 16000 are for programs that need them and add no sound: the model "
        "renders nothing above 8 kHz (default: 16000)",
    )
    add(
        "--bits",
        type=int,
        choices=(16, 24, 32),
        help="bits per sample: 16, 24, or 32 for floating point in wav; 16 or 24 in flac; ogg has "
        "none (default: 16)",
    )
    add(
        "--channels",
        type=int,
        choices=(1, 2),
        default=1,
        help="number of channels, with the same samples on both (default: 1)",
    )
    add("--picture", action="store_true", help="also write a picture of each spectrogram (.png)")

    add = parser.add_argument_group("loudness").add_argument
    add(
        "--loudness",
        type=float,
        metavar="LUFS",
        help="loudness of each song, for example -16 (default: as the model renders it)",
    )
    add(
        "--peak",
        type=float,
        default=0.0,
        metavar="DB",
        help="maximum of all samples relative to full scale, in dB; a limiter lowers higher peaks, "
        "those of all stems alike (default: 0)",
    )
    add(
        "--together",
        action="store_true",
        help="use one gain for all songs, so that soft ones stay softer; files are written at the "
        "end",
    )


def format_of(flags: argparse.Namespace) -> str:
    """Returns the format of audio files whose names do not say it."""
    return flags.format or AUDIO_SUFFIXES[0][1:]


def check_export(flags: argparse.Namespace, outputs: Sequence[Path]) -> None:
    """Checks the flags of files and loudness before anything is rendered.

    Args:
        flags: flags of the command.
        outputs: files to write, or folders with --stems.

    Raises:
        ConfigError: if a number is out of its range, flags contradict each other, or a format does
            not allow what is asked for.
    """
    if flags.loudness is not None:
        check_lufs(flags.loudness)
    if not flags.peak <= 0:
        raise ConfigError("--peak", "decibels of 0 or below", f"{flags.peak:g}")
    if flags.stems and flags.peak < LOWEST_PEAK:
        raise ConfigError("--peak", f"decibels of {LOWEST_PEAK:g} or more", f"{flags.peak:g}")
    if flags.together and flags.loudness is None:
        raise ConfigError("--together", "a --loudness for all songs", "none")
    own = f".{format_of(flags)}"
    suffixes = {own} if flags.stems else {path.suffix.lower() for path in outputs}
    if flags.stems and own not in LOSSLESS:
        formats = " or ".join(suffix[1:] for suffix in LOSSLESS)
        expected = f"{formats} with --stems, since the sum of lossy files is not the mix"
        raise ConfigError("--format", expected, format_of(flags))
    for suffix in suffixes:
        check_bits(suffix, flags.bits)


def write_songs(
    rendered: Iterator[tuple[int, "Song"]], outputs: Sequence[Path], flags: argparse.Namespace
) -> None:
    """Writes each song as soon as it is rendered, or all at the end if they share a gain."""
    rate = flags.sample_rate
    for group in [list(rendered)] if flags.together else ([one] for one in rendered):
        gain = _loudness_gain([song.audio for _, song in group], flags)
        for number, song in group:
            output = outputs[number]
            audio = gain * resample(song.audio, song.sample_rate, rate)
            # Limited at the new rate, where peaks may be higher.
            audio = limit(audio, rate, _highest_sample(flags, output.suffix))
            _write(output, audio, song.log_mel, flags)


def write_stems(
    rendered: Iterator[tuple[int, "RenderedStems"]],
    songs: Sequence[str],
    folders: Sequence[Path],
    flags: argparse.Namespace,
) -> None:
    """Writes the stems and the mix of each song as soon as it is rendered.

    With --together all are written at the end, with one gain.

    Args:
        rendered: the number of each song and its stems.
        songs: names of the songs in messages.
        folders: folder of each song.
        flags: flags of the command.
    """
    bits = check_bits(f".{format_of(flags)}", flags.bits) or 16
    layout = {"sample_rate": flags.sample_rate, "bits": bits}
    for group in [list(rendered)] if flags.together else ([one] for one in rendered):
        gain = _loudness_gain([stems.mix for _, stems in group], flags)
        peak = 10 ** (flags.peak / 20)
        for number, stems in group:
            name, folder = printable(songs[number]), folders[number]
            if len(stems.names) > 1:
                change = 20 * math.log10(stems.gain)
                logger.info("%s: stems %+.1f dB, for the loudness of the whole song", name, change)
            tracks, reduction = stems.tracks(gain, peak=peak, **layout)
            if reduction >= LEAST_DECIBELS:
                logger.info("%s: stems and mix limited alike, by up to %.1f dB", name, reduction)
            pictures = _features(stems) if flags.picture else {}
            names = set()
            for track, audio in tracks:
                path = folder / f"{track}.{format_of(flags)}"
                _write(path, audio, pictures.get(track), flags)
                names.add(path.name)
            _warn_of_others(folder, names)


def _features(stems: "RenderedStems") -> dict[str, np.ndarray]:
    """Returns the log-mel features of all stems and of their sum, by name."""
    from spectrodiff.audio.features import log_mel
    from spectrodiff.synthesis.stems import MIX

    features = {name: song.log_mel for name, song in zip(stems.names, stems.stems, strict=True)}
    return {**features, MIX: np.asarray(log_mel(stems.mix))}


def _warn_of_others(folder: Path, written: set[str]) -> None:
    """Warns of stems in a folder that an earlier rendering has left there."""
    others = {path.name for path in folder.iterdir() if _TRACK.fullmatch(path.name)} - written
    if others:
        names = enumerate_names(sorted(others))
        logger.warning("%s: %s from before, not in this mix", printable(str(folder)), names)


def _loudness_gain(songs: Sequence[np.ndarray], flags: argparse.Namespace) -> float:
    """Returns the gain that gives songs the loudness that is asked for, 1 if none is."""
    if flags.loudness is None:
        return 1.0
    # By BS.1770 the power of channels is added: two that are equal are 3 dB louder than one.
    return gain_to(songs, SAMPLE_RATE, flags.loudness) / math.sqrt(flags.channels)


def _highest_sample(flags: argparse.Namespace, suffix: str) -> float:
    """Returns the peak that is asked for, or the highest value below it that a file can hold."""
    peak = 10 ** (flags.peak / 20)
    bits = check_bits(suffix.lower(), flags.bits) or 16
    return peak if bits == 32 else math.floor(peak * 2 ** (bits - 1)) / 2 ** (bits - 1)


def _write(
    path: Path, audio: np.ndarray, log_mel: np.ndarray | None, flags: argparse.Namespace
) -> None:
    write_audio(path, audio, flags.sample_rate, bits=flags.bits, channels=flags.channels)
    if flags.picture and log_mel is not None:
        write_spectrogram(path.with_suffix(".png"), log_mel)
    seconds = len(audio) / flags.sample_rate
    values = {"out": path, "seconds": seconds, "sample_rate": flags.sample_rate}
    print_result(flags, f"{written(path)}  {seconds:.1f} s", values)
