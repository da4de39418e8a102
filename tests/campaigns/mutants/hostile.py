"""Hostile contents: values, pickles and compressed bombs."""

import functools
import gzip
import json
import pickle
import pickletools
import random
import struct
import zlib
from typing import Any

MARKER = "marker"
"""File that code hidden in a checkpoint would create in the current folder."""

_NUMBERS = (0, -1, 1, 2, 127, 128, 1000, 65_537, 10**6, 10**9, 2**31, 2**63, 10**30, 0.5, 1e300)
_SPECIAL = (float("nan"), float("inf"), None, True, False)
_TEXTS = (
    "",
    "x" * 100_000,
    "\x1b]0;title\x07",
    "a\nb\u2028c\u202ed",
    "\ud800",
    "\0",
    "../../etc/passwd",
    "/dev/zero",
    "file:///dev/zero",
    "linear:1:1000000000000",
    "1e999",
    "__import__('os').system('touch marker')",
    "v",
    "float64",
    "<f8",
    "|O",
    "bfloat16",
)


def value(rng: random.Random, like: Any = None) -> Any:
    """Returns an unexpected value, sometimes one of the same kind as another."""
    if isinstance(like, bool) or like is None or rng.random() < 0.3:
        like = rng.choice((0, "", [], {}))
    if isinstance(like, int | float):
        return rng.choice(_NUMBERS) if rng.random() < 0.8 else rng.choice(_SPECIAL)
    if isinstance(like, str):
        return rng.choice(_TEXTS)
    if isinstance(like, list) and like and rng.random() < 0.7:
        longer = [value(rng, like[0]) if rng.random() < 0.5 else one for one in like]
        times = rng.choice((1, 1, 2, 10_000))
        # Of long lists in lists, the text would be the bomb.
        return longer * (times if not any(isinstance(one, list) for one in longer) else 2)
    if isinstance(like, dict) and like and rng.random() < 0.5:
        return {**like, rng.choice(_TEXTS): value(rng)}
    return rng.choice(
        ([], {}, [0] * 100_000, nested(rng.choice((50, 5000))), {"": {}}, [{}] * 50_000, [1e400])
    )


