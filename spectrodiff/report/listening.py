"""Blind listening test of two or more evaluations: a folder with a page, and a key beside it.

Listeners hear the same song from two models, in random order and on random sides, and say which one
they prefer. Both are equally loud, since the louder of two sounds better. Nothing in the folder
names a model; the key names the source of each file.
"""

import hashlib
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.audio.loudness import integrated_loudness
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, ReportError
from spectrodiff.core.files import atomic_folder
from spectrodiff.core.progress import Progress
from spectrodiff.evaluation.dataclass_json import to_json, write_dataclass
from spectrodiff.evaluation.results import FILE_NAME, Results, read_results
from spectrodiff.report.media import media_file
from spectrodiff.report.page import render

KEY_FORMAT = 1
LOUDNESS_LUFS = -23.0
"""Loudness of all clips, as in EBU R 128; lower for a pair that would need a peak above -1 dBFS."""

_HIGHEST_PEAK = 10 ** (-1 / 20)

SongId = tuple[str, str, str]
"""Corpus, split and id of a song."""


@dataclass(frozen=True)
class Origin:
    """Source of an audio file of a sheet: folder, model and row of a report, and the song.

    The gain is that of the matching of loudness, in dB; 0 without it.
    """

    report: str
    model: str
    row: str
    corpus: str
    split: str
    song: str
    gain_db: float = 0.0


@dataclass(frozen=True)
class Key:
    """Key of a sheet: its id, and the origins of its audio files by name."""

    sheet: str
    files: Mapping[str, Origin]


@dataclass(frozen=True)
class Trial:
    """Comparison of two audio files: song, sorted names, and length of the longer one."""

    song: SongId
    files: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Source:
    """Model of the test: its evaluation and the audio of its songs."""

    folder: Path
    model: str
    audio: Mapping[SongId, Path]


def write_listening_sheet(
    reports: Sequence[Path],
    out: Path,
    *,
    row: str = "model",
    title: str = "Listening test",
    max_songs: int | None = None,
    excerpt_seconds: float | None = None,
    match_loudness: bool = True,
) -> Path:
    """Writes a blind preference test of the songs that evaluations share.

    Args:
        reports: folders of two or more evaluations; each pair of them is compared.
        out: folder to make. The key is written beside it, to `<out>-key.json`; listeners must not
            have it.
        row: name of the row whose audio is compared.
        title: title of the page, which listeners see.
        max_songs: maximum number of songs, evenly spread over the shared ones; None for all.
        excerpt_seconds: length of an excerpt from the middle of each song; None for whole songs.
        match_loudness: gives both clips of a comparison the same loudness by ITU-R BS.1770, where
            possible -23 LUFS; without limiting, so that nothing is distorted.

    Returns:
        The page, `index.html` in `out`.

    Raises:
        ConfigError: if there are fewer than two reports, one is given twice, or a number is not
            positive.
        ReportError: if a report is damaged, has no audio of the row, or two share no songs.
        AudioError: if audio is missing or cannot be read.
        OutputError: if `out` is not empty or not writable.
    """
    for name, value in (("max_songs", max_songs), ("excerpt_seconds", excerpt_seconds)):
        if value is not None and not value > 0:
            raise ConfigError(name, "a number > 0", repr(value))
    sources = [_open(Path(report), row) for report in reports]
    _check_different(sources)
    out = Path(out)
    comparisons = [
        (first, second, song)
        for first, second in itertools.combinations(sources, 2)
        for song in _shared(first, second, max_songs)
    ]
    trials: list[Trial] = []
    origins: dict[str, Origin] = {}
    with atomic_folder(out) as folder:
        (folder / "audio").mkdir()
        with Progress("copying", len(comparisons), "comparison") as progress:
            for *pair, song in comparisons:
                files = [source.audio[song] for source in pair]
                clips = _cut([read_audio(file, SAMPLE_RATE) for file in files], excerpt_seconds)
                gains_db = _matching_gains_db(clips) if match_loudness else [0.0, 0.0]
                lengths = {}
                for source, clip, gain_db in zip(pair, clips, gains_db, strict=True):
                    identity = [str(source.folder.resolve()), song, excerpt_seconds]
                    unchanged = excerpt_seconds is None and gain_db == 0
                    original = source.audio[song] if unchanged else None
                    scaled = clip * np.float32(10 ** (gain_db / 20))
                    name = _write(folder / "audio", identity, scaled, original)
                    lengths[name] = len(clip) / SAMPLE_RATE
                    origins[name] = Origin(
                        str(source.folder), source.model, row, *song, gain_db=gain_db
                    )
                # Sorted, since the order of the reports would reveal the models.
                trials.append(Trial(song, tuple(sorted(lengths)), max(lengths.values())))
                progress.advance()
        sheet_id = hashlib.sha256("".join(sorted(origins)).encode()).hexdigest()[:12]
        trials.sort(key=lambda trial: trial.files)
        # Any clip does to set the volume with, since nearly all are equally loud.
        sheet = {"id": sheet_id, "trials": to_json(trials), "check": trials[0].files[0]}
        page = render("sheet.html", title=title, sheet=sheet)
        (folder / "index.html").write_text(page, encoding="utf-8", errors="replace")
        # Before the folder has its name: a sheet without its key could not be made again.
        write_dataclass(key_path(out), Key(sheet_id, origins), KEY_FORMAT)
    return out / "index.html"


