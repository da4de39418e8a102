"""Lengths that tokens are padded to."""

from collections.abc import Sequence

# Tokens are padded to the next of these lengths: padding is masked, so the result is the same, and
# few lengths mean few compilations. Each is at most a third longer than the one before, so that
# little of the cross-attention is spent on padding.
NOTE_BUCKETS = (64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280, 1536, 2048)
# For devices on which a compilation takes longer than padding ever will.
COARSE_NOTE_BUCKETS = (256, 512, 1024, 2048)


def note_bucket(longest: int, limit: int, buckets: Sequence[int] = NOTE_BUCKETS) -> int:
    """Returns the padded length for segments of at most `longest` tokens.

    Args:
        longest: number of tokens.
        limit: largest result.
        buckets: padded lengths to choose from, increasing.
    """
    return min(min((bucket for bucket in buckets if bucket >= longest), default=limit), limit)
