"""Rendered pieces in a device's memory, from which training steps cut their examples themselves.

Nothing of a step happens on the host: examples are drawn by index on the device, and audio never
travels again. New pieces are added between two calls, while training goes on.

Axis letters: P pieces, S samples of a piece, E examples of a bucket, n tokens, B batch.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.core.constants import EXTRA_FRAMES, HOP_SAMPLES
from spectrodiff.core.errors import ConfigError
from spectrodiff.recipe.pieces import Piece
from spectrodiff.recipe.tones import draw_tones
from spectrodiff.training.examples import Batch

# Pieces travel to the device in blocks of one size, so that one program puts them in place.
BLOCK = 8
# Indices into the audio of all pieces have to fit 32 bits.
MAX_SAMPLES = 2**31 - 1


class StoredExamples(NamedTuple):
    """The examples of one bucket; rows beyond `size` are empty."""

    piece: jax.Array  # int32 [E]
    start: jax.Array  # int32 [E], the first target frame
    tokens: jax.Array  # int16 [E, n]
    size: jax.Array  # int32 []


class Sound(NamedTuple):
    """The audio of all pieces; rows beyond `size` are silent."""

    audio: jax.Array  # int16 [P, S], `lead_frames` of silence, the piece, EXTRA_FRAMES of silence
    size: jax.Array  # int32 []


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a store.

    Attributes:
        pieces: P.
        piece_frames: length of a piece.
        lead_frames: silence before each piece, the context of its first example.
        cuts: examples per piece.
        buckets: note tokens of the buckets, ascending.
    """

    pieces: int
    piece_frames: int
    lead_frames: int
    cuts: int
    buckets: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.pieces * self.samples > MAX_SAMPLES:
            most = MAX_SAMPLES // self.samples
            raise ConfigError("pieces in memory", f"at most {most}", str(self.pieces))

    @property
    def samples(self) -> int:
        """S."""
        return (self.lead_frames + self.piece_frames + EXTRA_FRAMES) * HOP_SAMPLES


