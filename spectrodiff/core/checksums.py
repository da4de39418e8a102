"""Checksum of settings and names."""

import json
import zlib


def json_checksum(value: object) -> str:
    """Returns the CRC-32 of a value that JSON can hold, as eight digits.

    The order of keys has no effect.
    """
    return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"
