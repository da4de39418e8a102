"""Batches of examples, as the training step takes them.

A batch is a dict of arrays: `tokens` int32 [B, n], zero-padded to one of a few lengths; `audio`
int16 [B, (C + F + 16) * 320]; `context_frames` int32 [B].
"""

from collections.abc import Sequence

import numpy as np

from spectrodiff.data.loading.examples import Chunk
from spectrodiff.models.padding import note_bucket
from spectrodiff.music.vocabulary import PADDING_ID

Batch = dict[str, np.ndarray]


def collate(chunks: Sequence[Chunk], max_tokens: int) -> Batch:
    """Puts chunks into one batch, with tokens padded to the next usual length.

    Args:
        chunks: at least one.
        max_tokens: the longest that tokens can be.
    """
    longest = max(len(chunk.tokens) for chunk in chunks)
    length = min(note_bucket(longest, max_tokens), max_tokens)
    tokens = np.full((len(chunks), length), PADDING_ID, np.int32)
    for row, chunk in zip(tokens, chunks, strict=True):
        row[: len(chunk.tokens)] = chunk.tokens
    return {
        "tokens": tokens,
        "audio": np.stack([chunk.audio for chunk in chunks]),
        "context_frames": np.array([chunk.context_frames for chunk in chunks], np.int32),
    }


def pad_tokens(batch: Batch, length: int) -> Batch:
    """The same batch with longer rows of tokens.

    For runs of many processes: they have to agree on a length, and each chose one for its own rows.
    """
    tokens = batch["tokens"]
    padding = [(0, 0), (0, length - tokens.shape[1])]
    return {**batch, "tokens": np.pad(tokens, padding, constant_values=PADDING_ID)}
