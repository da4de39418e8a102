"""Speed of rendering, measured as in the paper: one song at a time, after the first segment."""

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.json_files import read_json, write_json
from spectrodiff.evaluation.dataclass_json import from_json, json_name, to_json
from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel
from spectrodiff.evaluation.protocol import EvaluationSong
from spectrodiff.evaluation.results import Speed
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.store import Description, feature_key
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.notes import Notes
from spectrodiff.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Measurement:
    """Speed of a row in `speed.json`, with a checksum of everything that it depends on."""

    checksum: str = field(metadata=json_name("of"))
    speed: Speed


@dataclass
class SpeedMeter:
    """Measures the speed of rows and stores it in a file.

    Attributes:
        path: path of the file.
        synthesizer: function that loads the model on its first call.
        inverters: returns the inverter of a row.
        song: song to render.
        segments: number of segments to time.
        device: name of the device.
    """

    path: Path
    synthesizer: Callable[[], Synthesizer]
    inverters: Callable[[Row], Inverter]
    song: EvaluationSong
    segments: int
    device: str
    _sampled: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)

    def measure(
        self, rows: Sequence[Row], descriptions: Mapping[str, Description]
    ) -> dict[str, Speed]:
        """Measures the speed of all rows that have an inverter.

        Args:
            rows: rows of the tables.
            descriptions: descriptions of the rows, by name.

        Returns:
            Speeds by row; none if the song has a single segment.
        """
        known = read_json(self.path) if self.path.is_file() else {}
        measured = from_json(dict[str, _Measurement], known, str(self.path))
        speeds: dict[str, Speed] = {}
        for row in rows:
            if row.source in ("raw", "soundfont"):
                continue
            description = descriptions[row.name]
            checksum = json_checksum([description, self.segments, self.device])
            if row.name not in measured or measured[row.name].checksum != checksum:
                speed = self._measure(row, feature_key(description))
                if speed is None:
                    logger.warning("speed is not measured: no song has two segments")
                    return {}
                measured[row.name] = _Measurement(checksum, speed)
                write_json(self.path, to_json(measured))
            speeds[row.name] = measured[row.name].speed
        return speeds

    def _measure(self, row: Row, key: str) -> Speed | None:
        sampling_seconds = 0.0
        if row.source == "model":
            if key not in self._sampled:
                logger.info("timing %s", row.heading)
                self._sampled[key] = time_sampling(
                    self.synthesizer(), row, self.song, self.segments
                )
            log_mel, sampling_seconds = self._sampled[key]
        else:
            log_mel = blockwise_log_mel(self.song.audio)
        if not len(log_mel):
            return None
        inverter = self.inverters(row)
        inversion_seconds = time_inversion(inverter, log_mel, self.song.notes)
        seconds = len(log_mel) * HOP_SAMPLES / SAMPLE_RATE
        return Speed(
            features=seconds / sampling_seconds if sampling_seconds else None,
            inversion=seconds / inversion_seconds,
            both=seconds / (sampling_seconds + inversion_seconds),
            note=f"{row.heading}: {seconds:.1f} s of audio, one song at a time without its first "
            f"segment, inverted by {inverter.name}, on {self.device}",
        )


def time_sampling(
    synthesizer: Synthesizer, row: Row, song: EvaluationSong, segments: int
) -> tuple[np.ndarray, float]:
    """Samples the features of a song and times all segments but the first.

    Samples twice and times the second run, so that compilation is not timed.

    Returns:
        Features of these segments, unscaled [frames, 128], and their time in seconds; no frames and
        0 if the song has a single segment.
    """
    assert row.seed is not None
    for _ in range(2):
        sampled, moments = [], []
        features = synthesizer.segments(song.notes, **row.sampling, seed=row.seed)
        for log_mel in itertools.islice(features, segments + 1):
            sampled.append(log_mel)
            moments.append(time.perf_counter())
    if len(sampled) < 2:
        return sampled[0][:0], 0.0
    return np.concatenate(sampled[1:]), moments[-1] - moments[0]


def time_inversion(inverter: Inverter, log_mel: np.ndarray, notes: Notes) -> float:
    """Returns the time in seconds of inverting features, unscaled [frames, 128], a second time."""
    invert(inverter, log_mel, notes=notes)
    begin = time.perf_counter()
    invert(inverter, log_mel, notes=notes)
    return time.perf_counter() - begin
