"""Scores published in the paper: Table 1 and the table per corpus (arXiv:2206.05408v3).

Whole songs are scored; means are over the songs of a corpus, then over the six corpora. Real time
is seconds of audio per second on one TPUv4, batch size 1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spectrodiff.evaluation.columns import Better

REAL_TIME = "real_time"
"""Name of the column of speeds, in seconds of audio per second of wall time."""

COLUMNS: Mapping[str, tuple[str, Better]] = {
    "vggish_reconstruction": ("VGGish rec.", "lower"),
    "vggish_frechet": ("VGGish FAD", "lower"),
    "trill_reconstruction": ("TRILL rec.", "lower"),
    "trill_frechet": ("TRILL FAD", "lower"),
    "transcription_f1_full": ("F1", "higher"),
    REAL_TIME: ("RT", "higher"),
}
"""Title, and whether lower or higher is better, of the columns of Table 1 by name."""

SMALL_AUTOREGRESSIVE = "Small autoregressive"
SMALL_NO_CONTEXT = "Small w/o context"
SMALL_CONTEXT = "Small w/ context"
BASE_CONTEXT = "Base w/ context"
ENCODED = "Ground truth encoded"
RAW = "Ground truth raw"


def _table(rows: Mapping[str, Sequence[float | None]]) -> dict[str, dict[str, float]]:
    return {
        row: {
            column: value
            for column, value in zip(COLUMNS, values, strict=False)
            if value is not None
        }
        for row, values in rows.items()
    }


MEAN = _table(
    {
        SMALL_AUTOREGRESSIVE: (3.70, 1.03, 7.27, 0.39, 0.31, 10.55),
        SMALL_NO_CONTEXT: (3.49, 1.07, 6.16, 0.46, 0.31, 2.82),
        SMALL_CONTEXT: (3.56, 1.10, 6.40, 0.53, 0.25, 3.07),
        BASE_CONTEXT: (3.13, 1.00, 2.74, 0.27, 0.36, 1.05),
        ENCODED: (2.14, 0.51, 1.54, 0.05, 0.36, 12.25),
        RAW: (0.00, 0.00, 0.00, 0.00, 0.63, None),
    }
)
"""Mean over the six corpora by row and column (Table 1)."""


@dataclass(frozen=True)
class PaperCorpus:
    """Corpus of the paper.

    Attributes:
        title: name and split in the paper.
        splits: our names of the split that the paper evaluates.
        songs: number of songs in that split.
        rows: score by row and column.
    """

    title: str
    splits: tuple[str, ...]
    songs: int
    rows: Mapping[str, Mapping[str, float]]


_TEST = ("test",)
_VALIDATION = ("validation",)

CORPORA: Mapping[str, PaperCorpus] = {
    "cerberus4": PaperCorpus(
        "Cerberus4 test",
        _TEST,
        620,
        _table(
            {
                SMALL_AUTOREGRESSIVE: (2.93, 1.01, 2.91, 0.27, 0.47),
                SMALL_NO_CONTEXT: (2.91, 1.12, 3.05, 0.41, 0.40),
                SMALL_CONTEXT: (3.02, 1.16, 3.44, 0.52, 0.25),
                BASE_CONTEXT: (2.72, 1.04, 1.73, 0.22, 0.44),
                ENCODED: (1.75, 0.52, 0.68, 0.03, 0.47),
                RAW: (0.0, 0.0, 0.0, 0.0, 0.80),
            }
        ),
    ),
    "maestro": PaperCorpus(
        "MAESTRO v3 test",
        _TEST,
        177,
        _table(
            {
                SMALL_AUTOREGRESSIVE: (3.47, 1.02, 6.76, 0.47, 0.27),
                SMALL_NO_CONTEXT: (3.62, 1.01, 7.57, 0.46, 0.22),
                SMALL_CONTEXT: (3.72, 1.08, 8.08, 0.56, 0.21),
                BASE_CONTEXT: (2.93, 0.97, 2.39, 0.35, 0.30),
                ENCODED: (1.97, 0.43, 1.04, 0.03, 0.27),
                RAW: (0.0, 0.0, 0.0, 0.0, 0.80),
            }
        ),
    ),
    "musicnet": PaperCorpus(
        "MusicNet test",
        _TEST,
        15,
        _table(
            {
                SMALL_AUTOREGRESSIVE: (4.92, 1.08, 14.68, 0.49, 0.13),
                SMALL_NO_CONTEXT: (4.11, 1.08, 8.21, 0.54, 0.24),
                SMALL_CONTEXT: (4.32, 1.14, 9.65, 0.63, 0.16),
                BASE_CONTEXT: (3.74, 1.04, 3.29, 0.33, 0.25),
                ENCODED: (2.24, 0.46, 0.98, 0.03, 0.21),
                RAW: (0.0, 0.0, 0.0, 0.0, 0.30),
            }
        ),
    ),
    "slakh": PaperCorpus(
        "Slakh2100 test",
        _TEST,
        146,
        _table(
            {
                SMALL_AUTOREGRESSIVE: (3.43, 1.10, 4.99, 0.46, 0.30),
                SMALL_NO_CONTEXT: (2.96, 1.17, 2.83, 0.54, 0.30),
                SMALL_CONTEXT: (3.02, 1.17, 2.87, 0.54, 0.24),
                BASE_CONTEXT: (2.80, 1.05, 1.41, 0.25, 0.39),
                ENCODED: (1.80, 0.50, 0.49, 0.02, 0.35),
                RAW: (0.0, 0.0, 0.0, 0.0, 0.59),
            }
        ),
    ),
    "guitarset": PaperCorpus(
        "GuitarSet validation",
        _VALIDATION,
        238,
        _table(
            {
                SMALL_AUTOREGRESSIVE: (3.65, 1.00, 6.60, 0.25, 0.55),
                SMALL_NO_CONTEXT: (3.68, 1.06, 7.72, 0.35, 0.49),
                SMALL_CONTEXT: (3.59, 1.10, 6.63, 0.47, 0.48),
                BASE_CONTEXT: (3.35, 1.03, 4.09, 0.26, 0.52),
                ENCODED: (2.60, 0.61, 3.33, 0.09, 0.59),
                RAW: (0.0, 0.0, 0.0, 0.0, 0.79),
            }
        ),
    ),
    "urmp": PaperCorpus(
        "URMP validation",
        _VALIDATION,
        9,
        _table(
            {
                SMALL_AUTOREGRESSIVE: (3.78, 0.96, 7.67, 0.41, 0.15),
                SMALL_NO_CONTEXT: (3.67, 0.98, 7.56, 0.47, 0.23),
                SMALL_CONTEXT: (3.70, 0.99, 7.71, 0.48, 0.18),
                BASE_CONTEXT: (3.21, 0.86, 3.54, 0.23, 0.27),
                ENCODED: (2.50, 0.54, 2.69, 0.07, 0.28),
                RAW: (0.0, 0.0, 0.0, 0.0, 0.49),
            }
        ),
    ),
}
"""Scores in the paper by name of the corpus, as in `spectrodiff prepare`."""


def find_corpus(name: str, split: str) -> PaperCorpus | None:
    """Returns the paper's corpus by our name, such as "maestro/v3"; None for another split."""
    corpus = CORPORA.get(name.split("/")[0].lower())
    return corpus if corpus is not None and split in corpus.splits else None


def find_row(row: str, *descriptions: str) -> str | None:
    """Returns the row of the paper that a row of an evaluation reproduces.

    Args:
        row: name of the row; "model" is the model with its own inverter.
        descriptions: name or path of the model, title of the evaluation.

    Returns:
        A key of `MEAN`; None if the model is not one of the paper's, or is not recognized.
    """
    if row in ("encoded", "raw"):
        return {"encoded": ENCODED, "raw": RAW}[row]
    if row != "model":
        return None
    words = re.sub(r"[^a-z0-9]+", "_", " ".join(descriptions).lower())
    if "google_music_spectrogram_diffusion" in words:
        return BASE_CONTEXT
    small, base = _has(words, "small"), _has(words, "base")
    if small == base:
        return None
    without = _has(words, "(no|without|w_o)_context")
    if _has(words, "autoregressive"):
        return SMALL_AUTOREGRESSIVE if small else None
    if without:
        return SMALL_NO_CONTEXT if small else None
    if not _has(words, "context"):
        return None
    return SMALL_CONTEXT if small else BASE_CONTEXT


def _has(words: str, pattern: str) -> bool:
    return re.search(rf"(^|_){pattern}(_|$)", words) is not None