def key_path(out: Path) -> Path:
    """Returns the path of the key of a sheet."""
    return out.with_name(f"{out.name}-key.json")


def _open(folder: Path, row: str) -> _Source:
    results = read_results(folder)
    audio = {
        (corpus.name, corpus.split, song.name): media_file(folder, song.media[row])
        for corpus in results.corpora
        for song in corpus.per_song
        if row in song.media
    }
    if not audio:
        rows = ", ".join(_rows_with_audio(results)) or "none"
        raise ReportError(folder / FILE_NAME, f"audio of the row {row!r}", f"rows: {rows}")
    return _Source(folder, results.model, audio)


def _rows_with_audio(results: Results) -> list[str]:
    songs = [song for corpus in results.corpora for song in corpus.per_song]
    return sorted({row for song in songs for row in song.media})


def _check_different(sources: Sequence[_Source]) -> None:
    if len(sources) < 2:
        raise ConfigError("reports", "two or more to compare", str(len(sources)))
    folders = [source.folder.resolve() for source in sources]
    for source, folder in zip(sources, folders, strict=True):
        if folders.count(folder) > 1:
            raise ConfigError("reports", "different folders", f"{source.folder} twice")


def _shared(first: _Source, second: _Source, max_songs: int | None) -> list[SongId]:
    """Returns up to `max_songs` songs of both, evenly spread, in the order of the first."""
    songs = [song for song in first.audio if song in second.audio]
    if not songs:
        expected = f"songs that {first.folder} has as well"
        raise ReportError(second.folder, expected, f"none among its {len(second.audio)}")
    if max_songs is None or len(songs) <= max_songs:
        return songs
    return [songs[place * len(songs) // max_songs] for place in range(max_songs)]


def _cut(versions: Sequence[np.ndarray], excerpt_seconds: float | None) -> list[np.ndarray]:
    """Returns excerpts from the middle of versions [samples] of a song, all of the same time."""
    if excerpt_seconds is None:
        return list(versions)
    samples = round(excerpt_seconds * SAMPLE_RATE)
    # Versions can differ in length by almost a segment.
    length = min(map(len, versions))
    # Rounded, so that a song starts at the same time beside most other versions, too.
    start = max(0, (length - samples) // 2) // SAMPLE_RATE * SAMPLE_RATE
    return [audio[start : start + samples] for audio in versions]


def _matching_gains_db(clips: Sequence[np.ndarray]) -> list[float]:
    """Returns gains that make clips equally loud; 0 for silence and for less than 0.4 s."""
    loudness = [integrated_loudness(clip, SAMPLE_RATE) for clip in clips]
    peaks = [20 * np.log10(_HIGHEST_PEAK / np.abs(clip).max(initial=1e-9)) for clip in clips]
    highest = [lufs + peak for lufs, peak in zip(loudness, peaks, strict=True)]
    target = min([LOUDNESS_LUFS, *(lufs for lufs in highest if np.isfinite(lufs))])
    return [float(target - lufs) if np.isfinite(lufs) else 0.0 for lufs in loudness]


def _write(folder: Path, identity: object, clip: np.ndarray, original: Path | None) -> str:
    """Writes a clip, or copies the original, to a file named by a hash; returns the name."""
    name = hashlib.sha256(json.dumps(identity).encode() + clip.tobytes()).hexdigest()[:16]
    if original is None:
        name += ".flac"
        write_audio(folder / name, clip, SAMPLE_RATE)
    else:
        name += original.suffix
        shutil.copyfile(original, folder / name)
    return name
