"""Token ids of note events in the input of the note encoder."""

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

STEPS_PER_SECOND = 100
MAX_SHIFT_STEPS = 1000

_SPECIAL_IDS = 3  # padding, end of sequence, unknown
_MAX_VELOCITY = 127
# The released embedding tables have 100 unused rows and a multiple of 128 rows.
_EXTRA_IDS = 100
_ROW_MULTIPLE = 128


class Event(NamedTuple):
    """Event of the vocabulary: "pitch" 60, "shift" 250, ..."""

    kind: EventKind
    value: int


@dataclass(frozen=True)
class Vocabulary:
    """Bijection of events and ids, ordered by kind: shift, pitch, velocity, tie, program, drum.

    Attributes:
        velocity_bins: V; 1 distinguishes only note-on from note-off, as in the released models,
            127 keeps all MIDI velocities.

    Raises:
        ConfigError: if `velocity_bins` is not in 1..127.
    """

    velocity_bins: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.velocity_bins <= _MAX_VELOCITY:
            raise ConfigError(
                "velocity_bins", f"a whole number in 1..{_MAX_VELOCITY}", repr(self.velocity_bins)
            )

    def _kinds(self) -> Iterator[tuple[EventKind, int]]:
        """Yields each kind of event with its number of values."""
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
        """Number of rows of the embedding table: 1536 for V = 1, 1664 for V = 127."""
        used = _SPECIAL_IDS + len(self._events) + _EXTRA_IDS
        return math.ceil(used / _ROW_MULTIPLE) * _ROW_MULTIPLE

    def count(self, kind: EventKind) -> int:
        """Returns the number of values of a kind of event."""
        return len(self._ranges[kind])

    def encode(self, kind: EventKind, values: npt.ArrayLike) -> np.ndarray:
        """Returns the ids of events of one kind.

        Args:
            kind: kind of the events.
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
        """Returns the event of an id; None for special and unused ids."""
        return self._events.get(token)

    def ids_in(self, other: "Vocabulary") -> np.ndarray:
        """Returns the equivalent ids in another vocabulary, int32 [ids in use].

        Special ids and all events except velocities have an exact equivalent. A velocity bin maps
        to the bin of the other vocabulary that contains its highest velocity; 0 maps to 0.
        """
        ids = [np.arange(_SPECIAL_IDS, dtype=np.int32)]
        for kind, count in self._kinds():
            values = np.arange(count, dtype=np.int32)
            if kind == "velocity":
                values = -(-values * other.velocity_bins // self.velocity_bins)
            ids.append(other.encode(kind, values))
        return np.concatenate(ids)

    def velocity_to_bin(self, velocity: npt.ArrayLike) -> np.ndarray:
        """Returns ceil(V * velocity / 127), so that only velocity 0 is in bin 0; int32 [...]."""
        return -(-self.velocity_bins * np.asarray(velocity, np.int32) // _MAX_VELOCITY)

    def bin_to_velocity(self, velocity_bin: int) -> int:
        """Returns the velocity of a bin, 0..127."""
        return _MAX_VELOCITY * velocity_bin // self.velocity_bins


RELEASED_VOCABULARY = Vocabulary(velocity_bins=1)
"""Vocabulary of the released models."""
