"""Recipe of an embedding in an ONNX file: what the graph's own operations do not say."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping

import numpy as np

from spectrodiff.audio.loudness import HIGHEST_LUFS, LOWEST_LUFS, integrated_loudness
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError

# Name of the recipe in the metadata of the file.
METADATA = "spectrodiff_embedding"


@dataclasses.dataclass(frozen=True)
class OnnxRecipe:
    """Recipe of an embedding: its name, and how a recording is cut for the graph.

    Attributes:
        name: name in tables.
        source: package and weights that the graph was made from.
        sample_rate: sample rate of the graph's input in Hz.
        window_samples: length of the windows that are embedded one by one; None for the whole
            recording at once.
        hop_samples: distance of windows, the same as their length unless it is given.
        lead_samples: zeros before the recording.
        multiple_samples: the recording is padded with zeros at its end to a multiple of this, and
            then by what windows are longer than their hop.
        shortest_samples: where it is given, nothing is padded; the last window may be shorter, and
            is left out if it is shorter than this, unless it is the only one.
        lufs: loudness that recordings are scaled to before anything else, but not above full scale.
    """

    name: str
    source: str = ""
    sample_rate: int = SAMPLE_RATE
    window_samples: int | None = None
    hop_samples: int | None = None
    lead_samples: int = 0
    multiple_samples: int = 1
    shortest_samples: int | None = None
    lufs: float | None = None

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, str], path: str | os.PathLike[str]
    ) -> "OnnxRecipe | None":
        """Reads the recipe in the metadata of a file; None if there is none.

        Raises:
            CheckpointError: if it is damaged.
        """
        if METADATA not in metadata:
            return None
        expected = f"a recipe of an embedding as {METADATA}"
        try:
            values = json.loads(metadata[METADATA])
            recipe = cls(**values)
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(path, expected, str(error)) from None
        if not recipe._is_valid():
            raise CheckpointError(path, expected, metadata[METADATA])
        return recipe

    def to_metadata(self) -> dict[str, str]:
        """Returns the metadata that hold the recipe."""
        return {METADATA: json.dumps(dataclasses.asdict(self), sort_keys=True)}

    def windows(self, audio: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the parts of a recording, float32 [samples], that are embedded one by one."""
        if self.lufs is not None:
            audio = _scale_to(audio, self.sample_rate, self.lufs)
        window = self.window_samples
        if window is None:
            yield audio
            return
        hop = self.hop_samples or window
        if self.shortest_samples is not None:
            for start in range(0, len(audio), hop):
                part = audio[start : start + window]
                if start == 0 or len(part) >= self.shortest_samples:
                    yield part
            return
        missing = -len(audio) % self.multiple_samples
        padded = np.pad(audio, (self.lead_samples, missing + max(window - hop, 0)))
        padded = np.pad(padded, (0, max(window - len(padded), 0)))
        for start in range(0, len(padded) - window + 1, hop):
            yield padded[start : start + window]

    def _is_valid(self) -> bool:
        counts = (self.sample_rate, self.window_samples, self.hop_samples, self.shortest_samples)
        lufs = self.lufs
        return (
            isinstance(self.name, str)
            and bool(self.name)
            and isinstance(self.source, str)
            and type(self.sample_rate) is int
            and all(count is None or (type(count) is int and count >= 1) for count in counts)
            and (type(self.lead_samples) is int and self.lead_samples >= 0)
            and (type(self.multiple_samples) is int and self.multiple_samples >= 1)
            and (
                lufs is None
                or (isinstance(lufs, int | float) and LOWEST_LUFS <= lufs <= HIGHEST_LUFS)
            )
        )


def _scale_to(audio: np.ndarray, sample_rate: int, lufs: float) -> np.ndarray:
    # What is too short for a measurement is measured with silence after it.
    padded = np.pad(audio, (0, max(sample_rate // 2 - len(audio), 0)))
    loudness = max(integrated_loudness(padded, sample_rate), LOWEST_LUFS)
    scaled = audio * np.float32(10 ** ((lufs - loudness) / 20))
    return scaled / max(float(np.abs(scaled).max()), 1.0)
