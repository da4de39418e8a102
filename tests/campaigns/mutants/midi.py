"""Damaged, odd and hostile MIDI files, made from seeds."""

import functools
import gzip
import io
import random
import struct
import zipfile

from tests.campaigns.harness import ROOT
from tests.campaigns.mutants import mutations
from tests.support.midi import END, chunk, header

# 0xF8 stands for all system messages that are not allowed in files.
_KINDS = (0x90, 0x80, 0xB0, 0xC0, 0xE0, 0xA0, 0xD0, 0xFF, 0xF0, 0xF7, 0xF8)
_FREQUENCIES = (40, 20, 12, 4, 3, 1, 1, 10, 4, 1, 1)
_CONTROLLERS = (0, 1, 6, 7, 11, 32, 38, 64, 65, 66, 67, 71, 84, 98, 99, 100, 101, *range(120, 128))
_METAS = (0x00, 0x01, 0x03, 0x05, 0x20, 0x21, 0x2F, 0x51, 0x54, 0x58, 0x59, 0x7F)
_META_LENGTHS = {0x00: 2, 0x20: 1, 0x21: 1, 0x2F: 0, 0x51: 3, 0x54: 5, 0x58: 4, 0x59: 2}
_DIVISIONS = (1, 24, 96, 120, 384, 480, 960, 32767, 0xE728, 0xE250, 0xE304)
_DELTAS = (0, 0, 0, 1, 10, 120, 480)
_EXCLUSIVE = (
    b"\x7e\x7f\x09\x01",  # General MIDI
    b"\x41\x10\x42\x12\x40\x00\x7f\x00\x41",  # Roland GS
    b"\x43\x10\x4c\x00\x00\x7e\x00",  # Yamaha XG
    b"\x41\x10\x42\x12\x40\x11\x15\x02\x18",  # a rhythm part
    b"\x7f\x7f\x04\x01\x00\x40",  # master volume
)
_TEXTS = (
    b"@KMIDI KARAOKE FILE",
    b"@LENGL",
    b"@TTitle\r\nof lines",
    b"/la\\la ",
    b"\x1b]0;title\x07",
    b"\x82\xb1\x82\xea",  # in Shift JIS
    "\u202e\u2028\U0001d11e".encode(),
    b"\xff\xfe\0",
)
_LENGTHS = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_BOMB_EVENTS = 60_000


