"""What the columns of the tables are."""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A column.

    Attributes:
        name: in `scores.json`.
        title: in tables.
        better: whether lower or higher values are better.
        paper: whether it is one of the paper's table 1.
    """

    name: str
    title: str
    better: Literal["lower", "higher"]
    paper: bool = False


LOG_MEL_L1 = Metric("log_mel_l1", "Log-mel L1", "lower")
SPECTRAL_DISTANCE = Metric("spectral_distance", "Spectral distance", "lower")
SIGNAL_METRICS = (LOG_MEL_L1, SPECTRAL_DISTANCE)

F1 = {
    "full": Metric("transcription_f1_full", "F1", "higher", paper=True),
    "midi_class": Metric("transcription_f1_midi_class", "F1 (families)", "higher"),
    "flat": Metric("transcription_f1_flat", "F1 (flat)", "higher"),
}
ONSET_F1 = Metric("onset_f1", "Onset F1", "higher")
ONSET_OFFSET_F1 = Metric("onset_offset_f1", "Onset+offset F1", "higher")

# Names of the embeddings in the paper's table.
PAPER_EMBEDDINGS = ("VGGish", "TRILL")


def embedding_metrics(name: str) -> tuple[Metric, Metric]:
    """Reconstruction and Frechet distance under an embedding."""
    paper = name in PAPER_EMBEDDINGS
    return (
        Metric(f"{slug(name)}_reconstruction", f"{name} rec.", "lower", paper),
        Metric(f"{slug(name)}_frechet", f"{name} FAD", "lower", paper),
    )


def slug(name: str) -> str:
    """A name in small letters, digits and _."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
