"""Batches of examples, as the training step takes them.

A batch is a dict of arrays: `tokens` int32 [B, n], zero-padded to one of a few lengths; `audio`
int16 [B, (C + F + 16) * 320]; `context_frames` int32 [B].
"""

from collections.abc import Sequence

import numpy as np

from spectrodiff.data.loading.examples import Example
from spectrodiff.models.padding import note_bucket
from spectrodiff.music.vocabulary import PADDING_ID

# A batch in the memory of the host; `training.examples.Batch` is one on devices.
HostBatch = dict[str, np.ndarray]


def collate(examples: Sequence[Example], max_tokens: int) -> HostBatch:
    """Makes a batch of examples, with tokens padded to the next bucket length.

    Args:
        examples: at least one.
        max_tokens: longest length of tokens.
    """
    longest = max(len(example.tokens) for example in examples)
    length = min(note_bucket(longest, max_tokens), max_tokens)
    tokens = np.full((len(examples), length), PADDING_ID, np.int32)
    for row, example in zip(tokens, examples, strict=True):
        row[: len(example.tokens)] = example.tokens
    return {
        "tokens": tokens,
        "audio": np.stack([example.audio for example in examples]),
        "context_frames": np.array([example.context_frames for example in examples], np.int32),
    }


def pad_tokens(batch: HostBatch, length: int) -> HostBatch:
    """Pads the tokens of a batch further.

    Processes that train together need one length, while each chose one for its own rows.
    """
    tokens = batch["tokens"]
    padding = [(0, 0), (0, length - tokens.shape[1])]
    return {**batch, "tokens": np.pad(tokens, padding, constant_values=PADDING_ID)}