class Store:
    """Pieces on a device.

    Args:
        shape: how many, and how large.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._audio = jnp.zeros((shape.pieces, shape.samples), jnp.int16)
        self._waiting: list[np.ndarray] = []
        self._placed = 0
        examples = shape.pieces * shape.cuts
        self._rows = [np.zeros((examples, 2), np.int32) for _ in shape.buckets]
        self._tokens = [np.zeros((examples, length), np.int16) for length in shape.buckets]
        self._counts = [0 for _ in shape.buckets]
        self._sizes = [0 for _ in shape.buckets]  # without those of waiting pieces
        self._tables: list[StoredExamples] = []

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count} of up to {length} tokens"
            for count, length in zip(self._sizes, self.shape.buckets, strict=True)
        )
        return f"{self._placed} pieces; examples: {counts}"

    @property
    def num_pieces(self) -> int:
        """Number of pieces that can be drawn from."""
        return self._placed

    @property
    def num_examples(self) -> list[int]:
        """Number of examples of each bucket that can be drawn from."""
        return list(self._sizes)

    @property
    def full(self) -> bool:
        """True if there is no room for another piece."""
        return self._placed + len(self._waiting) >= self.shape.pieces

    def add(self, piece: Piece) -> None:
        """Takes a piece, to be sent with the next block."""
        number = self._placed + len(self._waiting)
        lead = self.shape.lead_frames * HOP_SAMPLES
        padded = np.zeros(self.shape.samples, np.int16)
        audio = piece.audio[: self.shape.piece_frames * HOP_SAMPLES]
        padded[lead : lead + len(audio)] = audio
        self._waiting.append(padded)
        for start, tokens in zip(piece.starts, piece.tokens, strict=True):
            bucket = next(
                place for place, length in enumerate(self.shape.buckets) if len(tokens) <= length
            )
            row = self._counts[bucket]
            self._rows[bucket][row] = number, start
            self._tokens[bucket][row, : len(tokens)] = tokens
            self._counts[bucket] += 1

    def send(self, *, everything: bool = False) -> bool:
        """Sends whole blocks of waiting pieces to the device; says whether there were any.

        Args:
            everything: send the last ones too, although they do not fill a block.
        """
        sent = False
        while len(self._waiting) >= BLOCK or (everything and self._waiting):
            block, self._waiting = self._waiting[:BLOCK], self._waiting[BLOCK:]
            # The last ones go one by one: blocks of other sizes would each need a program.
            for part in [block] if len(block) == BLOCK else [[audio] for audio in block]:
                self._audio = _put(self._audio, np.stack(part), self._placed)
                self._placed += len(part)
            sent = True
        if sent:
            self._sizes = [
                int((rows[:count, 0] < self._placed).sum())
                for rows, count in zip(self._rows, self._counts, strict=True)
            ]
            self._tables = [self._table(bucket) for bucket in range(len(self._counts))]
        return sent

    def _table(self, bucket: int) -> StoredExamples:
        """The examples of the pieces that are in place."""
        rows, tokens = self._rows[bucket], self._tokens[bucket]
        # Copies: later examples are written into these arrays.
        return StoredExamples(
            jnp.array(rows[:, 0]),
            jnp.array(rows[:, 1]),
            jnp.array(tokens),
            jnp.int32(self._sizes[bucket]),
        )

    def shapes(self) -> tuple[Sound, list[StoredExamples]]:
        """Shapes of the sound and of the examples of each bucket, for compiling."""

        def shape(size: tuple[int, ...], dtype: type) -> Any:
            return jax.ShapeDtypeStruct(size, dtype)

        rows, none = (self.shape.pieces * self.shape.cuts,), shape((), jnp.int32)
        audio = shape((self.shape.pieces, self.shape.samples), jnp.int16)
        index = shape(rows, jnp.int32)
        return Sound(audio, none), [
            StoredExamples(index, index, shape((*rows, length), jnp.int16), none)
            for length in self.shape.buckets
        ]

    def sound(self) -> Sound:
        """The audio there is."""
        return Sound(self._audio, jnp.int32(self._placed))

    def examples(self, bucket: int) -> StoredExamples:
        """The examples of a bucket; those of later pieces come with the next block."""
        return self._tables[bucket]


@functools.partial(jax.jit, donate_argnums=0)
def _put(audio: jax.Array, block: jax.Array, first: int | jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(audio, block, (first, 0))


def draw_examples(
    sound: Sound,
    examples: StoredExamples,
    key: jax.Array,
    batch_size: int,
    context_frames: int,
    target_frames: int,
) -> Batch:
    """A random batch of a bucket, as `training.segments.read_examples` takes it.

    Args:
        sound: all pieces.
        examples: of the bucket.
        key: consumed.
        batch_size: B.
        context_frames: C.
        target_frames: F.
    """
    frames = context_frames + target_frames
    rows = jax.random.randint(key, (batch_size,), 0, examples.size)
    start = examples.start[rows]
    return {
        "tokens": examples.tokens[rows].astype(jnp.int32),
        # A piece begins behind as much silence as a context is long.
        "audio": _cut(sound.audio, examples.piece[rows], start * HOP_SAMPLES, frames),
        "context_frames": jnp.minimum(start, context_frames),
    }


def draw_windows(
    sound: Sound, key: jax.Array, batch_size: int, frames: int, tones: int = 0
) -> Batch:
    """Random windows of sound, from any sample on.

    Args:
        sound: all pieces.
        key: consumed.
        batch_size: B.
        frames: F.
        tones: how many of the batch are synthetic tones instead (see `recipe.tones`).
    """
    piece_key, start_key, tone_key = jax.random.split(key, 3)
    piece = jax.random.randint(piece_key, (batch_size,), 0, sound.size)
    last = sound.audio.shape[1] - (frames + EXTRA_FRAMES) * HOP_SAMPLES
    start = jax.random.randint(start_key, (batch_size,), 0, last + 1)
    audio = _cut(sound.audio, piece, start, frames)
    if tones:
        audio = audio.at[:tones].set(draw_tones(tone_key, tones, audio.shape[1]))
    return {
        "tokens": jnp.zeros((batch_size, 1), jnp.int32),
        "audio": audio,
        "context_frames": jnp.zeros(batch_size, jnp.int32),
    }


def _cut(audio: jax.Array, piece: jax.Array, start: jax.Array, frames: int) -> jax.Array:
    """Int16 [B, (frames + EXTRA_FRAMES) * 320]."""
    samples = (frames + EXTRA_FRAMES) * HOP_SAMPLES
    return jax.vmap(
        lambda piece, start: jax.lax.dynamic_slice(audio, (piece, start), (1, samples))[0]
    )(piece, start)