def mutant(seed: int) -> bytes:
    """Returns the file of a seed: real or made of random events, mostly damaged or wrapped."""
    rng = random.Random(seed)
    data = _bomb(rng) if rng.random() < 0.008 else _whole(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        data = rng.choice(_MUTATIONS)(rng, data)
    if rng.random() < 0.06:
        data = rng.choice((_riff, _riff, _mac_binary, _mac_binary, _gzip, _zip))(data)
        if rng.random() < 0.5:
            data = rng.choice(_MUTATIONS)(rng, data)
    return data


def _whole(rng: random.Random) -> bytes:
    return rng.choice(real_files()) if rng.random() < 0.3 else _song(rng)


@functools.cache
def real_files() -> tuple[bytes, ...]:
    """Returns the files of the examples and of other tests."""
    folders = (ROOT / "examples", ROOT / "tests/golden/midi", ROOT / "tests/music/midi/cases")
    paths = sorted(path for folder in folders for path in folder.rglob("*"))
    return tuple(path.read_bytes() for path in paths if path.suffix in (".mid", ".kar", ".rmi"))


def plain_song(seed: int) -> bytes:
    """Returns a whole file of random events without those that parsers read in different ways."""
    rng = random.Random(seed)
    tracks = []
    for _ in range(rng.choice((1, 2, 5))):
        messages = [_plain_message(rng) for _ in range(rng.choice((5, 30, 100)))]
        events = [_number(rng.choice(_DELTAS)) + message for message in messages]
        tracks.append(chunk(b"MTrk", b"".join(events) + END))
    return header(int(len(tracks) > 1), len(tracks), 96) + b"".join(tracks)


def _plain_message(rng: random.Random) -> bytes:
    kind = rng.choices(_KINDS[:-2], _FREQUENCIES[:-2])[0]
    if kind == 0xFF:
        tempo = bytes([0xFF, 0x51, 3]) + rng.randrange(1, 3_000_000).to_bytes(3, "big")
        return rng.choice((tempo, bytes([0xFF, 0x21, 1, rng.randrange(3)]), b"\xff\x01\x02la"))
    if kind == 0xF0:
        # Without the one of Yamaha, after which other rules hold.
        payload = rng.choice((*_EXCLUSIVE[:2], *_EXCLUSIVE[3:])) + b"\xf7"
        return bytes([kind]) + _number(len(payload)) + payload
    return _message_of(rng, kind)[1]


def _number(value: int) -> bytes:
    """Returns a number of variable length."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _song(rng: random.Random) -> bytes:
    """Returns a file that is whole, but as odd as the standard allows, and a little more."""
    kind = rng.choices((0, 1, 2, 7), (4, 8, 2, 1))[0]
    tracks = [_track(rng) for _ in range(1 if kind == 0 else rng.randint(1, 6))]
    division = rng.choice(_DIVISIONS) if rng.random() < 0.95 else rng.randrange(0x10000)
    chunks = [chunk(b"MTrk", track) for track in tracks]
    if rng.random() < 0.1:
        chunks.insert(rng.randrange(len(chunks)), chunk(b"XFIH", rng.randbytes(rng.randrange(40))))
    return header(kind, len(tracks), division) + b"".join(chunks)


def _track(rng: random.Random) -> bytes:
    events, running = [], 0
    for _ in range(rng.choice((0, 5, 30, 100))):
        delta = rng.choice(_DELTAS) if rng.random() < 0.999 else rng.randrange(1 << 28)
        status, message = _message(rng)
        if status == running and rng.random() < 0.7:
            message = message[1:]
        # A few writers go on with the running status after messages that end it.
        running = status if status < 0xF0 or rng.random() < 0.1 else running
        events.append(_number(delta) + message)
    return b"".join(events) + (END if rng.random() < 0.95 else b"")


def _message(rng: random.Random) -> tuple[int, bytes]:
    """Returns the status byte of a random message, and the message."""
    kind = rng.choices(_KINDS, _FREQUENCIES)[0]
    return _message_of(rng, kind)


def _message_of(rng: random.Random, kind: int) -> tuple[int, bytes]:
    if kind == 0xFF:
        return kind, _meta(rng)
    if kind in (0xF0, 0xF7):
        payload = rng.choice(_EXCLUSIVE) if rng.random() < 0.8 else rng.randbytes(rng.randrange(20))
        payload += b"\xf7" if rng.random() < 0.9 else b""
        return kind, bytes([kind]) + _number(len(payload)) + payload
    if kind == 0xF8:
        status = rng.randrange(0xF1, 0xFF)
        return status, bytes([status]) + rng.randbytes(rng.randrange(3))
    status = kind | rng.choice((0, 0, 1, 9, rng.randrange(16)))
    if kind in (0x80, 0x90):
        return status, bytes([status, rng.choice((60, 60, 62, 64)), rng.choice((0, 1, 64, 127))])
    if kind == 0xB0:
        value = rng.choice((0, 63, 64, 127, 126, 120, rng.randrange(128)))
        return status, bytes([status, rng.choice(_CONTROLLERS), value])
    values = rng.choices(range(128), k=1 if kind in (0xC0, 0xD0) else 2)
    return status, bytes([status, *values])


def _meta(rng: random.Random) -> bytes:
    kind = rng.choice(_METAS) if rng.random() < 0.9 else rng.randrange(256)
    if kind == 0x2F and rng.random() < 0.8:
        kind = 0x21
    length = _META_LENGTHS.get(kind, rng.randrange(30))
    if rng.random() < 0.2:
        length = rng.randrange(8)
    contents = rng.randbytes(length)
    if 0 < kind < 0x10 and rng.random() < 0.7:
        contents = rng.choice(_TEXTS) * rng.choice((1, 1, 1, 100))
    if kind == 0x21:
        contents = bytes(byte & 3 for byte in contents)
    return bytes([0xFF, kind]) + _number(len(contents)) + contents


def _bomb(rng: random.Random) -> bytes:
    """Returns a song of few kinds of events, each of which could touch all that came before."""
    setup = [
        *(bytes([0xFF, 0x21, 1, port, 0, 0x90, 60, 64]) for port in range(rng.choice((1, 100)))),
        *(bytes([0xB0, number, 127]) for number in rng.sample(_CONTROLLERS, 4)),
        *(bytes([0x90, key, 64]) for key in range(rng.choice((1, 128)))),
    ]
    cycle = [_message_of(rng, rng.choice(_KINDS))[1] for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.5:
        cycle[0] = bytes([0x90, 60, 64])
    deltas = [_number(rng.choice((0, 0, 1))) for _ in cycle]
    repeated = b"".join(delta + event for delta, event in zip(deltas, cycle, strict=True))
    track = b"".join(b"\0" + event for event in setup)
    track += repeated * rng.randrange(_BOMB_EVENTS // len(cycle))
    return header() + chunk(b"MTrk", track + END)


def _insert(rng: random.Random, data: bytes) -> bytes:
    place = mutations.place(rng, data)
    new = rng.choice(
        (
            rng.randbytes(rng.choice((1, 2, 5, 200))),
            b"\xff\xff\xff\x7f",  # the largest time between events
            b"\xff\xff\xff\xff\x7f",  # a number too long
            b"MTrk\0\0\0\x04",
            END,
        )
    )
    return data[:place] + new + data[place:]


def _chunks(data: bytes) -> list[bytes]:
    """Returns the header and the tracks, wherever the name of a track stands."""
    first, *others = data.split(b"MTrk")
    return [first, *(b"MTrk" + other for other in others)]


def _shuffle_chunks(rng: random.Random, data: bytes) -> bytes:
    chunks = _chunks(data)
    if rng.random() < 0.5:
        rng.shuffle(chunks)
    else:
        chunks.insert(rng.randrange(len(chunks) + 1), rng.choice(chunks))
    return b"".join(chunks)


def _wrong_length(rng: random.Random, data: bytes) -> bytes:
    chunks = _chunks(data)
    number = rng.randrange(len(chunks))
    name, contents = chunks[number][:4], chunks[number][8:]
    length = max(0, len(contents) + rng.choice((-4, -1, 1, 4, 40)))
    if rng.random() < 0.5:
        length = rng.choice(_LENGTHS)
    chunks[number] = chunk(name, contents, length)
    return b"".join(chunks)


def _wrong_header(rng: random.Random, data: bytes) -> bytes:
    numbers = [rng.choice((0, 1, 2, 3, 96, 480, 0x7FFF, 0x8000, 0xFFFF)) for _ in range(3)]
    changed = bytearray(data)
    for number in rng.sample(range(3), rng.randint(1, 3)):
        changed[8 + 2 * number : 10 + 2 * number] = struct.pack(">H", numbers[number])
    return bytes(changed)


def _splice(rng: random.Random, data: bytes) -> bytes:
    other = _whole(rng)
    return data[: mutations.place(rng, data)] + other[mutations.place(rng, other) :]


_MUTATIONS: tuple[mutations.Mutation, ...] = (
    *mutations.MUTATIONS,
    _insert,
    _shuffle_chunks,
    _wrong_length,
    _wrong_header,
    _splice,
)


def _riff(data: bytes) -> bytes:
    contents = b"RMIDdata" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(contents)) + contents


def _mac_binary(data: bytes) -> bytes:
    return (b"\0\x08song.mid".ljust(65, b"\0") + b"Midi").ljust(128, b"\0") + data


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # A name alone would get the time of the clock.
        archive.writestr(zipfile.ZipInfo("song.mid"), data)
    return buffer.getvalue()
