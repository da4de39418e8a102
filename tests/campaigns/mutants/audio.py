"""Damaged, odd and hostile audio files of all formats, made from seeds."""

import dataclasses
import functools
import io
import random
import struct
from collections.abc import Callable

import numpy as np
import soundfile

from tests.campaigns.mutants import mutations

# Format, subtype and suffix, as libsndfile calls them. The suffix is that of most such files.
KINDS = (
    *(("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("WAV", kind) for kind in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32")),
    *(("WAVEX", kind) for kind in ("PCM_16", "PCM_24", "FLOAT")),
    *(("RF64", kind) for kind in ("PCM_16", "FLOAT")),
    *(("W64", kind) for kind in ("PCM_16", "FLOAT", "IMA_ADPCM")),
    *(("AIFF", kind) for kind in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "DWVW_16")),
    *(("CAF", kind) for kind in ("PCM_16", "FLOAT", "ALAC_16", "ALAC_24")),
    *(("AU", kind) for kind in ("PCM_16", "FLOAT", "ULAW", "G723_24")),
    *(("FLAC", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("OGG", kind) for kind in ("VORBIS", "OPUS")),
    ("MP3", "MPEG_LAYER_III"),
    *((kind, "PCM_16") for kind in ("SVX", "NIST", "IRCAM", "VOC", "PAF", "AVR", "HTK", "PVF")),
    *((kind, "PCM_16") for kind in ("SDS", "MPC2K", "MAT4")),
    ("WVE", "ALAW"),
    ("XI", "DPCM_16"),
)
# These are what people have.
_USUAL = tuple(kind for kind in KINDS if kind[0] in ("WAV", "AIFF", "FLAC", "OGG", "MP3"))
_RATES = (8000, 16_000, 22_050, 44_100, 48_000, 44_101, 96_000)
_EXTREMES = (0, 1, 2, 255, 1024, 65535, 2**31 - 1, 2**31, 2**32 - 1, 10**6)
_NAN = (np.nan, np.inf, -np.inf, 3e38, 1e-40)


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """Contents of a file, and the suffix of its name."""

    data: bytes
    suffix: str


def mutant(seed: int) -> AudioFile:
    """Returns the file of a seed."""
    rng = random.Random(seed)
    kind = rng.choice(_USUAL if rng.random() < 0.6 else KINDS)
    data = base(rng, *kind)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        data = rng.choice(_MUTATIONS)(rng, data)
    if kind[0] == "OGG" and rng.random() < 0.7:
        data = _with_checksums(data)
    if rng.random() < 0.05:
        data = rng.choice((_tagged, _random, _nothing))(rng, data)
    suffix = rng.choice(("wav", "mp3", "raw", "flac", "txt")) if rng.random() < 0.1 else kind[0]
    return AudioFile(data, f".{suffix.lower()}")


def base(rng: random.Random, kind: str, subtype: str) -> bytes:
    """Returns a whole file of a format, between nothing and a second of sound."""
    generator = np.random.default_rng(rng.getrandbits(32))
    rate, channels = rng.choice(_RATES), rng.choice((1, 1, 2, 2, 6))
    if subtype == "OPUS":
        rate = 48_000
    frames = rng.choice((1, 100, 5000, 20_000))
    audio = generator.normal(0, 0.2, (frames, 1)) * rng.choice((0, 1, 1, 8))
    audio = np.repeat(audio.clip(-1, 1), channels, axis=1)
    if subtype in ("FLOAT", "DOUBLE") and rng.random() < 0.2:
        audio[rng.randrange(frames)] = rng.choice(_NAN)
    for settings in ((rate, channels), (rate, 1), (16_000, 1), (44_100, 1)):
        buffer = io.BytesIO()
        try:
            soundfile.write(buffer, audio[:, : settings[1]], settings[0], subtype, format=kind)
        except soundfile.LibsndfileError:
            continue  # of formats with one channel or few rates
        return _without_chance(buffer.getvalue())
    raise AssertionError(f"{kind} of {subtype} cannot be written")


def _without_chance(data: bytes) -> bytes:
    """Takes out what libsndfile takes from the clock: times of writing, and numbers of streams."""
    if data.startswith(b"OggS"):
        return _with_checksums(data, stream=1)
    changed = bytearray(data)
    if (place := data[:200].find(b"PEAK")) >= 0:
        changed[place + 12 : place + 16] = bytes(4)
    return bytes(changed)


# Ogg ------------------------------------------------------------------------------------------


def _pages(data: bytes) -> list[bytes]:
    first, *others = data.split(b"OggS")
    return [page for page in (first, *(b"OggS" + other for other in others)) if page]


def _with_checksums(data: bytes, stream: int | None = None) -> bytes:
    """Writes the checksums that the pages should have, so that damage reaches the decoder."""
    pages = []
    for page in _pages(data):
        if len(page) >= 27 and page.startswith(b"OggS"):
            number = page[14:18] if stream is None else stream.to_bytes(4, "little")
            page = page[:14] + number + page[18:22] + bytes(4) + page[26:]
            page = page[:22] + _checksum(page).to_bytes(4, "little") + page[26:]
        pages.append(page)
    return b"".join(pages)


@functools.cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value & 1 << 31 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def _checksum(data: bytes) -> int:
    table, value = _table(), 0
    for byte in data:
        value = value << 8 & 0xFFFFFFFF ^ table[value >> 24 ^ byte]
    return value


# Mutations ------------------------------------------------------------------------------------


def _number_in_header(rng: random.Random, data: bytes) -> bytes:
    return mutations.number(rng, data, edge=120)


