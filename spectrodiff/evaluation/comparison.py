"""Comparison of two rows, of one evaluation or of two, song by song."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectrodiff.core.errors import ConfigError, ReportError
from spectrodiff.evaluation.columns import Better, Column
from spectrodiff.evaluation.metrics.paired import (
    MAX_EXACT_PAIRS,
    holm,
    mean_interval,
    sign_flip_p_values,
)
from spectrodiff.evaluation.results import (
    FILE_NAME,
    CorpusResults,
    Results,
    SongResults,
    read_results,
)

FORMAT = 1

# Settings that change scores without changing the names of their columns.
_METRIC_SETTINGS = ("transcriber", "vggish", "trill", "onnx")
# What the protocol takes from the model (see `protocol.Protocol`), and why it matters.
_MODEL_SETTINGS = {
    "trims_references": "F1 is scored against other notes of the recordings",
    "segment_frames": "renderings are padded, and joins are placed, differently",
}


@dataclass(frozen=True)
class ColumnDifference:
    """Difference between two rows in one column.

    Attributes:
        column: name of the column.
        title: its title.
        better: whether lower or higher scores are better.
        songs: number of songs with scores in both rows.
        first: mean score of the first row over these songs; of a Frechet distance, its value.
        second: mean score of the second row.
        difference: first minus second.
        low: lower end of the 95 % bootstrap interval of the difference; None if there is none.
        high: upper end of the interval.
        p_value: p-value of the sign-flip test; None for a Frechet distance, which songs do not
            have.
        p_holm: the same, corrected for the number of columns.
    """

    column: str
    title: str
    better: Better
    songs: int
    first: float
    second: float
    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class CorpusDifferences:
    """Differences between two rows on one corpus, or on all.

    Attributes:
        title: title of the corpus, or "All corpora", whose means are means over corpora.
        songs: number of shared songs.
        exact: whether the p-values are exact, from all patterns of signs.
        columns: differences by column.
    """

    title: str
    songs: int
    exact: bool
    columns: Sequence[ColumnDifference]


@dataclass(frozen=True)
class Comparison:
    """Comparison of two rows.

    Attributes:
        first: the first row, "A" in tables.
        second: the second row, "B".
        corpora: differences on each shared corpus, and on all of them if there are several.
        notes: remarks on what limits the comparison.
    """

    first: str
    second: str
    corpora: Sequence[CorpusDifferences]
    notes: Sequence[str]


@dataclass(frozen=True)
class _Side:
    folder: str
    results: Results
    row: str

    @property
    def title(self) -> str:
        titles = {row.name: row.title for row in self.results.rows}
        return f"{self.folder}: {titles[self.row]}"


@dataclass(frozen=True)
class _SharedCorpus:
    """Corpus of both sides, and the songs that both have."""

    first: CorpusResults
    second: CorpusResults
    songs: Sequence[tuple[SongResults, SongResults]]

    @property
    def same_songs(self) -> bool:
        return len(self.songs) == len(self.first.per_song) == len(self.second.per_song)


def compare_rows(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str] | None = None,
    *,
    row: str = "model",
    to: str | None = None,
) -> Comparison:
    """Compares two rows over the songs that they share.

    Args:
        first: folder of an evaluation.
        second: folder of another one; None for the same.
        row: name of the row of the first.
        to: name of the row of the second; None for the same as `row`.

    Raises:
        ConfigError: if both rows are the same.
        ReportError: if `scores.json` is missing or damaged, lacks the row, or if protocol, length
            or recordings differ, or nothing is shared.
    """
    to = to or row
    if to == row and (second is None or Path(first).resolve() == Path(second).resolve()):
        raise ConfigError("to", "another row, or a second evaluation", repr(to))
    ours = _open(first, row)
    theirs = _open(second if second is not None else first, to)
    for setting in ("protocol", "max_minutes"):
        _check_same_setting(ours, theirs, setting)
    shared = _shared_corpora(ours, theirs)
    notes = _notes(ours, theirs, shared)
    differences = [_compare(corpus.first.title, [corpus], ours, theirs) for corpus in shared]
    if len(shared) > 1:
        differences.append(_compare("All corpora", shared, ours, theirs))
    return Comparison(ours.title, theirs.title, differences, notes)


def _open(folder: str | os.PathLike[str], row: str) -> _Side:
    results = read_results(folder)
    names = [each.name for each in results.rows]
    if row not in names:
        raise ReportError(Path(folder) / FILE_NAME, f"a row {row!r}", ", ".join(names) or "none")
    return _Side(os.fspath(folder), results, row)


def _check_same_setting(first: _Side, second: _Side, name: str) -> None:
    ours, theirs = first.results.settings.get(name), second.results.settings.get(name)
    if ours != theirs:
        expected = f"{_in_words(ours)}, as in {first.folder}"
        raise ReportError(f"{second.folder}: {name}", expected, _in_words(theirs))


def _in_words(setting: object) -> str:
    return "none" if setting is None else repr(setting)


def _shared_corpora(first: _Side, second: _Side) -> list[_SharedCorpus]:
    theirs = {(corpus.name, corpus.split): corpus for corpus in second.results.corpora}
    shared = []
    for ours in first.results.corpora:
        other = theirs.get((ours.name, ours.split))
        if other is None:
            continue
        songs = {song.name: song for song in other.per_song}
        pairs = [(song, songs[song.name]) for song in ours.per_song if song.name in songs]
        for pair in pairs:
            _check_same_recording(f"{second.folder}: {ours.title}: {pair[0].name}", *pair)
        if pairs:
            shared.append(_SharedCorpus(ours, other, pairs))
    if not shared:
        corpora = ", ".join(corpus.title for corpus in second.results.corpora) or "no corpora"
        raise ReportError(second.folder, f"songs that {first.folder} has as well", corpora)
    return shared


def _check_same_recording(subject: str, first: SongResults, second: SongResults) -> None:
    if first.checksum and second.checksum and first.checksum != second.checksum:
        expected = f"a recording with the checksum {first.checksum}"
        raise ReportError(subject, expected, second.checksum)
    if abs(first.seconds - second.seconds) > 1e-3:
        raise ReportError(subject, f"{first.seconds:.2f} s of audio", f"{second.seconds:.2f} s")


def _notes(first: _Side, second: _Side, shared: Sequence[_SharedCorpus]) -> list[str]:
    notes = []
    for name in _METRIC_SETTINGS:
        ours, theirs = first.results.settings.get(name), second.results.settings.get(name)
        if ours != theirs:
            notes.append(
                f"Evaluation.{name} differs, {_in_words(ours)} and {_in_words(theirs)}: scores are "
                "comparable only if the weights are the same."
            )
    for name, effect in _MODEL_SETTINGS.items():
        ours, theirs = first.results.settings.get(name), second.results.settings.get(name)
        # Older files do not tell.
        if ours is not None and theirs is not None and ours != theirs:
            notes.append(f"{name} of the models differs, {ours} and {theirs}: {effect}.")
    songs = [song for corpus in shared for pair in corpus.songs for song in pair]
    if first.folder != second.folder and not all(song.checksum for song in songs):
        notes.append("An evaluation has no checksums: recordings were compared by length only.")
    unequal = [corpus.first.title for corpus in shared if not corpus.same_songs]
    if unequal:
        notes.append(
            f"Not all songs of {', '.join(unequal)} are shared, so Frechet distances are left out."
        )
    for corpus in shared:
        if (count := len(corpus.songs)) < 6:
            notes.append(
                f"{corpus.first.title}: with {count} song{'s' if count != 1 else ''} no p-value "
                f"can be below {2 / 2**count:.2g}, and intervals are too narrow."
            )
    return notes


def _compare(
    title: str, corpora: Sequence[_SharedCorpus], first: _Side, second: _Side
) -> CorpusDifferences:
    """Compares all columns; means are over the songs of a corpus, then over corpora."""
    named = {column.name for column in second.results.columns}
    found: list[tuple[ColumnDifference, np.ndarray | None]] = []
    for column in first.results.columns:
        if column.name not in named:
            continue
        scores = [_song_scores(corpus, column.name, first.row, second.row) for corpus in corpora]
        if any(np.isfinite(pairs).all(axis=1).any() for pairs in scores):
            found.append(_song_difference(column, scores))
        elif all(corpus.same_songs for corpus in corpora):
            whole = _corpus_difference(column, corpora, first.row, second.row)
            found += [(whole, None)] if whole else []
    songs = sum(len(corpus.songs) for corpus in corpora)
    return CorpusDifferences(title, songs, songs <= MAX_EXACT_PAIRS, _with_p_values(found))


def _song_scores(corpus: _SharedCorpus, column: str, first: str, second: str) -> np.ndarray:
    """Returns the scores of the shared songs in both rows, [songs, 2], NaN where there is none."""
    scores = [
        (ours.scores.get(first, {}).get(column), theirs.scores.get(second, {}).get(column))
        for ours, theirs in corpus.songs
    ]
    return np.array(scores, np.float64)


def _song_difference(
    column: Column, scores: Sequence[np.ndarray]
) -> tuple[ColumnDifference, np.ndarray]:
    """Returns the mean difference without p-values, and how much each song contributes to it."""
    differences = [pairs[:, 0] - pairs[:, 1] for pairs in scores]
    known = [np.isfinite(of_corpus) for of_corpus in differences]
    scored = sum(1 for songs in known if songs.any())
    parts = np.concatenate(
        [
            np.where(songs, of_corpus, 0) / (scored * max(songs.sum(), 1))
            for songs, of_corpus in zip(known, differences, strict=True)
        ]
    )
    means = [
        pairs[songs].mean(axis=0) for pairs, songs in zip(scores, known, strict=True) if songs.any()
    ]
    first, second = np.mean(means, axis=0)
    interval = mean_interval(
        [of[songs].tolist() for of, songs in zip(differences, known, strict=True) if songs.any()]
    )
    difference = ColumnDifference(
        column.name,
        column.title,
        column.better,
        int(sum(songs.sum() for songs in known)),
        float(first),
        float(second),
        float(parts.sum()),
        interval.low if interval else None,
        interval.high if interval else None,
    )
    return difference, parts


def _corpus_difference(
    column: Column, corpora: Sequence[_SharedCorpus], first: str, second: str
) -> ColumnDifference | None:
    """Returns the difference of a score that only whole corpora have; None if one lacks it."""
    ours = [corpus.first.scores.get(first, {}).get(column.name) for corpus in corpora]
    theirs = [corpus.second.scores.get(second, {}).get(column.name) for corpus in corpora]
    values = [score.value for score in (*ours, *theirs) if score and score.value is not None]
    if len(values) < 2 * len(corpora):
        return None
    a, b = (float(np.mean(side)) for side in (values[: len(corpora)], values[len(corpora) :]))
    songs = sum(len(corpus.songs) for corpus in corpora)
    name, title, better = column.name, column.title, column.better
    return ColumnDifference(name, title, better, songs, a, b, a - b)


def _with_p_values(
    found: Sequence[tuple[ColumnDifference, np.ndarray | None]],
) -> list[ColumnDifference]:
    parts = [of_songs for _, of_songs in found if of_songs is not None]
    p_values = sign_flip_p_values(np.stack(parts, axis=1)).tolist() if parts else []
    corrected = iter(zip(p_values, holm(p_values), strict=True))
    columns = []
    for difference, of_songs in found:
        p_value, p_holm = next(corrected) if of_songs is not None else (None, None)
        columns.append(dataclasses.replace(difference, p_value=p_value, p_holm=p_holm))
    return columns
