"""Texts of a report: what its scores mean, and what is wrong with or missing in an evaluation."""

import re
from collections.abc import Iterable

from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.results import MissingColumn, Results
from spectrodiff.report import paper

LISTENERS = (
    "No score replaces listening. Frechet distances of embeddings that were trained on music, such "
    "as CLAP and MERT, follow listeners best; for musical quality VGGish is barely better than "
    "chance (Gui et al., arXiv:2311.01616). Log-mel L1 and the spectral distance only say how "
    "close the signals are, and F1 only whether the notes can be heard: plain clean tones are easy "
    "to transcribe, so a dull model can score higher than a good one."
)
"""Statement of which scores follow a listener best."""

# Patterns of the names of columns; the first that matches explains.
_EXPLANATIONS = (
    (
        r"aligned_log_mel_l1",
        "Mean absolute difference of log-mel features of equal level, within 80 dB of the loudest: "
        "timbre and timing, without loudness.",
    ),
    (r"loudness_error_db", "Absolute difference of integrated loudness (BS.1770)."),
    (
        r"joins",
        "Change from frame to frame at the borders of segments, divided by that elsewhere; about 1 "
        "in recordings, which have no such borders.",
    ),
    (r"log_mel_l1", "Mean absolute difference of the log-mel features of rendering and recording."),
    (r"spectral_distance", "Difference of the magnitude spectra at six window lengths."),
    (
        r"log_mel_statistics_(reconstruction|frechet)",
        "Distance of an embedding without weights. Ranks similar models; not comparable with "
        "published numbers.",
    ),
    (
        r".*_reconstruction",
        "Distance between the embeddings of rendering and recording, mean over frames.",
    ),
    (
        r".*_frechet",
        "Frechet distance (FAD) between the embeddings of all renderings and of all recordings.",
    ),
    (r"transcription_f1_full", "F1 of the transcribed notes: onset, offset and program agree."),
    (
        r"transcription_f1_midi_class",
        "F1 of the transcribed notes: onset, offset and family of instruments agree.",
    ),
    (
        r"transcription_f1_flat",
        "F1 of the transcribed notes: onset and offset agree, whatever the instrument.",
    ),
    (r"onset_f1", "F1 of the onsets of the transcribed notes, without drums."),
    (
        r"onset_offset_f1",
        "F1 of the transcribed notes: onset and offset agree, without drums and instruments.",
    ),
    (paper.REAL_TIME, "Speed of model and inverter, in seconds of audio per second."),
)
_PARTS = {"_nondrums": "Without drums.", "_drums": "Drums alone."}


def explain(column: str) -> str:
    """Returns a sentence on what a column measures, by its name; "" for an unknown one."""
    name, part = split_part(column)
    found = (text for pattern, text in _EXPLANATIONS if re.fullmatch(pattern, name))
    text = next(found, "")
    return f"{text} {_PARTS[part]}".strip() if part else text


def split_part(column: str) -> tuple[str, str]:
    """Splits "..._drums" or "..._nondrums" into name and ending; the ending may be ""."""
    for part in _PARTS:
        if column.endswith(part):
            return column.removesuffix(part), part
    return column, ""


def definitions(columns: Iterable[Column]) -> list[tuple[str, str]]:
    """Returns titles of columns, and the explanation that these columns share."""
    titles: dict[str, list[str]] = {}
    for column in columns:
        if text := explain(column.name):
            titles.setdefault(text, []).append(column.title)
    return [(", ".join(alike), text) for text, alike in titles.items()]


def warnings(results: Results) -> list[str]:
    """Returns warnings about songs that are missing, and about corpora of a single song."""
    lines = [
        f"{corpus.title}: scores of {corpus.songs} of {corpus.asked} songs"
        for corpus in results.corpora
        if corpus.songs != corpus.asked
    ]
    single = [corpus.title for corpus in results.corpora if corpus.songs == 1]
    if single:
        lines.append(f"one song only, so no score has an interval: {'; '.join(single)}")
    return lines


def missing_groups(results: Results) -> list[tuple[str, MissingColumn]]:
    """Groups empty columns by cause; returns their titles and one of them per group."""
    titles = {name: title for name, (title, _) in paper.COLUMNS.items()}
    titles |= {column.name: column.title for column in results.columns}
    groups: dict[tuple[str, str, str], list[MissingColumn]] = {}
    for entry in results.missing:
        groups.setdefault((entry.file, entry.published, entry.reason), []).append(entry)
    return [
        (", ".join(titles.get(e.column, e.column.replace("_", " ")) for e in entries), entries[0])
        for entries in groups.values()
    ]
