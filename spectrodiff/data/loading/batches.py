"""Batches of examples, as the training step takes them.

A batch is a dict of arrays: `tokens` int32 [B, n], zero-padded to one of a few lengths; `audio`
int16 [B, (C + F + 16) * 320]; `context_frames` int32 [B].
"""

from collections.abc import Sequence

import numpy as np

from spectrodiff.data.loading.examples import Example
from spectrodiff.music.vocabulary import PADDING_ID

# A batch in the memory of the host; `training.examples.Batch` is one on devices.
HostBatch = dict[str, np.ndarray]


def collate(examples: Sequence[Example], length: int) -> HostBatch:
    """Makes a batch of examples, with tokens padded to a length.

    Args:
        examples: at least one.
        length: padded length, at least that of each example's tokens.
    """
    tokens = np.full((len(examples), length), PADDING_ID, np.int32)
    for row, example in zip(tokens, examples, strict=True):
        row[: len(example.tokens)] = example.tokens
    return {
        "tokens": tokens,
        "audio": np.stack([example.audio for example in examples]),
        "context_frames": np.array([example.context_frames for example in examples], np.int32),
    }
