"""The binary stream of parts: each a length, a header in JSON, the spectrogram, and the audio."""

import json
import struct
from collections.abc import Mapping

from spectrodiff.player.renderings import SentPart


def pack_part(part: SentPart) -> bytes:
    """Returns a part as the page reads it.

    Four bytes of the header's length (little-endian), the header, a byte per bin and frame of the
    spectrogram, lowest bin first, and 16-bit samples (little-endian).
    """
    header = {
        "segment": part.segment,
        "first_sample": part.first_sample,
        "samples": len(part.audio),
        "first_frame": part.first_frame,
        "frames": len(part.spectrogram),
        "compute_seconds": round(part.compute_seconds, 4),
        "last": part.last,
    }
    return _packed(header) + part.spectrogram.tobytes() + part.audio.astype("<i2").tobytes()


def pack_error(message: str) -> bytes:
    """Returns what ends a stream that failed."""
    return _packed({"error": message})


def _packed(header: Mapping[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text
