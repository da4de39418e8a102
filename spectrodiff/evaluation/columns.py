"""Columns of the tables: one per score that a metric computes."""

import re
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Column:
    """Column of the tables.

    Attributes:
        name: identifier in `scores.json`.
        title: heading in tables.
        better: whether lower or higher scores are better.
        paper: whether the column belongs to Table 1 of the paper.
    """

    name: str
    title: str
    better: Better
    paper: bool = False


ALIGNED_LOG_MEL_L1 = Column("aligned_log_mel_l1", "Log-mel L1, level-aligned", "lower")
LOUDNESS_ERROR = Column("loudness_error_db", "Loudness error (dB)", "lower")
JOINS = Column("joins", "Joins", "lower")
LOG_MEL_L1 = Column("log_mel_l1", "Log-mel L1", "lower")
SPECTRAL_DISTANCE = Column("spectral_distance", "Spectral distance", "lower")

F1 = {
    "full": Column("transcription_f1_full", "F1", "higher", paper=True),
    "midi_class": Column("transcription_f1_midi_class", "F1 (families)", "higher"),
    "flat": Column("transcription_f1_flat", "F1 (flat)", "higher"),
}
NONDRUM_F1 = Column("transcription_f1_full_nondrums", "F1 without drums", "higher")
DRUM_F1 = Column("transcription_f1_full_drums", "F1 of drums", "higher")
ONSET_F1 = Column("onset_f1", "Onset F1", "higher")
ONSET_OFFSET_F1 = Column("onset_offset_f1", "Onset+offset F1", "higher")

# Names of the embeddings in Table 1 of the paper.
PAPER_EMBEDDINGS = ("VGGish", "TRILL")


def embedding_columns(name: str) -> tuple[Column, Column]:
    """Returns the columns of an embedding: reconstruction distance and Frechet distance."""
    paper = name in PAPER_EMBEDDINGS
    return (
        Column(f"{slug(name)}_reconstruction", f"{name} rec.", "lower", paper),
        Column(f"{slug(name)}_frechet", f"{name} FAD", "lower", paper),
    )


def identifier(name: str, checksum: str | None) -> str:
    """Returns the identifier of a metric in file names: its name, and the checksum of weights."""
    return slug(name) + (f"-{checksum}" if checksum else "")


def slug(name: str) -> str:
    """Returns a name in lower case, with everything but letters and digits replaced by "_"."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
