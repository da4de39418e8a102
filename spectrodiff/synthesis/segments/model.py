"""The interface of models that generate songs segment by segment."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import jax
import numpy as np

from spectrodiff.core.config import require
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.models.config import ModelConfig
from spectrodiff.synthesis.tuning import Tuning


class SegmentBatch(NamedTuple):
    """Conditioning of a batch of segments."""

    tokens: np.ndarray  # int32 [B, n]
    context: np.ndarray | jax.Array  # scaled features [B, C, M]
    context_mask: np.ndarray  # bool [B, C]
    keys: jax.Array  # one random key per segment, [B]
    known: "Known | None" = None  # frames that overlap the segment before; None without overlap


class Known(NamedTuple):
    """First frames of segments, which a model that overlaps them holds fixed."""

    frames: np.ndarray | jax.Array  # scaled features [B, O, M]
    valid: np.ndarray  # bool [B], False at the start of a song, where there are none


def overlap_of(sampling: Sampling, config: ModelConfig) -> int:
    """Returns the number of frames that segments share; 0 for autoregressive networks.

    Raises:
        ConfigError: if it is more than half a segment.
    """
    if config.kind == "autoregressive":
        return 0
    half = config.target_frames // 2
    expected = f"at most {half} frames, half a segment"
    require(sampling.overlap <= half, "Sampling.overlap", expected, sampling.overlap)
    return sampling.overlap


class SegmentModel(Protocol):
    """Generates the features of a batch of segments."""

    @property
    def config(self) -> ModelConfig:
        """Sizes of the network."""
        ...

    @property
    def steps(self) -> int:
        """Number of steps per batch."""
        ...

    @property
    def overlap(self) -> int:
        """Number of frames that a segment shares with the one before it."""
        ...

    @property
    def num_devices(self) -> int:
        """Number of devices that share a batch."""
        ...

    @property
    def tuning(self) -> Tuning:
        """Settings of the programs."""
        ...

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        """Returns scaled features [B, F, M] in [-1, 1], known frames included."""
        ...

    def try_steps(self, batch: SegmentBatch) -> Iterator[float]:
        """Takes some steps per iteration, endlessly, and yields how many; the first compiles.

        If steps differ in their cost, they are counted in steps of mean cost. The program is the
        one that generates segments, so that it can be timed.
        """
        ...