def nested(depth: int) -> list[Any]:
    """Returns a list in a list in a list ..."""
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def change_node(rng: random.Random, tree: Any) -> Any:
    """Replaces, renames, removes or adds one node of a tree of dicts and lists, in place."""
    node, parent, key = tree, None, None
    while isinstance(node, dict | list) and node and (parent is None or rng.random() < 0.8):
        keys = list(node) if isinstance(node, dict) else range(len(node))
        parent, key = node, rng.choice(keys)
        node = parent[key]
    if parent is None:
        return value(rng, tree)
    kind = rng.random()
    if kind < 0.7:
        parent[key] = value(rng, node)
    elif kind < 0.8:
        del parent[key]
    elif isinstance(parent, dict):
        parent[rng.choice(_TEXTS)] = parent.pop(key) if kind < 0.9 else value(rng, node)
    else:
        parent.append(value(rng, node))
    return tree


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Changes nodes of a file of JSON, or writes one that is hard to parse."""
    if rng.random() < 0.12:
        return rng.choice(
            (
                b"[" * 100_000,
                b'{"a":' * 50_000,
                b"[" + b"{}," * 300_000 + b"{}]",
                b'{"a":' + b"9" * 100_000 + b"}",
                b"\xef\xbb\xbf" + data,
                data + data,
                data.decode(errors="replace").encode("utf-16"),
                b"NaN",
                b"null",
                b"{" + b'"k":1,' * 100_000 + b'"k":1}',
            )
        )
    try:
        tree = json.loads(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            tree = change_node(rng, tree)
        return json.dumps(tree).encode()
    except (ValueError, RecursionError):
        return data[: len(data) // 2]


# Pickles --------------------------------------------------------------------------------------


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


_COMMAND, _CODE = _text(f"touch {MARKER}"), _text(f"open({MARKER!r}, 'w').close()")
CALLS = (
    b"cos\nsystem\n(" + _COMMAND + b"tR",
    b"cposix\nsystem\n" + _COMMAND + b"\x85R",
    b"cbuiltins\neval\n(" + _CODE + b"tR",
    b"c__builtin__\nexec\n(" + _CODE + b"tR",
    b"\x8c\x02os\x8c\x06system\x93(" + _COMMAND + b"tR",
    b"(" + _COMMAND + b"ios\nsystem\n",
    b"(cos\nsystem\n" + _COMMAND + b"o",
    b"csubprocess\ncall\n((" + _text("touch") + _text(MARKER) + b"ltR",
    b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n("
    + _text("os")
    + b"tR"
    + _text("system")
    + b"tR("
    + _COMMAND
    + b"tR",
)
"""Instructions of pickles that create the marker, and leave a result."""
_OTHERS = (
    b"cnumpy\nload\n(" + _text("/dev/zero") + b"tR",
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\x01btR",
    b"cnumpy\nzeros\n(J\xff\xff\xff\x7ftR",
    b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR",
    b"ccollections\nOrderedDict\n(tRX\x01\0\0\0a}b",
)
_AMPLIFIERS = (
    b"(" * 100_000,
    b"]" + b"\x94h\0h\0\x86" * 3000,
    b"X\x01\0\0\0a" + b"2\x86" * 60,  # twice as large each time
    b"\x8b" + struct.pack("<i", 2**31 - 1),
    b"\x8d" + struct.pack("<Q", 2**62) + b"a",
    b"\x8e" + struct.pack("<Q", 2**40),
    b"}" * 500_000,
    b"r" + struct.pack("<I", 2**32 - 1),
    b"I" + b"9" * 200_000 + b"\n",
    b"V" + b"\\u0041" * 100_000 + b"\n",
    b"(" + b"N" * 400_000 + b"t",
    b"\x95" + struct.pack("<Q", 2**63),
    b"Q" * 10,
    b"P0\n",
)


def change_pickle(rng: random.Random, data: bytes) -> bytes:
    """Inserts instructions between those of a pickle, or changes arguments of some."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except Exception:
        places = [0]
    for _ in range(rng.choice((1, 1, 3))):
        place = rng.choice(places)
        kind = rng.random()
        if kind < 0.45:
            data = (
                data[:place]
                + rng.choice((*CALLS, *_OTHERS))
                + rng.choice((b"", b"0", b"."))
                + data[place:]
            )
        elif kind < 0.7:
            data = data[:place] + rng.choice(_AMPLIFIERS) + rng.choice((b"", b"0")) + data[place:]
        elif kind < 0.85:
            number = struct.pack("<i", rng.choice((0, -1, 1, 2**31 - 1, 10**6, 7)))
            if (found := data.find(b"J", place)) >= 0:
                data = data[: found + 1] + number + data[found + 5 :]
        else:
            other = rng.choice((b"torch", b"os", b"builtins", b"numpy", b"collections"))
            if (found := data.find(b"c", place)) >= 0:
                end = data.find(b"\n", found)
                data = data[: found + 1] + other + data[end:] if end >= 0 else data
    return data


class _Call:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (f"touch {MARKER}",)


def hostile_pickle(rng: random.Random) -> bytes:
    """Returns a pickle that runs a command."""
    call = rng.choice((_Call(), {"weights": _Call()}, [_Call()] * 10))
    return pickle.dumps(call, rng.choice((0, 1, 2, 3, 4, 5)))


# Bombs ----------------------------------------------------------------------------------------

_PIECE = 1 << 24


@functools.cache
def gzip_bomb(pieces: int = 64) -> bytes:
    """Returns gzip members that unpack to 16 MiB of zeros each."""
    return gzip.compress(bytes(_PIECE), mtime=0) * pieces


@functools.cache
def deflate_bomb(pieces: int = 64) -> tuple[bytes, int, int]:
    """Returns a deflated stream of zeros without header, its length unpacked, and its CRC."""
    packer = zlib.compressobj(wbits=-15)
    # The first piece differs, since nothing stands before it to repeat.
    first = packer.compress(bytes(_PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(pieces):
        checksum = zlib.crc32(bytes(_PIECE), checksum)
    return first * pieces + packer.flush(), pieces * _PIECE, checksum
