"""The ids that stand for note events in the note encoder's input."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from spectrodiff.core.errors import ConfigError

EventKind = Literal["shift", "pitch", "velocity", "tie", "program", "drum"]

PADDING_ID = 0
END_ID = 1
UNKNOWN_ID = 2

STEPS_PER_SECOND = 100
MAX_SHIFT_STEPS = 1000

_SPECIAL_IDS = 3
_MAX_VELOCITY = 127
# The released embeddings have rows for 100 further symbols and a round number of rows.
_EXTRA_IDS = 100
_ROW_MULTIPLE = 128


class Event(NamedTuple):
    """One symbol of the vocabulary: "pitch" 60, "shift" 250, ..."""

    kind: EventKind
    value: int


@dataclass(frozen=True)
class Vocabulary:
    """Ids of events: kinds in the order shift, pitch, velocity, tie, program, drum.

    Attributes:
        velocity_bins: V; 1 tells only on from off, as in the released models, 127 keeps every MIDI
            velocity apart.
    """

    velocity_bins: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.velocity_bins <= _MAX_VELOCITY:
            raise ConfigError(
                "velocity_bins", f"a whole number in 1..{_MAX_VELOCITY}", repr(self.velocity_bins)
            )

    def _kinds(self) -> Iterator[tuple[EventKind, int]]:
        """Each kind of event with the number of its values."""
        yield "shift", MAX_SHIFT_STEPS + 1
        yield "pitch", 128
        yield "velocity", self.velocity_bins + 1
        yield "tie", 1
        yield "program", 128
        yield "drum", 128

    @cached_property
    def _ranges(self) -> dict[EventKind, range]:
        ranges, first = {}, _SPECIAL_IDS
        for kind, count in self._kinds():
            ranges[kind] = range(first, first + count)
            first += count
        return ranges

    @cached_property
    def _events(self) -> dict[int, Event]:
        return {
            token: Event(kind, value)
            for kind, ids in self._ranges.items()
            for value, token in enumerate(ids)
        }

    @property
    def embedding_rows(self) -> int:
        """Rows of the embedding table: 1536 for V = 1, 1664 for V = 127."""
        used = _SPECIAL_IDS + len(self._events) + _EXTRA_IDS
        return math.ceil(used / _ROW_MULTIPLE) * _ROW_MULTIPLE

    def count(self, kind: EventKind) -> int:
        """Number of values that events of a kind have."""
        return len(self._ranges[kind])

    def encode(self, kind: EventKind, values: npt.ArrayLike) -> np.ndarray:
        """Ids of events of one kind.

        Args:
            kind: the kind of all the events.
            values: int [...].

        Returns:
            int32 [...].

        Raises:
            ValueError: if a value has no id.
        """
        ids, values = self._ranges[kind], np.asarray(values, np.int32)
        if values.size and (values.min() < 0 or values.max() >= len(ids)):
            got = f"{values.min()}..{values.max()}"
            raise ValueError(f"{kind}: expected values in 0..{len(ids) - 1}, got {got}")
        return ids.start + values

    def decode(self, token: int) -> Event | None:
        """The event an id stands for; None for special and unknown ids."""
        return self._events.get(token)

    def ids_in(self, other: "Vocabulary") -> np.ndarray:
        """Ids of another vocabulary that stand for the same as this one's: int32 [ids in use].

        Special ids and all events but velocities are the same in both. A velocity bin has the bin
        of the other vocabulary that holds its loudest velocity; 0 stays 0.
        """
        ids = [np.arange(_SPECIAL_IDS, dtype=np.int32)]
        for kind, count in self._kinds():
            values = np.arange(count, dtype=np.int32)
            if kind == "velocity":
                values = -(-values * other.velocity_bins // self.velocity_bins)
            ids.append(other.encode(kind, values))
        return np.concatenate(ids)

    def velocity_to_bin(self, velocity: npt.ArrayLike) -> np.ndarray:
        """ceil(V * velocity / 127), so that only velocity 0 falls into bin 0; int32 [...]."""
        return -(-self.velocity_bins * np.asarray(velocity, np.int32) // _MAX_VELOCITY)

    def bin_to_velocity(self, velocity_bin: int) -> int:
        """The velocity, 0..127, that a bin stands for."""
        return _MAX_VELOCITY * velocity_bin // self.velocity_bins


RELEASED_VOCABULARY = Vocabulary(velocity_bins=1)
