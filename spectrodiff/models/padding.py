"""Lengths that tokens are padded to."""

# Tokens are padded to the next of these lengths: padding is masked, so the result is the same, and
# few lengths mean few compilations. Each is at most a third longer than the one before, so that
# little of the cross-attention is spent on padding.
NOTE_BUCKETS = (64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280, 1536, 2048)


def note_bucket(longest: int, limit: int) -> int:
    """Returns the padded length for segments of at most `longest` tokens."""
    return min((bucket for bucket in NOTE_BUCKETS if bucket >= longest), default=limit)
