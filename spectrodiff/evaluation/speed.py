"""How fast songs are made, measured as in the paper: one at a time, after the first segment."""

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.json_files import read_json
from spectrodiff.evaluation import checksums
from spectrodiff.evaluation.metrics.signal_distances import log_mel_of
from spectrodiff.evaluation.rendering import DRAWING, Inverters
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.songs import EvaluationSong
from spectrodiff.evaluation.store import feature_key, write_json
from spectrodiff.inverter import Inverter, invert
from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

Speed = dict[str, float | str | None]


@dataclass
class SpeedMeter:
    """Times how rows are made, and keeps what it measured in a file.

    Attributes:
        path: of the file.
        synthesizer: loads the model, when it is needed.
        inverters: of the rows.
        song: what is rendered.
        segments: how many of its segments to time.
        device: where this happens, in words.
    """

    path: Path
    synthesizer: Callable[[], Synthesizer]
    inverters: Inverters
    song: EvaluationSong
    segments: int
    device: str
    _drawn: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)

    def measure(
        self, rows: Sequence[Row], descriptions: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Speed]:
        """Seconds of audio per second of time, features and inversion apart, by row.

        Rows without an inverter have none, nor has any if the song has a single segment.

        Args:
            rows: the rows.
            descriptions: how each comes about, by name.

        Returns:
            For each row "features" (None if there is no model behind it), "inversion", "both" and a
            "note" in words.
        """
        known = read_json(self.path) if self.path.is_file() else {}
        speeds: dict[str, Speed] = {}
        for row in rows:
            if row.source == "raw":
                continue
            description = descriptions[row.name]
            of = checksums.of_json([description, self.segments, self.device])
            if known.get(row.name, {}).get("of") != of:
                speed = self._measure(row, feature_key(description))
                if speed is None:
                    logger.warning("speed is not measured: no song has two segments")
                    return {}
                known[row.name] = {"of": of, "speed": speed}
                write_json(self.path, known)
            speeds[row.name] = known[row.name]["speed"]
        return speeds

    def _measure(self, row: Row, key: str) -> Speed | None:
        drawing_seconds = 0.0
        if row.source == "model":
            if key not in self._drawn:
                logger.info("timing %s", row.words)
                self._drawn[key] = time_drawing(self.synthesizer(), row, self.song, self.segments)
            log_mel, drawing_seconds = self._drawn[key]
        else:
            log_mel = log_mel_of(self.song.audio)
        if not len(log_mel):
            return None
        inverter = self.inverters(row.inverter)
        inversion_seconds = time_inversion(inverter, log_mel)
        seconds = len(log_mel) * HOP_SAMPLES / SAMPLE_RATE
        return {
            "features": seconds / drawing_seconds if drawing_seconds else None,
            "inversion": seconds / inversion_seconds,
            "both": seconds / (drawing_seconds + inversion_seconds),
            "note": f"{row.words}: {seconds:.1f} s of audio, one song at a time without its first "
            f"segment, inverted by {inverter.name}, on {self.device}",
        }


def time_drawing(
    synthesizer: Synthesizer, row: Row, song: EvaluationSong, segments: int
) -> tuple[np.ndarray, float]:
    """Draws a song and times all but its first segment.

    It is drawn twice, so that nothing is compiled while time is taken.

    Returns:
        Features of these segments, unscaled [frames, 128], and how many seconds they took; no
        frames and 0 if the song has a single segment.
    """
    settings: dict[str, Any] = {name: getattr(row, name) for name in DRAWING}
    for _ in range(2):
        drawn, moments = [], []
        for log_mel in itertools.islice(synthesizer.segments(song.notes, **settings), segments + 1):
            drawn.append(log_mel)
            moments.append(time.perf_counter())
    if len(drawn) < 2:
        return drawn[0][:0], 0.0
    return np.concatenate(drawn[1:]), moments[-1] - moments[0]


def time_inversion(inverter: Inverter, log_mel: np.ndarray) -> float:
    """Seconds that it takes to invert features, unscaled [frames, 128], a second time."""
    invert(inverter, log_mel)
    begin = time.perf_counter()
    invert(inverter, log_mel)
    return time.perf_counter() - begin