def _field(rng: random.Random, data: bytes) -> bytes:
    """Writes an extreme number into a field of a known header."""
    fields: list[tuple[int, int, str]] = []
    for name, places in _FIELDS.items():
        start = data.find(name)
        if 0 <= start < 4096:
            order = "big" if data[:4] in (b"FORM", b"RIFX", b"caff", b".snd", b"fLaC") else "little"
            fields += [(start + place, size, order) for place, size in places]
    if not fields:
        return _number_in_header(rng, data)
    changed = bytearray(data)
    for start, size, order in rng.sample(fields, min(len(fields), rng.choice((1, 1, 2)))):
        value = rng.choice(_EXTREMES) % 2 ** (8 * size)
        changed[start : start + size] = value.to_bytes(size, order)
    return bytes(changed)


# Position and size of numbers behind the beginning of a mark.
_FIELDS: dict[bytes, tuple[tuple[int, int], ...]] = {
    b"RIFF": ((4, 4),),
    b"RF64": ((4, 4),),
    b"ds64": ((4, 4), (8, 8), (16, 8), (24, 8), (32, 4)),
    # Tag, channels, rate, bytes per second and per frame, bits, size and contents of what follows.
    b"fmt ": (*((place, 2) for place in (8, 10, 20, 22, 24, 26, 28, 30)), (4, 4), (12, 4)),
    b"fact": ((4, 4), (8, 4)),
    b"data": ((4, 4), (4, 8)),
    b"FORM": ((4, 4),),
    b"COMM": ((4, 4), (8, 2), (10, 4), (14, 2), (16, 2), (18, 4), (22, 4)),
    b"SSND": ((4, 4), (8, 4), (12, 4)),
    b".snd": ((4, 4), (8, 4), (12, 4), (16, 4), (20, 4)),
    b"desc": ((4, 8), (12, 8), (20, 4), (24, 4), (28, 4), (32, 4), (36, 4), (40, 4)),
    b"pakt": ((4, 8), (12, 8), (20, 8), (28, 4), (32, 4)),
    b"kuki": ((4, 8), (12, 4), (16, 1), (17, 1), (20, 4), (24, 4)),
    # Sizes of blocks and frames; rate, channels, bits and number of samples share bytes.
    b"fLaC": (
        (5, 3),
        (8, 2),
        (10, 2),
        (12, 3),
        (15, 3),
        (18, 1),
        (19, 1),
        (20, 1),
        (21, 1),
        (22, 4),
    ),
    b"OggS": ((5, 1), (6, 8), (14, 4), (18, 4), (26, 1), (27, 1)),
    b"\x01vorbis": ((7, 4), (11, 1), (12, 4), (16, 4), (20, 4), (28, 1)),
    b"\x03vorbis": ((7, 4), (11, 4)),
    b"OpusHead": ((8, 1), (9, 1), (10, 2), (12, 4), (16, 2), (18, 1), (19, 1), (20, 1)),
    b"OpusTags": ((8, 4), (12, 4)),
    b"Xing": ((4, 4), (8, 4), (12, 4)),
    b"Info": ((4, 4), (8, 4), (12, 4)),
    b"ID3": ((3, 2), (5, 1), (6, 4)),
}


def _wrong_chunk(rng: random.Random, data: bytes) -> bytes:
    """Adds a chunk, with a right or a wrong length."""
    place = rng.choice((12, 36, len(data)))
    name = rng.choice(
        (b"LIST", b"fmt ", b"data", b"JUNK", b"fact", b"ds64", b"COMM", b"SSND", b"\0" * 4)
    )
    contents = rng.randbytes(rng.choice((0, 4, 18, 200)))
    size = rng.choice((len(contents), len(contents), *_EXTREMES)) % 2**32
    order = rng.choice("<>")
    return data[:place] + name + struct.pack(f"{order}I", size) + contents + data[place:]


def _shuffle_pages(rng: random.Random, data: bytes) -> bytes:
    """Moves or repeats pages of Ogg files, frames of MP3 files, or blocks of others."""
    if data.startswith(b"OggS"):
        parts = _pages(data)
    else:
        size = rng.choice((417, 144, 1000, 4096))
        parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    if rng.random() < 0.5:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(parts))
    else:
        first, second = rng.randrange(len(parts)), rng.randrange(len(parts))
        parts[first], parts[second] = parts[second], parts[first]
    return b"".join(parts)


def _splice(rng: random.Random, data: bytes) -> bytes:
    other = base(rng, *rng.choice(_USUAL))
    if rng.random() < 0.3:
        return data + other
    return data[: mutations.place(rng, data)] + other[mutations.place(rng, other) :]


def _tagged(rng: random.Random, data: bytes) -> bytes:
    contents = rng.randbytes(rng.choice((0, 10, 300)))
    size = rng.choice((len(contents), 0, 0xFFFFFFF))
    digits = bytes(size >> 7 * place & 0x7F for place in (3, 2, 1, 0))
    return b"ID3\x04\0" + bytes([rng.choice((0, 0x10, 0xFF))]) + digits + contents + data


def _random(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((0, 4, 12, 40))] + rng.randbytes(rng.choice((10, 300, 20_000)))


def _nothing(rng: random.Random, data: bytes) -> bytes:
    return bytes(rng.choice((0, 1, 44, 4096, len(data))))


_MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *mutations.MUTATIONS,
    _number_in_header,
    _number_in_header,
    _field,
    _field,
    _field,
    _wrong_chunk,
    _shuffle_pages,
    _splice,
)
