"""Files that `sample` writes: songs and stems, at the loudness and in the format asked for."""

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectrodiff.audio.encoding import AUDIO_SUFFIXES, SAMPLE_RATES, check_encoding, resample
from spectrodiff.audio.files import write_audio
from spectrodiff.audio.loudness import check_lufs, gain_to, limit
from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.core.errors import ConfigError, printable

if TYPE_CHECKING:
    from spectrodiff.music.notes import Notes
    from spectrodiff.synthesis.parts import Song
    from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)


def add_format_flags(group: argparse._ArgumentGroup) -> None:
    """Adds the flags of the files' format."""
    add = group.add_argument
    add(
        "--format",
        choices=[suffix[1:] for suffix in AUDIO_SUFFIXES],
        default="wav",
        help="format of audio files in a folder (default: wav)",
    )
    add(
        "--stems",
        action="store_true",
        help="write a file per instrument, rendered apart, and mix.wav, their sum, to the folder "
        "--out; for several songs to a folder each",
    )
    add(
        "--sample_rate",
        type=int,
        default=16_000,
        choices=SAMPLE_RATES,
        metavar="HZ",
        help="sample rate of the files: 16000, 22050, 24000, 32000, 44100, 48000, 88200 or 96000 "
        "(default: 16000, the model's own; resampling adds nothing above 8 kHz)",
    )
    add(
        "--channels",
        type=int,
        default=1,
        choices=(1, 2),
        help="2 writes the same audio to left and right (default: 1)",
    )
    add(
        "--bits",
        type=int,
        default=16,
        choices=(16, 24, 32),
        help="bits per sample: 16, 24 (wav and flac) or 32, floating point (wav) (default: 16)",
    )


def check_written(flags: argparse.Namespace, outputs: Sequence[Path]) -> None:
    """Checks the flags of loudness and format before anything is rendered.

    Raises:
        ConfigError: if a number is out of its range, or flags do not go together.
    """
    if flags.loudness is not None:
        check_lufs(flags.loudness)
    if not flags.peak <= 0:
        raise ConfigError("--peak", "decibels of 0 or below", f"{flags.peak:g}")
    if flags.together and flags.loudness is None:
        raise ConfigError("--together", "a --loudness for all songs", "none")
    if flags.stems and flags.together:
        raise ConfigError("--together", "songs that are written whole", "--stems")
    if flags.stems and flags.picture:
        raise ConfigError("--picture", "songs that are written whole", "--stems")
    for suffix in {output.suffix for output in outputs}:
        check_encoding(suffix, flags.bits, flags.channels)


def stem_folders(songs: Sequence[str], out: Path) -> list[Path]:
    """Returns the folder for the stems of each song: `out`, or below it for several songs.

    Raises:
        ConfigError: if `out` is an audio file, or two songs would share a folder.
    """
    if out.suffix.lower() in AUDIO_SUFFIXES and not out.is_dir():
        raise ConfigError("--out", "a folder for stems", f"the file {out}")
    if len(songs) == 1:
        return [out]
    folders = [out / Path(song).stem for song in songs]
    for folder in folders:
        if folders.count(folder) > 1:
            raise ConfigError("songs", "files of different names", f"two that become {folder}")
    return folders


def write_songs(
    rendered: Iterator[tuple[int, "Song"]], outputs: Sequence[Path], flags: argparse.Namespace
) -> None:
    """Writes each song as soon as it is rendered, or all at the end if they share a gain."""
    rate = flags.sample_rate
    for group in [list(rendered)] if flags.together else ([one] for one in rendered):
        audio = [resample(song.audio, song.sample_rate, rate) for _, song in group]
        gain = 1.0 if flags.loudness is None else gain_to(audio, rate, flags.loudness)
        for (number, song), own in zip(group, audio, strict=True):
            _write(outputs[number], limit(gain * own, rate, 10 ** (flags.peak / 20)), flags)
            if flags.picture:
                write_spectrogram(outputs[number].with_suffix(".png"), song.log_mel)


def write_stems(
    synth: "Synthesizer",
    songs: Mapping[int, "Notes"],
    folders: Sequence[Path],
    flags: argparse.Namespace,
    settings: Mapping[str, Any],
) -> None:
    """Renders and writes the stems of songs, one song after another.

    Args:
        synth: the model.
        songs: notes by place on the command line.
        folders: where the stems of each place go.
        flags: flags of format and loudness.
        settings: passed on to `render_stems`.
    """
    from spectrodiff.synthesis.stems import mix_down, render_stems

    for number, notes in songs.items():
        stems = render_stems(synth, notes, name=flags.songs[number], progress=True, **settings)
        written, lowered = mix_down(
            stems,
            sample_rate=flags.sample_rate,
            bits=flags.bits,
            lufs=flags.loudness,
            peak=10 ** (flags.peak / 20),
        )
        if lowered:
            logger.info("all stems are %.1f dB softer, to keep the mix below --peak", lowered)
        for stem in written:
            _write(folders[number] / f"{stem.name}.{flags.format}", stem.audio, flags)


def _write(path: Path, audio: Any, flags: argparse.Namespace) -> None:
    write_audio(path, audio, flags.sample_rate, bits=flags.bits, channels=flags.channels)
    print(f"{printable(str(path))}  {len(audio) / flags.sample_rate:.1f} s", flush=True)
